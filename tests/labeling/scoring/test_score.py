"""Scores on a drawn COCO data set."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from infer_segment_anything_3.cli import app
from infer_segment_anything_3.labeling.scoring.ap import score_ap
from infer_segment_anything_3.labeling.scoring.cgf1 import score_cgf1
from infer_segment_anything_3.labeling.scoring.ground_truth import GroundTruth
from infer_segment_anything_3.labeling.scoring.interactive import click_objects
from infer_segment_anything_3.labeling.scoring.predictions import find_center, keep_best, predict
from infer_segment_anything_3.tools.tiny_shapes.data_set import ANNOTATIONS, draw_data_set

from ..conftest import MODEL


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with six scenes and their annotations by shape, ids not from 1."""
    folder = tmp_path_factory.mktemp("coco")
    draw_data_set(folder, 6, side_range_px=(200, 320))
    return folder


@pytest.fixture(scope="module")
def truth(drawn):
    return GroundTruth(str(drawn / ANNOTATIONS), str(drawn))


@pytest.fixture(scope="module")
def predictions(truth, tiny_engine):
    return [row for image in truth.images for row in predict(tiny_engine, truth, image, "text")]


def perfect(truth):
    return [{**a, "score": 0.9} for a in truth.coco.anns.values()]


def run(drawn, out, *options):
    command = ["score", str(drawn / ANNOTATIONS), str(drawn), "--out", str(out), *MODEL]
    return app.main([*command, *options])


def test_the_command_writes_scores_and_pictures(drawn, tmp_path, capsys, tiny_engine):
    assert run(drawn, tmp_path, "--clicked-objects", "5") == 0
    printed = capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["ap"]["segm"]["AP50"] > 0.9
    assert scores["ap"]["bbox"]["AP"] > 0.7
    assert scores["cgf1"]["segm"]["cgF1"] > 0.6
    assert scores["interactive"]["J@5"] > 0.8
    assert printed == (tmp_path / "scores.md").read_text()
    assert f"| AP50 | {scores['ap']['bbox']['AP50']:.3f} |" in printed
    assert "box AP 0.565" in printed
    assert Image.open(tmp_path / "precision_recall.png").width > 300


