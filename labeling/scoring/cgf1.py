"""Computes cgF1, the score of SAM 3's paper, with the package's ``sam3.eval.cgf1_eval``."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .ap import IouType
from .ground_truth import GroundTruth, Record

THRESHOLD = 0.5
"""Score from which an instance counts; the evaluator's own default."""

_NAMES = ("cgF1", "positive_micro_F1", "IL_MCC", "IL_F1")


def score_cgf1(
    truth: GroundTruth, predictions: Sequence[Record], iou_type: IouType
) -> dict[str, float]:
    """Scores detections as answers to "is this concept in the image, and where".

    Every image is asked for every category, the absent ones too. cgF1 is the positive micro
    F1 (averaged over IoU 0.5 to 0.95) times the Matthews correlation of the image-level
    answers (SAM 3, arXiv 2511.16719, "classification-gated F1"), times 100 in the paper's
    tables; here from 0 to 1.

    Args:
        truth: The data set, annotated in full: what is not annotated counts as absent.
        predictions: Detections in COCO's results format, with ``segmentation``.
        iou_type: ``bbox`` or ``segm``.

    Returns:
        ``cgF1``, ``positive_micro_F1``, ``IL_MCC`` and ``IL_F1``.
    """
    from ...engine.runtime.isolation import import_sam3

    import_sam3()
    from sam3.eval.cgf1_eval import CGF1Evaluator

    pairs, pair_ids = _make_pairs(truth)
    answers = [
        {
            "image_id": pair_ids[row["image_id"], row["category_id"]],
            "category_id": 1,
            "score": row["score"],
            **({"bbox": row["bbox"]} if iou_type == "bbox" else {}),
            "segmentation": row["segmentation"],
        }
        for row in predictions
        if row["score"] >= THRESHOLD
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        # It divides 0 by 0 for scores that are not used here, where no object is annotated.
        np.errstate(invalid="ignore"),
    ):
        truth_file, answers_file = Path(folder) / "truth.json", Path(folder) / "answers.json"
        truth_file.write_text(json.dumps(pairs))
        answers_file.write_text(json.dumps(answers))
        evaluator = CGF1Evaluator(gt_path=str(truth_file), iou_type=iou_type)
        found = evaluator.evaluate(str(answers_file))
    return {name: found[f"cgF1_eval_{iou_type}_{name}"] for name in _NAMES}


def _make_pairs(truth: GroundTruth) -> tuple[Record, dict[tuple[int, int], int]]:
    """Makes one "image" for each pair of an image and a category, as the evaluator expects."""
    images: list[Record] = []
    annotations: list[Record] = []
    pair_ids: dict[tuple[int, int], int] = {}
    for image in truth.images:
        for category in truth.categories:
            pair_id = len(pair_ids) + 1
            pair_ids[image["id"], category["id"]] = pair_id
            images.append(
                {
                    "id": pair_id,
                    "width": image["width"],
                    "height": image["height"],
                    "text_input": category["name"],
                    "is_instance_exhaustive": True,
                }
            )
    for annotation in truth.coco.anns.values():
        key = annotation["image_id"], annotation["category_id"]
        mask = {"segmentation": annotation["segmentation"]} if truth.has_masks else {}
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": pair_ids[key],
                "category_id": 1,
                "bbox": annotation["bbox"],
                "area": annotation["area"],
                "iscrowd": annotation["iscrowd"],
                **mask,
            }
        )
    categories = [{"id": 1, "name": "object"}]
    return {"images": images, "annotations": annotations, "categories": categories}, pair_ids
