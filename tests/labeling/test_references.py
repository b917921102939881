"""A job that looks for what a picture shows."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from infer_segment_anything_3.cli import app
from infer_segment_anything_3.engine import ConceptPrompt, Engine, ReferenceImage
from infer_segment_anything_3.engine.images import decode_image
from infer_segment_anything_3.tools.tiny_shapes.heldout.references import draw_pair

from .conftest import read_rows


@pytest.fixture
def pair():
    return draw_pair(np.random.default_rng(2), side_range_px=(160, 260))


@pytest.fixture
def reference(pair, tmp_path):
    path = tmp_path / "ref.png"
    Image.fromarray(pair.reference.image).save(path)
    return path


@pytest.fixture
def boxes(pair):
    return json.dumps([pair.example.xyxy.tolist()])


def test_every_image_is_searched_for_what_the_boxes_show(
    images, out, label, pair, reference, boxes, tiny_engine
):
    Image.fromarray(pair.target.image).save(images / "target.png")
    code, printed = label("--reference", str(reference), "--boxes", boxes, text="")
    assert code == 0, printed
    prompt = ConceptPrompt(
        exemplars_xyxy=tuple(map(tuple, json.loads(boxes))),
        reference=ReferenceImage(pair.reference.image),
    )
    rows = {row.name: row for row in read_rows(out)}
    assert len(rows["target.png"].instances) == len(pair.matches)
    for name, row in rows.items():
        expected = tiny_engine.segment(decode_image(str(images / name)), prompt).instances
        assert [i.score for i in row.instances] == pytest.approx([i.score for i in expected])


def test_the_reference_is_encoded_once(
    monkeypatch, images, out, label, reference, boxes, tiny_engine
):
    monkeypatch.setattr(Engine, "load", lambda *_: tiny_engine)
    tiny_engine.clear_caches()
    before = tiny_engine.encodings
    assert label("--reference", str(reference), "--boxes", boxes)[0] == 0
    assert tiny_engine.encodings - before == len(list(images.rglob("*.png"))) + 1


def test_another_reference_in_the_same_folder_is_refused(
    images, out, label, reference, boxes, capsys
):
    options = ("--reference", str(reference), "--boxes", boxes)
    assert label(*options)[0] == 0
    moved = str(shutil.copy(reference, reference.with_name("moved.png")))
    code, printed = label("--reference", moved, "--boxes", boxes)
    assert code == 0, printed
    Image.fromarray(255 - decode_image(str(reference))).save(reference)
    code, printed = label(*options)
    assert code == 2
    assert printed.startswith("reference: this folder was begun with {'sha256': "), printed


def test_labels_and_text_go_with_the_boxes(out, label, reference, boxes):
    two = json.dumps([*json.loads(boxes), [0, 0, 12, 12]])
    options = ("--reference", str(reference), "--boxes", two, "--exemplar-labels", "[1, 0]")
    code, printed = label(*options, text="star, red shape")
    assert code == 0, printed
    settings = json.loads((out / "job.json").read_text())["settings"]
    assert settings["texts"] == ["star", "red shape"]
    assert settings["exemplar_labels"] == [1, 0]


@pytest.mark.parametrize(
    ("options", "text", "named"),
    [
        (("--reference", "{gone}", "--boxes", "{boxes}"), "", "reference: expected an image that"),
        (("--reference", "{notes}", "--boxes", "{boxes}"), "", "reference: expected an image that"),
        (("--reference", "{ref}"), "star", "boxes: expected boxes [x1, y1, x2, y2] in the ref"),
        (("--reference", "{ref}", "--boxes", "[1, 2]"), "", "boxes: expected"),
        (
            ("--reference", "{ref}", "--boxes", "[[9000, 0, 9010, 10]]"),
            "",
            "boxes: expected boxes that reach into the reference of ",
        ),
        (("--boxes", "[[1, 2, 30, 40]]"), "", "boxes: expected a COCO file (coordinates belong"),
        (
            ("--reference", "{ref}", "--exemplars", "[1, 2, 30, 40]"),
            "",
            "exemplars: expected none beside a reference",
        ),
        (
            ("--reference", "{ref}", "--boxes", "{boxes}", "--exemplar-labels", "[1, 0]"),
            "",
            "exemplar_labels: expected 1, one for each of the boxes",
        ),
        (
            ("--reference", "{ref}", "--boxes", "{boxes}", "--exemplar-labels", "[0]"),
            "",
            "exemplar_labels: expected a text beside boxes that are all 0",
        ),
        (
            ("--reference", "{ref}", "--boxes", "{boxes}", "--tiles", "2"),
            "",
            "tiles: expected off or auto with exemplar boxes",
        ),
        (
            ("--reference", "{ref}", "--boxes", "{boxes}", "--everything"),
            "",
            "text: expected exactly one of",
        ),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(
    out, label, tmp_path, reference, boxes, options, text, named
):
    (tmp_path / "notes.md").write_text("no image")
    values = {
        "{ref}": str(reference),
        "{boxes}": boxes,
        "{gone}": str(tmp_path / "gone.png"),
        "{notes}": str(tmp_path / "notes.md"),
    }
    code, printed = label(*(values.get(option, option) for option in options), text=text)
    assert code == 2
    assert printed.startswith(named), printed
    assert len(printed.splitlines()) == 1
    assert not out.exists()


def test_boxes_without_masks(images, out, label, tiny_engine):
    code, printed = label("--no-masks", text="star, red shape")
    assert code == 0, printed
    prompt = ConceptPrompt(("star", "red shape"), masks=False)
    rows = {row.name: row for row in read_rows(out)}
    pixels = decode_image(str(images / "1.png"))
    expected = tiny_engine.segment(pixels, prompt).instances
    found = rows["1.png"].instances
    assert [i.box_xyxy for i in found] == [pytest.approx(i.box_xyxy, abs=0.1) for i in expected]
    assert {(i.rle_counts, i.area_px) for row in rows.values() for i in row.instances} == {
        (None, 0)
    }
    coco = COCO(str(out / "annotations.json"))
    assert len(coco.anns) == sum(len(row.instances) for row in rows.values()) > 0
    for annotation in coco.anns.values():
        assert "segmentation" not in annotation
        assert annotation["area"] == pytest.approx(annotation["bbox"][2] * annotation["bbox"][3])
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.width > 500
    assert app.main(["export", str(out), "--formats", "yolo"]) == 2


@pytest.mark.parametrize(
    ("options", "text", "named"),
    [
        (("--no-masks", "--formats", "png"), "star", "formats: expected none with no_masks"),
        (("--no-masks", "--everything"), "", "no_masks: expected text, exemplars or reference"),
        (("--no-masks", "--min-area", "5"), "star", "min_area: expected 0 with no_masks"),
        (("--no-masks", "--tiles", "auto"), "star", "tiles: needs masks"),
        (("--input-size", "672"), "star", "input_size: expected auto, 280, 224, 112"),
        (("--input-size", "small"), "star", "input_size: expected auto or a side"),
    ],
)
def test_a_wrong_size_or_what_needs_masks_is_refused(out, label, options, text, named):
    code, printed = label(*options, text=text)
    assert code == 2
    assert printed.startswith(named), printed
    assert not out.exists()


def test_the_model_runs_at_the_input_size(images, out, label):
    assert label("--input-size", "112", text="star, red shape")[0] == 0
    engine = Engine.load("tiny_shapes", None, "cpu", "float32", 112)
    prompt = ConceptPrompt(("star", "red shape"))
    for row in read_rows(out):
        expected = engine.segment(decode_image(str(images / row.name)), prompt).instances
        assert [i.score for i in row.instances] == pytest.approx(
            [i.score for i in expected], abs=1e-4
        )
    code, printed = label("--input-size", "224", text="star, red shape")
    assert code == 2
    assert printed.startswith("input_size: this folder was begun with 112, got 224")
