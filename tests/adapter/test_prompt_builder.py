"""Parameters and drawings, read into prompts."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infer_segment_anything_3.adapter.inputs.graphics import NOTHING_DRAWN, Detection, Drawing
from infer_segment_anything_3.adapter.parameters.settings import PARAMETERS, Settings
from infer_segment_anything_3.adapter.prompt_builder import build_prompt
from infer_segment_anything_3.engine import (
    ConceptPrompt,
    EverythingPrompt,
    Instance,
    Mask,
    ObjectPrompt,
    PromptedObject,
    Result,
)

HW = (100, 200)
LEFT, RIGHT = (10.0, 10.0, 60.0, 90.0), (50.0, 10.0, 150.0, 90.0)
BOTH = f"[{list(LEFT)}, {list(RIGHT)}]"
IN_LEFT, IN_BOTH, IN_NONE = (20.0, 50.0), (55.0, 50.0), (190.0, 50.0)
DOG = Detection(LEFT, "dog", (255, 0, 10))
CAT = Detection(RIGHT, "cat", (0, 200, 0))


def read(drawing=NOTHING_DRAWN, previous=None, **values):
    return build_prompt(Settings.parse(values), drawing, HW, previous)


def pointed(points, labels=None, box=None, name="object"):
    return PromptedObject(tuple(points), labels or (1,) * len(points), box, name)


def boxed(box, name="object"):
    return pointed((), box=box, name=name)


@pytest.mark.parametrize(
    ("values", "objects"),
    [
        ({"input_point": "[20, 50]"}, [pointed([IN_LEFT])]),
        (
            {"input_point": "[[20, 50], [55, 50]]", "input_point_label": "[1, 0]"},
            [pointed([IN_LEFT, IN_BOTH], (1, 0))],
        ),
        (
            {"input_point": "[[[20, 50]], [[55, 50], [190, 50]]]"},
            [pointed([IN_LEFT]), pointed([IN_BOTH, IN_NONE])],
        ),
        (
            {
                "input_point": "[[[20, 50]], [[55, 50], [190, 50]]]",
                "input_point_label": "[[1], [1, 0]]",
            },
            [pointed([IN_LEFT]), pointed([IN_BOTH, IN_NONE], (1, 0))],
        ),
        ({"input_box": str(list(LEFT))}, [boxed(LEFT)]),
        ({"input_box": BOTH}, [boxed(LEFT), boxed(RIGHT)]),
        ({"input_box": "[-10, 10, 60, 190]"}, [boxed((0, 10, 60, 100))]),
        (
            {"input_box": BOTH, "input_point": "[20, 50]"},
            [pointed([IN_LEFT], box=LEFT), boxed(RIGHT)],
        ),
        (
            {
                "input_box": BOTH,
                "input_point": "[[20, 50], [55, 50]]",
                "input_point_label": "[0,1]",
            },
            [pointed([IN_LEFT, IN_BOTH], (0, 1), LEFT), pointed([IN_BOTH], box=RIGHT)],
        ),
        (
            {"input_point": "[20, 50]", "input_text": "red car:0.3", "prompt_mode": "object"},
            [pointed([IN_LEFT], name="red car")],
        ),
        (
            {"input_point": "[20, 50]", "input_text": "cat, dog", "prompt_mode": "object"},
            [pointed([IN_LEFT], name="cat, dog")],
        ),
        ({"input_point": "[[0, 0], [200, 100]]"}, [pointed([(0, 0), (200, 100)])]),
    ],
)
def test_objects_by_parameters(values, objects):
    reading = read(**values)
    assert reading.mode == "object"
    assert reading.prompt == ObjectPrompt(tuple(objects))
    assert reading.warnings == ()
    assert reading.infos == ()


@pytest.mark.parametrize(
    ("drawing", "values", "objects", "used"),
    [
        (Drawing((IN_LEFT, IN_BOTH), (1, 0)), {}, [pointed([IN_LEFT, IN_BOTH], (1, 0))], 2),
        (
            Drawing((IN_BOTH,), (0,)),
            {"input_point": "[20, 50]"},
            [pointed([IN_LEFT, IN_BOTH], (1, 0))],
            1,
        ),
        (
            Drawing((IN_NONE,), (1,)),
            {"input_point": "[[[20, 50]], [[55, 50]]]"},
            [pointed([IN_LEFT]), pointed([IN_BOTH]), pointed([IN_NONE])],
            1,
        ),
        (
            Drawing((IN_LEFT,), (1,), (RIGHT,), (1,)),
            {"input_box": str(list(LEFT))},
            [pointed([IN_LEFT], box=LEFT), boxed(RIGHT)],
            2,
        ),
        (
            Drawing(detections=(DOG, CAT), is_from_task=True),
            {"input_text": "animal", "prompt_mode": "object"},
            [boxed(LEFT, "dog"), boxed(RIGHT, "cat")],
            2,
        ),
        (
            Drawing(detections=(Detection(LEFT),), is_from_task=True),
            {"input_text": "animal", "prompt_mode": "object"},
            [boxed(LEFT, "animal")],
            1,
        ),
    ],
)
def test_objects_by_drawing(drawing, values, objects, used):
    reading = read(drawing, **values)
    assert reading.prompt == ObjectPrompt(tuple(objects))
    assert (reading.drawn_used, reading.drawn_count) == (used, len(drawing))
    assert reading.warnings == ()


@pytest.mark.parametrize(
    ("drawing", "values", "prompt"),
    [
        (NOTHING_DRAWN, {"input_text": "red car"}, ConceptPrompt(("red car",))),
        (
            NOTHING_DRAWN,
            {"input_text": "person:0.4, car", "confidence_threshold": "0.6"},
            ConceptPrompt(("person", "car"), (0.4, None), confidence_threshold=0.6),
        ),
        (
            NOTHING_DRAWN,
            {"input_text": "car", "overlap": "best", "min_area": "50", "tiles": "auto"},
            ConceptPrompt(("car",), overlap="best", min_area_px=50, tiles="auto"),
        ),
        (
            NOTHING_DRAWN,
            {"input_box": BOTH, "input_box_label": "[1, 0]", "prompt_mode": "concept"},
            ConceptPrompt(exemplars_xyxy=(LEFT, RIGHT), exemplar_labels=(1, 0)),
        ),
        (
            Drawing(boxes_xyxy=(RIGHT,), box_labels=(0,)),
            {"input_text": "car", "input_box": str(list(LEFT))},
            ConceptPrompt(("car",), exemplars_xyxy=(LEFT, RIGHT), exemplar_labels=(1, 0)),
        ),
        (
            Drawing(detections=(DOG,), is_from_task=True),
            {"prompt_mode": "concept"},
            ConceptPrompt(exemplars_xyxy=(LEFT,), exemplar_labels=(1,)),
        ),
        (
            Drawing(detections=(DOG,), is_from_task=True),
            {"prompt_mode": "concept", "input_text": "car"},
            ConceptPrompt(("car",), exemplars_xyxy=(LEFT,), exemplar_labels=(1,)),
        ),
    ],
)
def test_concepts(drawing, values, prompt):
    reading = read(drawing, **values)
    assert reading.mode == "concept"
    assert reading.prompt == prompt
    assert reading.warnings == ()
    assert reading.drawn_used == len(drawing)


def test_everything():
    reading = read(prompt_mode="everything", points_per_side="8", min_area="5")
    assert reading.prompt == EverythingPrompt(8, 5)
    assert reading.warnings == ()


@pytest.mark.parametrize(
    ("drawing", "values", "mode"),
    [
        (NOTHING_DRAWN, {}, "object"),
        (NOTHING_DRAWN, {"input_text": "car"}, "concept"),
        (NOTHING_DRAWN, {"input_text": "car", "prompt_mode": "object"}, "object"),
        (NOTHING_DRAWN, {"input_box": str(list(LEFT)), "prompt_mode": "concept"}, "concept"),
        (Drawing(boxes_xyxy=(LEFT,), box_labels=(1,)), {"input_text": "car"}, "concept"),
        (Drawing(detections=(DOG,), is_from_task=True), {"input_text": "car"}, "concept"),
        (Drawing(detections=(DOG,), is_from_task=True), {}, "object"),
        (Drawing(is_from_task=True), {"input_text": "car"}, "concept"),
        (Drawing(is_from_task=True), {"input_text": "car", "prompt_mode": "concept"}, "concept"),
    ],
)
def test_mode(drawing, values, mode):
    assert read(drawing, **values).mode == mode


@pytest.mark.parametrize(
    ("drawing", "values", "info"),
    [
        (NOTHING_DRAWN, {"input_text": "car", "input_box": BOTH}, "auto: read as a concept"),
        (Drawing((IN_LEFT,), (1,)), {"input_text": "car"}, "auto: read as a concept"),
        (Drawing(is_from_task=True), {}, "found nothing"),
    ],
)
def test_the_reading_that_was_taken_is_told(drawing, values, info):
    assert any(info in line for line in read(drawing, **values).infos)


@pytest.mark.parametrize(
    ("drawing", "values", "warning"),
    [
        (
            Drawing((IN_LEFT,), (1,)),
            {"input_text": "car", "input_point": "[[1, 2], [3, 4]]"},
            "input_point: a concept takes no points, 3 left out",
        ),
        (
            Drawing(boxes_xyxy=(RIGHT,), box_labels=(0,)),
            {"input_box": BOTH, "input_box_label": "[1, 0]"},
            "input_box_label: objects take no negative box, 2 left out",
        ),
        (
            Drawing((IN_NONE,), (0,)),
            {"input_box": BOTH, "input_point": "[190, 50]"},
            "input_point: 2 inside none of the boxes, left out",
        ),
        (NOTHING_DRAWN, {"input_text": "car:0,4"}, "input_text: car:0,4 is read as two concepts"),
        (
            NOTHING_DRAWN,
            {"input_point_label": "[1]", "input_box": BOTH},
            "input_point_label: labels without points",
        ),
        (
            NOTHING_DRAWN,
            {"input_box_label": "[1]", "input_point": "[1, 2]"},
            "input_box_label: labels without boxes",
        ),
        (NOTHING_DRAWN, {}, "no prompt: set input_text, input_point or input_box, or draw"),
        (
            NOTHING_DRAWN,
            {"input_point": "[1, 2]", "input_point_label": "0"},
            "input_point_label: an object of background points only is a guess",
        ),
        (
            Drawing(boxes_xyxy=(LEFT, (5, 5, 5, 9)), box_labels=(1, 1)),
            {},
            "drawn boxes: 1 without an area, left out",
        ),
        (
            Drawing(detections=(DOG, Detection((300, 0, 400, 50))), is_from_task=True),
            {},
            "boxes of the earlier task: 1 outside the image, left out",
        ),
        (
            Drawing(detections=(DOG, CAT), is_from_task=True),
            {"input_text": "car"},
            "input_text: 2 boxes of the earlier task left out, because this task has a text",
        ),
        (
            Drawing((IN_LEFT,), (1,), ignored_shapes=("polygon", "polygon", "line")),
            {},
            "drawn items: only points and rectangles are prompts, left out: line, polygon",
        ),
        (
            NOTHING_DRAWN,
            {"prompt_mode": "everything", "input_text": "car"},
            "prompt_mode everything: texts, points and boxes are left out",
        ),
    ],
)
def test_warnings(drawing, values, warning):
    (line,) = read(drawing, **values).warnings
    assert line.startswith(warning)


@pytest.mark.parametrize(
    ("drawing", "values"),
    [
        (NOTHING_DRAWN, {}),
        (NOTHING_DRAWN, {"prompt_mode": "object", "input_text": "car"}),
        (NOTHING_DRAWN, {"prompt_mode": "concept"}),
        (NOTHING_DRAWN, {"prompt_mode": "concept", "input_point": "[1, 2]"}),
        (NOTHING_DRAWN, {"input_box": str(list(LEFT)), "input_box_label": "0"}),
        (Drawing(is_from_task=True), {}),
    ],
)
def test_no_prompt_is_valid(drawing, values):
    assert read(drawing, **values).prompt is None


@pytest.mark.parametrize(
    ("drawing", "values", "name"),
    [
        (NOTHING_DRAWN, {"input_point": "[201, 5]"}, "input_point"),
        (NOTHING_DRAWN, {"input_point": "[5, -1]", "input_box": BOTH}, "input_point"),
        (
            NOTHING_DRAWN,
            {"input_point": "[1, 2]", "input_point_label": "[1, 0]"},
            "input_point_label",
        ),
        (
            NOTHING_DRAWN,
            {"input_point": "[[1, 2], [3, 4]]", "input_point_label": "[[1], [0]]"},
            "input_point_label",
        ),
        (
            NOTHING_DRAWN,
            {"input_point": "[[[1, 2]], [[3, 4]]]", "input_point_label": "[1, 0]"},
            "input_point_label",
        ),
        (NOTHING_DRAWN, {"input_box": "[200, 0, 300, 50]"}, "input_box"),
        (NOTHING_DRAWN, {"input_box": BOTH, "input_box_label": "[1]"}, "input_box_label"),
        (
            NOTHING_DRAWN,
            {"input_box": BOTH, "input_box_label": "[0, 0]", "prompt_mode": "concept"},
            "input_text",
        ),
        (
            Drawing(boxes_xyxy=(LEFT,), box_labels=(0,)),
            {"prompt_mode": "concept"},
            "input_text",
        ),
        (Drawing(((5, 101),), (1,)), {}, "drawn points"),
        (Drawing(boxes_xyxy=((300, 0, 400, 50),), box_labels=(1,)), {}, "drawn boxes"),
        (
            NOTHING_DRAWN,
            {
                "input_point": "[" + "[20, 50]," * 2_000 + "[20, 50]]",
                "input_box": "[" + "[10, 10, 60, 90]," * 5 + "[10, 10, 60, 90]]",
            },
            "input_point",
        ),
    ],
)
def test_refused(drawing, values, name):
    with pytest.raises(ValueError, match=f"^{name}: expected ") as caught:
        read(drawing, **values)
    assert len(str(caught.value).splitlines()) == 1


def test_colors_come_from_the_earlier_task():
    other_dog = dataclasses.replace(DOG, color=(1, 2, 3))
    found = Drawing(detections=(DOG, CAT, other_dog, Detection(LEFT)), is_from_task=True)
    assert read(found).class_colors == {"dog": (255, 0, 10), "cat": (0, 200, 0)}


def test_multimask():
    assert read(input_point="[1, 2]", multimask_output="True").prompt.multimask


def answered(reading, value):
    """A prompt with an answer to it, whose logits hold a value to know them by."""
    empty = Mask(HW, (0, 0), np.zeros((0, 0), bool))
    logits = np.full((1, 4, 4), value, np.float32)
    count = len(reading.prompt.objects)
    instances = (Instance(0, 0.9, LEFT, empty, low_res_logits=logits),) * count
    return reading.prompt, Result(HW, ("object",), instances)


@pytest.mark.parametrize(
    ("first", "second", "refined"),
    [
        ({"input_point": "[1, 2]"}, {"input_point": "[[1, 2], [3, 4]]"}, [True]),
        ({"input_point": "[1, 2]"}, {"input_point": "[1, 2]"}, [False]),
        ({"input_point": "[1, 2]"}, {"input_point": "[[3, 4], [5, 6]]"}, [False]),
        ({"input_point": "[[1, 2], [3, 4]]"}, {"input_point": "[1, 2]"}, [False]),
        ({"input_box": str(list(LEFT))}, {"input_box": BOTH, "input_point": "[55, 50]"}, [1, 0]),
        ({"input_box": str(list(LEFT))}, {"input_box": str(list(RIGHT))}, [False]),
        (
            {"input_point": "[20, 50]"},
            {"input_point": "[20, 50]", "input_box": str(list(LEFT))},
            [False],
        ),
        (
            {"input_point": "[[[1, 2]], [[3, 4]]]"},
            {"input_point": "[[[1, 2]], [[3, 4], [5, 6]]]"},
            [False, True],
        ),
    ],
)
def test_refine(first, second, refined):
    previous = answered(read(refine="True", **first), 1)
    again = read(previous=previous, refine="True", **second)
    assert [o.mask_input is not None for o in again.prompt.objects] == refined
    without = read(previous=previous, **second)
    assert all(o.mask_input is None for o in without.prompt.objects)


def test_refining_goes_on_from_the_last_mask_and_repeats_itself():
    points = ["[[1, 2]]", "[[1, 2], [3, 4]]", "[[1, 2], [3, 4]]", "[[1, 2], [3, 4], [5, 6]]"]
    previous, started_from = None, []
    for value, text in enumerate(points, start=1):
        reading = read(previous=previous, refine="True", input_point=text)
        (prompted,) = reading.prompt.objects
        started_from.append(None if prompted.mask_input is None else prompted.mask_input[0, 0, 0])
        previous = answered(reading, value)
    assert started_from == [None, 1, 1, 3]


coordinates = st.sampled_from([-10, 0, 10, 20.5, 55, 100, 190, 200, 250])
points = st.lists(coordinates, min_size=2, max_size=2)
rows = st.lists(points, min_size=1, max_size=3)
labels = st.lists(st.sampled_from([0, 1]), min_size=1, max_size=3)
boxes = st.sampled_from([LEFT, RIGHT, (-10, -10, 5, 5), (190, 90, 250, 250), (300, 0, 400, 50)])
point_texts = st.one_of(points, rows, st.lists(rows, min_size=1, max_size=3))
label_texts = st.one_of(labels, st.lists(labels, min_size=1, max_size=3))
box_texts = st.lists(boxes, min_size=1, max_size=3).map(lambda rows: [list(row) for row in rows])
runs = st.fixed_dictionaries(
    {},
    optional={
        "input_text": st.sampled_from(["car", "car:0.2, bus"]),
        "input_point": point_texts.map(str),
        "input_point_label": label_texts.map(str),
        "input_box": box_texts.map(str),
        "input_box_label": labels.map(str),
        "prompt_mode": st.sampled_from(PARAMETERS["prompt_mode"].choices),
        "refine": st.just("True"),
    },
)
drawings = st.builds(
    lambda drawn, found, is_from_task: Drawing(
        points_xy=tuple(tuple(p) for p, _, _ in drawn),
        point_labels=tuple(label for _, _, label in drawn),
        boxes_xyxy=() if is_from_task else tuple(box for _, box, _ in drawn),
        box_labels=() if is_from_task else tuple(label for _, _, label in drawn),
        detections=tuple(Detection(box, "dog") for box in found) if is_from_task else (),
        is_from_task=is_from_task,
    ),
    st.lists(st.tuples(points, boxes, st.sampled_from([0, 1])), max_size=3),
    st.lists(boxes, max_size=2),
    st.booleans(),
)


@settings(max_examples=300, deadline=2_000, derandomize=True, database=None)
@given(values=runs, drawing=drawings)
def test_any_run_is_read_or_refused(values, drawing):
    try:
        reading = read(drawing, **values)
    except ValueError as error:
        assert re.match(r"(input_\w+|drawn points|drawn boxes): expected ", str(error))
        return
    assert reading.drawn_used <= reading.drawn_count == len(drawing)
    for prompted in getattr(reading.prompt, "objects", ()):
        for x, y in prompted.points_xy:
            assert 0 <= x <= HW[1]
            assert 0 <= y <= HW[0]
