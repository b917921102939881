"""What a run asks of Ikomia and of itself, counted."""

from __future__ import annotations

from collections import Counter

import pytest

from infer_segment_anything_3.engine import Mask

from .scenes import inside

COUNTED = {
    "CImageIO": ("set_image", "set_overlay_mask"),
    "CSemanticSegmentationIO": ("set_class_names", "set_class_colors", "set_mask"),
    "CInstanceSegmentationIO": ("init", "add_object"),
}


@pytest.fixture
def calls(monkeypatch):
    """Calls of Ikomia's costly methods, and masks made full-size."""
    from ikomia import dataprocess

    counts = Counter()

    def count(owner, name):
        original = getattr(owner, name)

        def counted(*args, **kwargs):
            counts[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    for io, names in COUNTED.items():
        for name in names:
            count(getattr(dataprocess, io), name)
    count(Mask, "full")
    return counts


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("objects", [1, 3])
def test_each_costly_call_is_made_once(make_algo, scene, calls, objects, multimask):
    drawn = scene(seed=11, count_range=(4, 4), side_range_px=(320, 480))
    points = [[inside(shape)] for shape in drawn.shapes[:objects]]
    wf, _ = make_algo(input_point=points, multimask_output=multimask)
    wf.run_on(array=drawn.image)
    calls.clear()
    wf.run_on(array=drawn.image)
    outputs = 3 if multimask else 1
    assert calls == {
        "set_image": 1,
        "set_overlay_mask": 1,
        "set_class_names": 1,
        "set_class_colors": 1,
        "set_mask": 1,
        "init": outputs,
        "add_object": objects * outputs,
    }
