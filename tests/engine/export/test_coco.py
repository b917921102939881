"""COCO terms are what COCO's own reader makes of them."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from infer_segment_anything_3.engine.export.coco import prompt_to_dict, to_coco
from infer_segment_anything_3.engine.export.polygons import mask_to_polygons
from infer_segment_anything_3.engine.export.rle import mask_to_rle
from infer_segment_anything_3.engine.export.supervision import to_detections
from infer_segment_anything_3.engine.prompts import (
    ConceptPrompt,
    EverythingPrompt,
    ObjectPrompt,
    PromptedObject,
)
from infer_segment_anything_3.engine.results import Instance, Mask, Result
from infer_segment_anything_3.tests.helpers import compute_iou


def disc(hw=(120, 160), center=(60.0, 50.0), radius=30.0):
    y, x = np.mgrid[: hw[0], : hw[1]]
    return (x - center[0]) ** 2 + (y - center[1]) ** 2 <= radius**2


RING = disc() & ~disc(radius=17)
ISLAND_IN_A_HOLE = RING | disc(radius=8)
TWO_PARTS = disc() | disc(center=(130, 100), radius=12)
MANY_HOLES = disc() & ~(np.add.outer(np.arange(120) % 6 < 3, np.arange(160) % 5 < 2) == 2)
TOUCHING_CORNERS = np.kron(np.eye(4, dtype=bool), np.ones((7, 9), bool))
EMPTY = np.zeros((120, 160), bool)
FULL = np.ones((7, 5), bool)
ONE_PIXEL = np.pad(np.ones((1, 1), bool), 3)
TALL = np.pad(np.ones((40, 3), bool), ((0, 0), (5, 2)))

MASKS = {
    "disc": disc(),
    "hole": RING,
    "island in a hole": ISLAND_IN_A_HOLE,
    "two parts": TWO_PARTS,
    "many holes": MANY_HOLES,
    "touching corners": TOUCHING_CORNERS,
    "full": FULL,
    "one pixel": ONE_PIXEL,
    "full height": TALL,
    "clipped by the image": disc(center=(0, 119), radius=60),
}


def result_of(*masks, class_names=("red circle", "star"), box=(1.5, 2.25, 30.0, 40.75)):
    instances = tuple(
        Instance(index % len(class_names), 0.9 - index / 100, box, Mask.from_full(mask))
        for index, mask in enumerate(masks)
    )
    return Result((masks[0].shape[0], masks[0].shape[1]), class_names, instances)


def read_back(data):
    coco = COCO()
    coco.dataset = json.loads(json.dumps(data))
    coco.createIndex()
    return coco


@pytest.mark.parametrize("mask", [*MASKS.values(), EMPTY], ids=[*MASKS, "empty"])
def test_run_lengths_equal_those_of_pycocotools(mask):
    expected = mask_api.encode(np.asfortranarray(mask.astype(np.uint8)))
    rle = mask_to_rle(Mask.from_full(mask))
    assert rle == {"size": list(mask.shape), "counts": expected["counts"].decode()}


@given(np_st.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
@settings(deadline=None, max_examples=150)
def test_any_mask_survives_both_formats(mask):
    encoded = Mask.from_full(mask)
    assert (mask_api.decode(mask_to_rle(encoded)) == mask).all()
    coco = read_back(to_coco(result_of(mask), segmentation_format="polygon"))
    assert (coco.annToMask(coco.anns[1]) == mask).all()


@pytest.mark.parametrize("segmentation_format", ["rle", "polygon"])
@pytest.mark.parametrize("mask", [*MASKS.values(), EMPTY], ids=[*MASKS, "empty"])
def test_masks_survive_a_round_trip(mask, segmentation_format):
    coco = read_back(to_coco(result_of(mask), segmentation_format=segmentation_format))
    read = coco.annToMask(coco.anns[1]).astype(bool)
    assert read.shape == mask.shape
    assert compute_iou(read, mask) >= (0.98 if segmentation_format == "polygon" else 1.0)


@pytest.mark.parametrize("radius", [1, 2, 5, 20, 80, 300])
def test_polygons_of_any_size_keep_their_shape_with_few_corners(radius):
    mask = disc((640, 640), (320.3, 310.7), radius) & ~disc((640, 640), (320, 310), radius / 3)
    [polygon] = mask_to_polygons(Mask.from_full(mask))
    decoded = mask_api.decode(mask_api.merge(mask_api.frPyObjects([polygon], 640, 640)))
    assert compute_iou(decoded.astype(bool), mask) >= 0.98
    assert len(polygon) // 2 <= 60 + 4 * radius


def test_the_dictionary_says_what_was_found():
    prompt = ConceptPrompt(("red circle", "star"), confidence_threshold=0.4)
    data = to_coco(result_of(disc(), TWO_PARTS, EMPTY), prompt)
    coco = read_back(data)
    assert data["image"] == {"id": 1, "width": 160, "height": 120} == coco.imgs[1]
    assert [(c["id"], c["name"]) for c in coco.loadCats([1, 2])] == [
        (1, "red circle"),
        (2, "star"),
    ]
    first, second, third = coco.loadAnns([1, 2, 3])
    assert [a["category_id"] for a in (first, second, third)] == [1, 2, 1]
    assert first["bbox"] == [1.5, 2.25, 28.5, 38.5]
    assert [first["area"], third["area"]] == [np.count_nonzero(disc()), 0]
    assert first["score"] == pytest.approx(0.9)
    assert coco.dataset["prompt"]["kind"] == "concept"
    assert coco.dataset["prompt"]["texts"] == ["red circle", "star"]


def test_no_segmentation_if_asked():
    [annotation] = to_coco(result_of(disc()), segmentation_format="none")["annotations"]
    assert "segmentation" not in annotation


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match=r"^segmentation_format: .*rle, polygon, none.*'png'$"):
        to_coco(result_of(disc()), segmentation_format="png")


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (EverythingPrompt(16), {"kind": "everything", "points_per_side": 16, "min_area_px": 0}),
        (
            ObjectPrompt(
                (PromptedObject(((3.0, 4.0),), (1,), mask_input=np.zeros((1, 2, 2), np.float32)),)
            ),
            {
                "kind": "object",
                "objects": [
                    {
                        "points_xy": [[3.0, 4.0]],
                        "point_labels": [1],
                        "box_xyxy": None,
                        "class_name": "object",
                    }
                ],
                "multimask": False,
            },
        ),
    ],
)
def test_prompts_are_echoed_as_plain_data(prompt, expected):
    assert json.loads(json.dumps(prompt_to_dict(prompt))) == expected


def test_pycocotools_finds_a_result_equal_to_itself():
    from pycocotools.cocoeval import COCOeval

    truth = read_back(to_coco(result_of(disc(), TWO_PARTS)))
    found = truth.loadRes(truth.dataset["annotations"])
    evaluation = COCOeval(truth, found, "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("segmentation_format", "limit_ms"), [("rle", 1.0), ("polygon", 5.0), ("none", 0.2)]
)
def test_a_thousand_instances_take_seconds_at_most(segmentation_format, limit_ms):
    mask = np.zeros((1200, 1800), bool)
    mask[500:620, 700:860] = RING
    result = result_of(*[mask] * 1000)
    start_s = time.process_time()
    to_coco(result, segmentation_format=segmentation_format)
    assert (time.process_time() - start_s) < limit_ms


def test_supervision_takes_results():
    pytest.importorskip("supervision")
    detections = to_detections(result_of(disc(), TWO_PARTS))
    assert len(detections) == 2
    assert detections.xyxy.tolist() == [[1.5, 2.25, 30.0, 40.75]] * 2
    assert (detections.mask[1] == TWO_PARTS).all()
    assert detections.data["class_name"].tolist() == ["red circle", "star"]
    assert detections.class_id.tolist() == [0, 1]
    assert len(to_detections(Result((4, 5), (), ()))) == 0
