"""One question with a known answer, to be asked before and after something went wrong."""

from __future__ import annotations

from typing import Any

from infer_segment_anything_3.adapter.parameters.settings import get_defaults
from infer_segment_anything_3.tests.helpers import compute_iou

BASE = {**get_defaults(), "model_name": "tiny_shapes", "precision": "float32", "cuda": "False"}
"""A value for every parameter, without a prompt."""

IMAGE, CLASS_MAP, INSTANCES, DATA = range(4)


def boxes_of(scene: Any) -> str:
    """The boxes of all its shapes, as ``input_box`` takes them."""
    return str([[int(value) for value in shape.xyxy] for shape in scene.shapes])


def answer(algo: Any) -> dict[str, Any]:
    """All that the outputs hold, as values that compare."""
    instances = algo.get_output(INSTANCES).get_objects()
    return {
        "outputs": algo.get_output_count(),
        "image": algo.get_output(IMAGE).get_image().tobytes(),
        "class map": algo.get_output(CLASS_MAP).get_mask().tobytes(),
        "names": algo.get_output(CLASS_MAP).get_class_names(),
        "instances": [(o.label, o.confidence, o.box, o.mask.tobytes()) for o in instances],
        "data": algo.get_output(DATA).data,
    }


def ask(workflow: Any, algo: Any, scene: Any) -> dict[str, Any]:
    """Segments all shapes of a scene by their boxes, whatever the task was asked before."""
    algo.set_parameters({**BASE, "input_box": boxes_of(scene)})
    workflow.run_on(array=scene.image)
    return answer(algo)


def check_is_right(algo: Any, scene: Any) -> None:
    """Fails unless the shapes of the scene were found, in their order."""
    found = algo.get_output(INSTANCES).get_objects()
    assert len(found) == len(scene.shapes)
    for one, shape in zip(found, scene.shapes, strict=True):
        assert compute_iou(one.mask, shape.mask) >= 0.6


def check_is_empty(algo: Any) -> None:
    """Fails if an output holds anything of a run that failed."""
    assert algo.get_output_count() == 4
    assert algo.get_output(INSTANCES).get_objects() == []
    assert algo.get_output(DATA).data == {}
    for index in (IMAGE, CLASS_MAP, INSTANCES):
        assert not algo.get_output(index).is_data_available()
