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
        (("--model", "sam4"), "model: expected one of"),
    ],
)
def test_a_wrong_option_is_refused(drawn, tmp_path, capsys, options, named):
    out = tmp_path / "out"
    assert run(drawn, out, *options) == 2
    assert capsys.readouterr().err.startswith(named)
    assert not out.exists()


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