def test_ap_is_what_cocoeval_gives(drawn, truth, predictions, tmp_path):
    file = tmp_path / "results.json"
    boxes = [{k: v for k, v in row.items() if k != "segmentation"} for row in predictions]
    file.write_text(json.dumps(boxes))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(drawn / ANNOTATIONS))
        evaluation = COCOeval(coco, coco.loadRes(str(file)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    scores = score_ap(truth, predictions, "bbox").scores
    assert scores["AP"] == pytest.approx(evaluation.stats[0])
    assert scores["AP75"] == pytest.approx(evaluation.stats[2])
    assert scores["AP_large"] is None or scores["AP_large"] == evaluation.stats[5]


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_the_truth_itself_scores_1_and_nothing_scores_0(truth, iou_type):
    full, none = score_ap(truth, perfect(truth), iou_type), score_ap(truth, [], iou_type)
    assert full.scores["AP"] == full.scores["AP50"] == 1
    assert full.missed_ids == []
    assert none.scores["AP"] == 0
    areas = [truth.coco.anns[k]["area"] for k in none.missed_ids]
    assert areas == sorted((a["area"] for a in truth.coco.anns.values()), reverse=True)


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_cgf1_is_its_definition(truth, iou_type):
    rows = perfect(truth)
    assert score_cgf1(truth, rows, iou_type)["cgF1"] == pytest.approx(1, abs=1e-3)
    # One object is missed; one answer is for a category that is not in the image.
    image = truth.images[0]["id"]
    present = {row["category_id"] for row in rows if row["image_id"] == image}
    [absent, *_] = [c["id"] for c in truth.categories if c["id"] not in present]
    changed = [*rows[:-1], {**rows[0], "image_id": image, "category_id": absent}]
    scores = score_cgf1(truth, changed, iou_type)
    pairs = [(i["id"], c["id"]) for i in truth.images for c in truth.categories]
    asked = {(row["image_id"], row["category_id"]) for row in rows}
    answered = {(row["image_id"], row["category_id"]) for row in changed}
    table = [(pair in asked, pair in answered) for pair in pairs]
    mcc = np.corrcoef(np.array(table, float).T)[0, 1]
    hits = len(rows) - 1
    f1 = 2 * hits / (2 * hits + 1)  # positive micro: answers to absent categories do not count
    assert scores["IL_MCC"] == pytest.approx(mcc, abs=1e-3)
    assert scores["positive_micro_F1"] == pytest.approx(f1, abs=1e-3)
    assert scores["cgF1"] == pytest.approx(mcc * f1, abs=2e-3)


@pytest.mark.parametrize(("kind", "least"), [("boxes", 0.95), ("click", 0.9)])
def test_prompts_from_the_annotations(truth, tiny_engine, kind, least):
    rows = [row for image in truth.images for row in predict(tiny_engine, truth, image, kind)]
    assert len(rows) == len(truth.coco.anns)
    assert score_ap(truth, rows, "segm").scores["AP50"] >= least


def test_at_most_100_detections_of_an_image_count():
    rows = [{"image_id": k % 2, "score": k / 300, "id": k} for k in range(300)]
    kept = keep_best(rows)
    assert sorted(row["id"] for row in kept) == list(range(100, 300))


def test_a_click_is_at_the_center_of_a_region():
    region = np.zeros((40, 60), bool)
    region[10:31, 20:51] = True
    x, y = find_center(region)
    assert y == 20.5
    assert 30 <= x <= 41
    assert find_center(np.ones((1, 1), bool)) == (0.5, 0.5)


def test_clicks_give_a_curve_for_each_object(truth, tiny_engine):
    scores = click_objects(tiny_engine, truth, truth.images[0], 3)
    assert 1 <= len(scores) <= 3
    assert all(len(row) == 5 and all(0 <= j <= 1 for j in row) for row in scores)
    assert np.mean([row[2] for row in scores]) > 0.8


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--prompts", "words"), "prompts: expected one of"),
        (("--limit", "-1"), "limit: expected"),
        (("--clicked-objects", "-1"), "clicked_objects: expected"),
        (("--model", "sam4"), "model: expected sam3, sam3.1, tiny_shapes"),
    ],
)
def test_a_wrong_option_is_refused(drawn, tmp_path, capsys, options, named):
    out = tmp_path / "out"
    assert run(drawn, out, *options) == 2
    assert capsys.readouterr().err.startswith(named)
    assert not out.exists()


def rewrite(drawn, folder, change):
    """The drawn data set with its COCO file changed; the images are linked."""
    folder.mkdir()
    for path in drawn.glob("*.png"):
        (folder / path.name).symlink_to(path)
    data = json.loads((drawn / ANNOTATIONS).read_text())
    change(data)
    (folder / ANNOTATIONS).write_text(json.dumps(data))
    return folder


def test_boxes_alone_are_scored_without_masks(drawn, tmp_path, capsys, tiny_engine):
    def remove_masks(data):
        for annotation, empty in zip(data["annotations"], [[], None, {}] * 1000, strict=False):
            annotation["segmentation"] = empty
        del data["annotations"][0]["segmentation"]

    with_masks, out = tmp_path / "full", tmp_path / "out"
    assert run(drawn, with_masks, "--clicked-objects", "0") == 0
    capsys.readouterr()
    boxes = rewrite(drawn, tmp_path / "boxes", remove_masks)
    assert run(boxes, out) == 0
    printed = capsys.readouterr().out
    scores = json.loads((out / "scores.json").read_text())
    expected = json.loads((with_masks / "scores.json").read_text())
    for group in ("ap", "cgf1"):
        assert scores[group] == {"bbox": expected[group]["bbox"]}
    assert "interactive" not in scores
    [note] = scores["notes"]
    assert note.startswith("scores of masks left out, which need a mask for each object (")
    assert f"- {note}\n" in printed
    assert f"| AP50 | {scores['ap']['bbox']['AP50']:.3f} | - |" in printed
    assert run(boxes, out, "--prompts", "click") == 2
    assert capsys.readouterr().err == (
        "prompts: expected text or boxes (not every object has a mask), got 'click'\n"
    )


