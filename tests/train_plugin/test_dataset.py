"""Ikomia's data sets become COCO files that the training reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_3.labeling.coco.reader import parse_coco
from infer_segment_anything_3.train_plugin.dataset import to_coco

SQUARE = [10.0, 20.0, 50.0, 20.0, 50.0, 60.0, 10.0, 60.0]


def make_data(tmp_path, **image):
    return {
        "images": [
            {
                "image_id": "any",
                "filename": str(tmp_path / "photos" / "a.png"),
                "width": 100,
                "height": 80,
                "annotations": [{"category_id": 0, "bbox": [10, 20, 40, 40]}],
                **image,
            }
        ],
        "metadata": {"category_names": {0: "cog"}},
    }


def read(data):
    coco, folder = to_coco(data)
    return parse_coco("dataset", json.loads(json.dumps(coco))), folder


def test_polygons(tmp_path):
    data = make_data(
        tmp_path,
        annotations=[
            {"category_id": 0, "bbox": [10, 20, 40, 40], "segmentation_poly": [SQUARE]},
            {"category_id": 0, "bbox": [0, 0, 30, 30], "iscrowd": 1},
        ],
    )
    found, folder = read(data)
    assert folder == tmp_path / "photos"
    assert found.images[0].file_name == "a.png"
    assert [c.name for c in found.categories] == ["cog"]
    first, second = found.annotations
    assert first.decode_mask((80, 100)).sum() == 1600
    assert not first.is_crowd
    assert second.is_crowd
    assert second.mask is None
    assert second.box_xyxy == (0, 0, 30, 30)


def test_masks_as_an_array(tmp_path):
    masks = np.zeros((1, 80, 100), np.uint8)
    masks[0, 20:60, 10:50] = 1
    found, _ = read(make_data(tmp_path, segmentation_masks_np=masks))
    mask = found.annotations[0].decode_mask((80, 100))
    assert np.array_equal(mask, masks[0] > 0)


def test_masks_as_a_palette_image(tmp_path):
    instances = np.zeros((80, 100), np.uint8)
    instances[20:60, 10:50], instances[0:10, 0:10], instances[70:, 90:] = 1, 2, 255
    picture = Image.fromarray(instances, "P")
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tolist())
    picture.save(tmp_path / "instances.png")
    boxes = [{"category_id": 0, "bbox": [10, 20, 40, 40]}, {"category_id": 0, "bbox": [0, 0, 9, 9]}]
    path = str(tmp_path / "instances.png")
    found, _ = read(make_data(tmp_path, annotations=boxes, instance_seg_masks_file=path))
    assert [a.decode_mask((80, 100)).sum() for a in found.annotations] == [1600, 100]


def test_images_of_several_folders_keep_their_names(tmp_path):
    data = make_data(tmp_path)
    other = {**data["images"][0], "filename": str(tmp_path / "more" / "a.png")}
    data["images"].append(other)
    found, folder = read(data)
    assert folder == tmp_path
    assert {image.file_name for image in found.images} == {"photos/a.png", "more/a.png"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "dataset: expected a data set with images"),
        ({"images": []}, "dataset: expected a data set with images"),
        ({"images": [{"filename": "a"}], "metadata": {}}, "metadata.category_names"),
        (
            {"images": [{"width": 4}], "metadata": {"category_names": {0: "cog"}}},
            r"dataset: images\[0\].filename: expected a path",
        ),
    ],
)
def test_what_is_missing_is_named(data, message):
    with pytest.raises(ValueError, match=message):
        to_coco(data)


def test_a_wrong_number_of_masks_is_refused(tmp_path):
    masks = np.zeros((2, 80, 100), np.uint8)
    with pytest.raises(ValueError, match=r"segmentation_masks_np of .*a\.png: expected 1 masks"):
        to_coco(make_data(tmp_path, segmentation_masks_np=masks))
