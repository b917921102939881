"""Each format, read back by its own library."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import supervision
from PIL import Image
from pycocotools.coco import COCO

from infer_segment_anything_3.cli import app

from .conftest import read_rows, save_scene


@pytest.fixture
def rows(label, images, out):
    # The same name but for the suffix, or but for the folder.
    save_scene(images / "sub" / "0.jpg", 20)
    save_scene(images / "sub_0.png", 21)
    assert label()[0] == 0
    return {row.name: row for row in read_rows(out)}


def export(out, *options):
    assert app.main(["export", str(out), *options]) == 0


def union(row, category):
    masks = [row.decode_mask(i).full() for i in row.instances if i.category_id == category]
    return np.any(masks, axis=0) if masks else np.zeros(row.hw, bool)


def test_yolo_is_read_by_supervision(rows, images, out):
    export(out, "--formats", "yolo", "--val", "0.3")
    found = {}
    compared = 0
    for split in ("train", "val"):
        data_set = supervision.DetectionDataset.from_yolo(
            images_directory_path=str(out / "yolo" / "images" / split),
            annotations_directory_path=str(out / "yolo" / "labels" / split),
            data_yaml_path=str(out / "yolo" / "data.yaml"),
            force_masks=True,
        )
        assert data_set.classes == ["star", "red shape", "circle"]
        for path, _, detections in data_set:
            found[Path(path).resolve().relative_to(images).as_posix()] = (split, detections)
    assert found.keys() == rows.keys()
    assert {split for split, _ in found.values()} == {"train", "val"}
    for name, (_, detections) in found.items():
        row = rows[name]
        assert (detections.class_id + 1).tolist() == [i.category_id for i in row.instances]
        masks = [] if detections.mask is None else detections.mask
        for mask, instance in zip(masks, row.instances, strict=True):
            full = row.decode_mask(instance).full()
            # It fills a polygon with the pixels that its outline touches.
            wider = cv2.dilate(full.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
            assert (full & ~mask).sum() <= 0.02 * full.sum()
            if cv2.connectedComponents(wider.astype(np.uint8))[0] == 2:  # else bridges join parts
                assert (mask & ~wider).sum() <= 0.02 * full.sum()
                compared += 1
    assert compared >= 3


def test_the_split_depends_on_the_content_alone(rows, images, out, label):
    export(out, "--val", "0.5")
    splits = {}
    for split in ("train", "val"):
        coco = COCO(str(out / f"annotations_{split}.json"))
        splits |= {image["file_name"]: split for image in coco.dataset["images"]}
    assert splits.keys() == rows.keys()
    (images / "copy.png").write_bytes((images / "1.png").read_bytes())
    label("--val", "0.5")
    coco = COCO(str(out / f"annotations_{splits['1.png']}.json"))
    assert "copy.png" in {image["file_name"] for image in coco.dataset["images"]}


def load_rle_decoder(checkout):
    path = checkout / "tests" / "serving" / "label_studio" / "rle_decoder.py"
    spec = importlib.util.spec_from_file_location("rle_decoder", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.decode_brush_rle


def test_label_studio_tasks_hold_the_masks(rows, out, checkout):
    export(out, "--formats", "labelstudio")
    decode = load_rle_decoder(checkout)
    tasks = json.loads((out / "label_studio" / "tasks.json").read_text())
    by_image = {task["data"]["image"]: task for task in tasks}
    assert by_image.keys() == {f"/data/local-files/?d={name}" for name in rows}
    config = ElementTree.parse(out / "label_studio" / "labeling_config.xml")
    labels = [label.get("value") for label in config.iter("Label")]
    assert labels == ["star", "red shape", "circle"]
    [brush] = config.iter("BrushLabels")
    for name, row in rows.items():
        [prediction] = by_image[f"/data/local-files/?d={name}"]["predictions"]
        assert len(prediction["result"]) == len(row.instances)
        for region, instance in zip(prediction["result"], row.instances, strict=True):
            assert region["from_name"] == brush.get("name")
            assert region["value"]["brushlabels"] == [labels[instance.category_id - 1]]
            assert (region["original_height"], region["original_width"]) == row.hw
            mask = decode(region["value"]["rle"], row.hw)
            assert (mask == row.decode_mask(instance).full()).all()


def test_png_maps_hold_classes_and_instances(rows, out):
    export(out, "--formats", "png")
    legend = json.loads((out / "png" / "classes.json").read_text())
    assert legend == {"0": "background", "1": "star", "2": "red shape", "3": "circle"}
    for name, row in rows.items():
        classes = np.asarray(Image.open(out / "png" / "classes" / f"{name}.png"))
        instances = np.asarray(Image.open(out / "png" / "instances" / f"{name}.png"))
        assert classes.shape == instances.shape == row.hw
        assert ((classes > 0) == (instances > 0)).all()
        for category in (1, 2, 3):
            assert not (classes == category)[~union(row, category)].any()
        for number, instance in enumerate(row.instances, start=1):
            shown = instances == number
            assert not shown[~row.decode_mask(instance).full()].any()
            assert (classes[shown] == instance.category_id).all()


def test_the_contact_sheet_shows_a_sample(rows, images, out):
    before = (out / "contact_sheet.png").read_bytes()
    sheet = Image.open(out / "contact_sheet.png")
    assert sheet.width > 1000
    assert len(sheet.getcolors(sheet.width * sheet.height)) > 1000
    export(out)
    assert (out / "contact_sheet.png").read_bytes() == before
    # An image that is gone is no reason to fail.
    (images / "1.png").unlink()
    export(out)
    assert (out / "contact_sheet.png").read_bytes() != before


def test_a_folder_without_a_job_is_refused(tmp_path, capsys):
    assert app.main(["export", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("out: expected a folder of a labeling job")