def test_one_object_without_a_mask_is_named(drawn, tmp_path):
    def remove_mask(data):
        data["annotations"][4]["segmentation"] = [[1, 1, 9, 9]]
        data["annotations"][5] |= {"segmentation": None, "iscrowd": 1}

    folder = rewrite(drawn, tmp_path / "one", remove_mask)
    truth = GroundTruth(str(folder / ANNOTATIONS), str(folder))
    assert not truth.has_masks
    assert truth.notes[-1].endswith("(1 annotation without one: 5)")


def test_the_annotation_with_id_0_counts_as_found(drawn, tmp_path):
    """COCOeval itself takes 0 for "no match"."""

    def number_from_0(data):
        for annotation in data["annotations"]:
            annotation["id"] -= 1

    folder = rewrite(drawn, tmp_path / "zero", number_from_0)
    truth = GroundTruth(str(folder / ANNOTATIONS), str(folder))
    assert score_ap(truth, perfect(truth), "segm").missed_ids == []


def test_sizes_and_areas_that_are_missing_are_computed(drawn, truth, tmp_path):
    def remove(data):
        for image in data["images"]:
            del image["width"]
        for annotation in data["annotations"]:
            annotation["area"] = None

    folder = rewrite(drawn, tmp_path / "bare", remove)
    found = GroundTruth(str(folder / ANNOTATIONS), str(folder))
    assert found.images == [
        {k: i[k] for k in ("id", "file_name", "height", "width")} for i in truth.images
    ]
    assert [a["area"] for a in found.coco.anns.values()] == [
        a["area"] for a in truth.coco.anns.values()
    ]
    assert found.notes[0].startswith("6 images without a size, which is read from the image: 9000")


def test_a_size_that_neither_file_nor_image_tells_is_refused(drawn, tmp_path, capsys):
    folder = rewrite(drawn, tmp_path / "bare", lambda data: data["images"][0].pop("height"))
    (folder / "9000.png").unlink()
    (folder / "9000.png").write_bytes(b"no image")
    assert run(folder, tmp_path / "out") == 2
    assert capsys.readouterr().err == (
        "coco: image 9000: expected a width and a height, or an image that tells (no image of a "
        "known format), got '9000.png'\n"
    )


def test_a_data_set_without_objects_is_scored(drawn, tmp_path, capsys, tiny_engine):
    folder = rewrite(drawn, tmp_path / "none", lambda data: data["annotations"].clear())
    assert run(folder, tmp_path / "out", "--limit", "1") == 0
    text = (tmp_path / "out" / "scores.json").read_text()
    assert json.loads(text)["ap"]["bbox"]["AP"] is None
    assert "NaN" not in text


def test_categories_that_are_one_to_the_model_are_refused(drawn, tmp_path, capsys):
    def rename(data):
        data["categories"][1]["name"] = data["categories"][0]["name"].upper()

    folder = rewrite(drawn, tmp_path / "twice", rename)
    assert run(folder, tmp_path / "out") == 2
    assert capsys.readouterr().err.startswith("coco: category 2: expected another name than that")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "coco: expected a COCO file"),
        ('{"images": []}', "coco: expected a COCO file"),
        ('{"images": [], "annotations": [], "categories": []}', "coco: expected a COCO file with"),
        (
            '{"images": [{"id": 1, "file_name": "gone.png", "width": 3, "height": 3}],'
            ' "annotations": [], "categories": [{"id": 1, "name": "star"}]}',
            "images: expected the folder of the images",
        ),
    ],
)
def test_a_wrong_data_set_is_refused(tmp_path, capsys, content, named):
    (tmp_path / ANNOTATIONS).write_text(content)
    assert run(tmp_path, tmp_path / "out") == 2
    assert capsys.readouterr().err.startswith(named)
