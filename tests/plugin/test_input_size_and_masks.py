"""The parameters ``input_size`` and ``masks`` through the task."""

from __future__ import annotations

import pytest


def test_a_smaller_input_size_runs_and_another_is_refused(make_algo, scene):
    shown = scene(3)
    wf, algo = make_algo(input_text="circle, square, triangle, star", input_size=224)
    wf.run_on(array=shown.image)
    assert len(algo.get_output(2).get_objects()) == len(shown.shapes)
    algo.set_parameters({"input_size": "672"})
    with pytest.raises(ValueError, match="input_size: expected auto, 280, 224, 112 with"):
        algo.run()
    algo.set_parameters({"input_size": "auto"})
    wf.run_on(array=shown.image)
    assert len(algo.get_output(2).get_objects()) == len(shown.shapes)


def test_boxes_only(make_algo, scene):
    shown = scene(3)
    wf, algo = make_algo(input_text="circle, square, triangle, star", masks=False)
    wf.run_on(array=shown.image)
    objects = algo.get_output(2).get_objects()
    assert len(objects) == len(shown.shapes)
    for left, top, right, bottom in (shape.xyxy for shape in shown.shapes):
        true = (left, top, right - left, bottom - top)
        off_px = [max(abs(a - b) for a, b in zip(o.box, true, strict=True)) for o in objects]
        assert min(off_px) < 20
    assert not any(o.mask.any() for o in objects)
    assert not algo.get_output(1).get_mask().any()
    annotations = algo.get_output(3).data["annotations"]
    assert len(annotations) == len(objects)
    assert all("segmentation" not in a and a["bbox"][2] > 1 for a in annotations)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_area": "5"}, "min_area: expected its default with masks False, got '5'"),
        ({"tiles": "2"}, "tiles: expected its default with masks False"),
        ({"refine": "True"}, "refine: expected its default with masks False"),
        ({"prompt_mode": "everything"}, "masks: expected True with prompt_mode everything"),
        ({"input_text": "", "input_point": "[9, 9]"}, "masks: expected True with prompt_mode obj"),
    ],
)
def test_what_needs_masks_is_refused_and_the_next_run_works(make_algo, scene, changes, message):
    shown = scene(3)
    wf, algo = make_algo(input_text="circle", masks=False)
    wf.run_on(array=shown.image)
    before = algo.get_parameters()
    algo.set_parameters(changes)
    with pytest.raises(ValueError, match=message):
        algo.run()
    algo.set_parameters(before)
    wf.run_on(array=shown.image)
    assert algo.get_output(2).get_objects()
