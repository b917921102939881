"""The kinds of prompts a job takes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from infer_segment_anything_3.engine import EverythingPrompt, ObjectPrompt, PromptedObject
from infer_segment_anything_3.engine.images import decode_image
from infer_segment_anything_3.labeling.prompt_sources import BoxPrompts

from .conftest import read_rows


def write_boxes(path, boxes):
    names = list(boxes)
    annotations = [
        {"id": k, "image_id": names.index(name), "category_id": category, "bbox": box}
        for k, (name, category, box) in enumerate(
            (name, category, box) for name in names for category, box in boxes[name]
        )
    ]
    data = {
        "images": [{"id": k, "file_name": name} for k, name in enumerate(names)],
        "categories": [{"id": 7, "name": "thing"}, {"id": 3, "name": "other"}],
        "annotations": annotations,
    }
    path.write_text(json.dumps(data))
    return str(path)


def test_boxes_of_a_coco_file_become_masks(images, out, label, tmp_path, tiny_engine):
    boxes = {
        "1.png": [(7, [10, 10, 60, 60]), (3, [50, 40, 50, 60])],
        "2.png": [(3, [5, 5, 50, 50])],
    }
    code, printed = label("--boxes", write_boxes(tmp_path / "boxes.json", boxes), text="")
    assert code == 0, printed
    rows = {row.name: row for row in read_rows(out)}
    assert [i.category_id for i in rows["1.png"].instances] == [7, 3]
    assert [i.category_id for i in rows["2.png"].instances] == [3]
    assert not rows["3.png"].instances
    pixels = decode_image(str(images / "1.png"))
    prompt = ObjectPrompt((PromptedObject(box_xyxy=(10, 10, 70, 70)),))
    expected = tiny_engine.segment(pixels, prompt).instances[0].mask.full()
    found = rows["1.png"].decode_mask(rows["1.png"].instances[0]).full()
    assert (found == expected).mean() > 0.99


def test_boxes_of_a_coco_file_are_exemplars(images, out, label, tmp_path, scene):
    boxes = {"1.png": [(7, [10, 10, 60, 60])]}
    file = write_boxes(tmp_path / "boxes.json", boxes)
    assert label("--boxes", file, "--boxes-as", "exemplars", text="")[0] == 0
    rows = {row.name: row for row in read_rows(out)}
    assert {i.category_id for row in rows.values() for i in row.instances} <= {7}


def test_exemplars_alone_are_a_category_that_users_understand(images, out, label):
    assert label("--exemplars", "[10, 10, 70, 70]", text="")[0] == 0
    categories = json.loads((out / "annotations.json").read_text())["categories"]
    assert [category["name"] for category in categories] == ["exemplar"]


def test_a_box_outside_its_image_is_that_images_error(out, label, tmp_path):
    boxes = {"1.png": [(7, [5000, 10, 60, 60])], "2.png": [(7, [10, 10, 60, 60])]}
    code, printed = label("--boxes", write_boxes(tmp_path / "boxes.json", boxes), text="")
    assert code == 3
    assert "1.png: box_xyxy: expected boxes that reach into the image" in printed


def test_what_a_coco_file_holds_beside_its_boxes_is_noted(out, label, tmp_path):
    boxes = {"1.png": [(7, [10, 10, 60, 60]), (99, [1, 1, 5, 5])], "2.png": [(3, [9, 9, 0, 0])]}
    code, printed = label("--boxes", write_boxes(tmp_path / "boxes.json", boxes), text="")
    assert code == 0, printed
    assert printed.splitlines()[:2] == [
        "boxes: 1 annotation left out, of an unknown category: 1",
        "boxes: 1 annotation left out, its box has no area: 2",
    ]
    assert [len(row.instances) for row in read_rows(out)][:2] == [1, 0]


def test_a_box_is_taken_from_the_mask_where_it_is_missing(tmp_path):
    file = tmp_path / "boxes.json"
    write_boxes(file, {"1.png": [(7, [10, 10, 60, 60])]})
    data = json.loads(file.read_text())
    del data["annotations"][0]["bbox"]
    data["annotations"][0]["segmentation"] = [[10, 10, 70, 10, 70, 70, 10, 70]]
    file.write_text(json.dumps(data))
    [prompt] = BoxPrompts(str(file)).make_prompts("1.png")
    assert prompt.prompt.objects[0].box_xyxy == (10, 10, 70, 70)


def test_everything(images, out, label, tiny_engine):
    assert label("--everything", "--points-per-side", "8", text="")[0] == 0
    rows = {row.name: row for row in read_rows(out)}
    pixels = decode_image(str(images / "1.png"))
    expected = tiny_engine.segment(pixels, EverythingPrompt(points_per_side=8)).instances
    areas = [instance.area_px for instance in rows["1.png"].instances]
    assert areas == pytest.approx([i.mask.area for i in expected], rel=0.02)
    assert np.sum(areas) > 0


@pytest.mark.parametrize(
    ("options", "text", "named"),
    [
        ((), "", "text: expected exactly one of"),
        (("--everything",), "star", "text: expected exactly one of"),
        ((), "star, star", "text: expected every concept once"),
        (("--threshold", "2"), "star", "threshold: expected a number from 0 to 1"),
        (("--tiles", "many"), "star", "tiles: expected off, auto or"),
        (("--overlap", "worst"), "star", "overlap: expected one of keep, best"),
        (("--min-area", "-1"), "star", "min_area: expected"),
        (("--exemplars", "[1, 2]"), "", "exemplars: expected"),
        (("--exemplars", "[1, 2, 30, 40]", "--exemplar-labels", "[1, 0]"), "", "exemplar_labels: "),
        (("--everything", "--points-per-side", "0"), "", "points_per_side: expected"),
        (("--boxes", "nowhere.json"), "", "boxes: expected a COCO file that can be read"),
        (("--boxes", "{broken}"), "", "boxes: expected a COCO file that can be read"),
        (("--boxes", "{list}"), "", "boxes: expected a COCO file (a JSON object)"),
        (("--boxes", "{bare}"), "", "boxes: expected a COCO file with images, categories"),
        (("--shard", "0"), "star", "shard: expected"),
        (("--decoders", "0"), "star", "decoders: expected"),
        (("--max-bad", "some"), "star", "max_bad: expected"),
        (("--max-bad", "200%"), "star", "max_bad: expected"),
        (("--input-size-percent", "0"), "star", "input_size_percent: expected"),
        (("--formats", "yolo voc"), "star", "formats: expected one of"),
        (("--val", "1.5"), "star", "val: expected"),
        (("--model", "sam4"), "star", "model: expected sam3, sam3.1, tiny_shapes"),
        (("--precision", "int4"), "star", "precision: expected one of"),
        (("--device", "tpu9000"), "star", "device: expected"),
        (("--weights", "nowhere.pt"), "star", "weights: No weights at 'nowhere.pt'"),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(out, label, tmp_path, options, text, named):
    files = {"{broken}": "{", "{list}": "[]", "{bare}": '{"images": []}'}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    options = [str(tmp_path / o) if o in files else o for o in options]
    code, printed = label(*options, text=text)
    assert code == 2
    assert printed.startswith(named), printed
    assert len(printed.splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize(
    "source", ["nowhere", "notes", "s3-like://bucket/images", "nowhere/*.png", ""]
)
def test_a_source_without_images_is_refused(out, label, tmp_path, source):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").touch()
    address = source if "://" in source or not source else str(tmp_path / source)
    code, printed = label(source=address)
    assert code == 2
    assert printed.startswith("images: expected "), printed
    assert not out.exists()


def test_an_output_folder_that_cannot_be_written_is_refused(label, out):
    out.write_text("a file")
    code, printed = label()
    assert code == 2
    assert printed.startswith("out: expected a folder that can be written to"), printed
