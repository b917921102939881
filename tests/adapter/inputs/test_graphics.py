"""Ikomia's graphics input, drawn by a person or filled by an earlier task."""

import numpy as np
import pytest

pytest.importorskip("ikomia")

from ikomia import core, dataprocess
from ikomia.core.task import TaskParam
from ikomia.dataprocess.workflow import Workflow

from infer_segment_anything_3.adapter.inputs.graphics import (
    NOTHING_DRAWN,
    Detection,
    Drawing,
    read_drawing,
)


def point(x, y, category="Default"):
    properties = core.GraphicsPointProperty()
    properties.category = category
    return core.CGraphicsPoint(core.CPointF(x, y), properties)


def rectangle(x, y, width, height, category="Default"):
    properties = core.GraphicsRectProperty()
    properties.category = category
    return core.CGraphicsRectangle(x, y, width, height, properties)


@pytest.mark.parametrize(
    ("items", "drawing"),
    [
        ([], NOTHING_DRAWN),
        ([point(5.5, 6)], Drawing(((5.5, 6),), (1,))),
        (
            [point(1, 2, "negative"), point(3, 4, " Background "), point(5, 6, "0"), point(7, 8)],
            Drawing(((1, 2), (3, 4), (5, 6), (7, 8)), (0, 0, 0, 1)),
        ),
        ([point(1, 2, "1"), point(3, 4, "dog")], Drawing(((1, 2), (3, 4)), (1, 1))),
        ([rectangle(10, 20, 30, 40)], Drawing((), (), ((10, 20, 40, 60),), (1,))),
        ([rectangle(40, 60, -30, -40)], Drawing((), (), ((10, 20, 40, 60),), (1,))),
        ([rectangle(10, 20, 30, 40, "NEGATIVE")], Drawing((), (), ((10, 20, 40, 60),), (0,))),
        ([rectangle(10, 20, 0, 0)], Drawing((), (), ((10, 20, 10, 20),), (1,))),
        (
            [core.CGraphicsText("dog", 1, 2), point(1, 2), core.CGraphicsEllipse(1, 2, 3, 4)],
            Drawing(((1, 2),), (1,), ignored_shapes=("ellipse",)),
        ),
        (
            [core.CGraphicsPolygon([core.CPointF(1, 2), core.CPointF(9, 2), core.CPointF(5, 8)])],
            Drawing(ignored_shapes=("polygon",)),
        ),
    ],
)
def test_drawn_items(items, drawing):
    graphics = dataprocess.CGraphicsInput()
    graphics.set_items(items)
    assert read_drawing(graphics) == drawing


def test_no_graphics_input():
    assert read_drawing(None) == NOTHING_DRAWN


class Detector(dataprocess.CObjectDetectionTask):
    """Finds the same boxes on every image."""

    def __init__(self, boxes):
        super().__init__("detector")
        self.set_param_object(TaskParam())
        self.boxes = boxes

    def run(self):
        self.begin_task_run()
        self.set_names(["dog", "negative"])
        self.set_colors([[255, 0, 10], [0, 200, 0]])
        for index, (label, box) in enumerate(self.boxes):
            self.add_object(index, label, 0.9, *box)
        self.end_task_run()


class Marker(dataprocess.C2dImageTask):
    """Draws a point and a rectangle without a class."""

    def __init__(self):
        super().__init__("marker")
        self.set_param_object(TaskParam())
        self.add_output(dataprocess.CGraphicsOutput())

    def run(self):
        self.begin_task_run()
        graphics = self.get_output(1)
        graphics.set_new_layer("marker")
        graphics.add_rectangle(1.0, 2.0, 30.0, 40.0)
        graphics.add_point(core.CPointF(4.0, 5.0))
        self.end_task_run()


class Listener(dataprocess.CInstanceSegmentationTask):
    """Reads its graphics input."""

    def __init__(self):
        super().__init__("listener")
        self.set_param_object(TaskParam())
        self.drawing = None

    def run(self):
        self.begin_task_run()
        self.drawing = read_drawing(self.get_input(1))
        self.end_task_run()


@pytest.mark.parametrize(
    ("make", "drawing"),
    [
        (
            lambda: Detector([(1, (10.5, 20, 30, 40)), (0, (50, 60, 7, 8))]),
            Drawing(
                detections=(
                    Detection((10.5, 20, 40.5, 60), "negative", (0, 200, 0)),
                    Detection((50, 60, 57, 68), "dog", (255, 0, 10)),
                ),
                is_from_task=True,
            ),
        ),
        (lambda: Detector([]), Drawing(is_from_task=True)),
        (
            Marker,
            Drawing(
                points_xy=((4, 5),),
                point_labels=(1,),
                detections=(Detection((1, 2, 31, 42)),),
                is_from_task=True,
            ),
        ),
    ],
)
def test_what_an_earlier_task_puts_out(make, drawing):
    earlier, listener = make(), Listener()
    workflow = Workflow()
    workflow.add_task(task=earlier, auto_connect=True)
    workflow.add_task(task=listener, auto_connect=True)
    workflow.run_on(array=np.zeros((100, 120, 3), np.uint8))
    assert listener.drawing == drawing
