"""Every call that the plugin's published page shows, on a scene with the bundled model."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_3.tests.helpers import compute_iou

from .scenes import GOOD_IOU, box, inside, masks, matched, objects


@pytest.fixture
def shown(scene):
    """A scene with four shapes that are easy to tell apart."""
    return scene(seed=11, count_range=(4, 4), side_range_px=(320, 480))


def test_text_with_a_threshold(make_algo, shown):
    kind = shown.shapes[0].kind
    wf, algo = make_algo(input_text=kind, confidence_threshold=0.5)
    wf.run_on(array=shown.image)
    assert matched(masks(algo), shown.find_matching(kind))
    assert {found.label for found in objects(algo)} == {kind}
    assert all(found.confidence > 0.5 for found in objects(algo))
    low = [found.confidence for found in objects(algo)]
    algo.set_parameters({"confidence_threshold": str(max(low))})
    wf.run_on(array=shown.image)
    assert objects(algo) == [], "at or below the threshold is left out"


def test_one_point(make_algo, shown):
    wf, algo = make_algo(input_point=inside(shown.shapes[0]))
    wf.run_on(array=shown.image)
    [mask] = masks(algo)
    assert compute_iou(mask, shown.shapes[0].mask) >= GOOD_IOU


def test_several_points_with_labels_are_one_object(make_algo, shown):
    first, second = shown.shapes[:2]
    wf, algo = make_algo(input_point=[inside(first), inside(second)], input_point_label=[1, 0])
    wf.run_on(array=shown.image)
    [mask] = masks(algo)
    assert np.count_nonzero(mask[second.mask]) <= 0.05 * np.count_nonzero(second.mask)
    assert compute_iou(mask, first.mask) >= GOOD_IOU


def test_points_of_several_objects(make_algo, shown):
    wf, algo = make_algo(input_point=[[inside(shape)] for shape in shown.shapes[:3]])
    wf.run_on(array=shown.image)
    assert [
        compute_iou(m, s.mask) >= GOOD_IOU for m, s in zip(masks(algo), shown.shapes, strict=False)
    ] == [True] * 3


@pytest.mark.parametrize(("count", "nested"), [(1, False), (1, True), (2, True), (4, True)])
def test_boxes_are_as_many_objects_in_their_order(make_algo, shown, count, nested):
    boxes = [box(shape) for shape in shown.shapes[:count]]
    wf, algo = make_algo(input_box=boxes if nested else boxes[0])
    wf.run_on(array=shown.image)
    found = masks(algo)
    assert len(found) == count
    for mask, shape in zip(found, shown.shapes, strict=False):
        assert compute_iou(mask, shape.mask) >= GOOD_IOU


def test_a_box_with_a_background_point(make_algo, shown):
    shape = shown.shapes[0]
    corner = box(shape)[:2]
    wf, algo = make_algo(input_box=box(shape), input_point=corner, input_point_label=0)
    wf.run_on(array=shown.image)
    [mask] = masks(algo)
    assert mask[corner[1], corner[0]] == 0
    assert compute_iou(mask, shape.mask) >= 0.6


@pytest.mark.parametrize(("value", "count"), [("True", 6), ("False", 4)])
def test_multimask_output(make_algo, shown, value, count):
    wf, algo = make_algo(
        input_point=[[inside(shape)] for shape in shown.shapes[:2]], multimask_output=value
    )
    wf.run_on(array=shown.image)
    assert algo.get_output_count() == count
    ranked = [
        [found.confidence for found in objects(algo, index)]
        for index in range(2, count)
        if index != 3
    ]
    for candidates in zip(*ranked, strict=True):
        assert list(candidates) == sorted(candidates, reverse=True)


def test_images_with_masks(make_algo, shown):
    wf, algo = make_algo(input_box=[box(shape) for shape in shown.shapes])
    wf.run_on(array=shown.image)
    drawn = algo.get_image_with_mask()
    assert drawn.shape == shown.image.shape
    changed = (drawn != shown.image).any(axis=2)
    for mask in masks(algo):
        assert changed[mask != 0].mean() > 0.9
    for index in (1, 2):
        overlay = algo.get_output(0).get_image_with_mask(algo.get_output(index))
        assert overlay.shape == shown.image.shape
        assert (overlay != shown.image).any()


def test_images_with_graphics_and_the_class_names(make_algo, shown):
    wf, algo = make_algo(input_box=box(shown.shapes[0]))
    assert algo.get_image_with_graphics() is None
    assert algo.get_image_with_mask_and_graphics() is None
    assert algo.get_names() == []
    wf.run_on(array=shown.image)
    assert algo.get_names() == ["background", "object"]
    x1, y1, x2, y2 = box(shown.shapes[0])
    interior = np.s_[(y1 + y2) // 2 - 2 : (y1 + y2) // 2 + 2, (x1 + x2) // 2 - 2 : (x1 + x2) // 2]
    boxes, both = algo.get_image_with_graphics(), algo.get_image_with_mask_and_graphics()
    assert (boxes != shown.image).any()
    assert (boxes[interior] == shown.image[interior]).all()
    assert (both[interior] == algo.get_image_with_mask()[interior]).all()
    assert (both != algo.get_image_with_mask()).any()
    assert (algo.get_output(0).get_image() == shown.image).all()


def test_every_output_prints_and_writes_json(make_algo, shown, capfd):
    wf, algo = make_algo(input_box=box(shown.shapes[0]), multimask_output=True)
    wf.run_on(array=shown.image)
    for output in algo.get_outputs():
        print(output, file=sys.stdout)  # noqa: T201 - what the page shows
        sys.stdout.flush()
        assert json.loads(output.to_json()) is not None
    assert capfd.readouterr().out


def test_a_file_by_its_path(make_algo, shown, tmp_path):
    path = tmp_path / "scene.png"
    Image.fromarray(shown.image).save(path)
    wf, algo = make_algo(input_box=box(shown.shapes[0]))
    wf.run_on(array=shown.image)
    from_array = masks(algo)[0].copy()
    wf.run_on(path=str(path))
    assert (masks(algo)[0] == from_array).all()
    assert algo.get_output(3).data["image"]["file_name"] == str(path)


def test_a_change_of_parameters_changes_the_next_run(make_algo, shown):
    wf, algo = make_algo(input_box=box(shown.shapes[0]))
    wf.run_on(array=shown.image)
    first = masks(algo)[0].copy()
    algo.set_parameters({"input_box": str(box(shown.shapes[1]))})
    wf.run_on(array=shown.image)
    assert compute_iou(masks(algo)[0], first) < 0.5
    wf.set_parameters({"input_box": box(shown.shapes[0])}, task_obj=algo)
    wf.run_on(array=shown.image)
    assert (masks(algo)[0] == first).all()
