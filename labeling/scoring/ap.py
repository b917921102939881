"""Computes average precision with ``COCOeval`` of ``pycocotools``."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .ground_truth import GroundTruth, Record

IouType = Literal["bbox", "segm"]

_STATS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
"""The first of ``COCOeval.stats``; -1 there means that the data set has none of that size."""


SHOWN_SCORE = 0.5
"""A user with the default threshold sees no detection below this score."""


class ApScores(NamedTuple):
    """Holds the scores of ``COCOeval``.

    Attributes:
        scores: AP, AP50, AP75, AP_small, AP_medium and AP_large; None where there is nothing
            of that size.
        precision: (101,) precision at each recall 0, 0.01, ... 1, IoU 0.5, mean over
            categories.
        missed_ids: Annotations that no detection of score 0.5 or more matches at IoU 0.5,
            largest first.
        f1: F1 at IoU 0.5 of the detections of score 0.5 or more.
    """

    scores: dict[str, float | None]
    precision: npt.NDArray[np.float64]
    missed_ids: list[int]
    f1: float


def score_ap(truth: GroundTruth, predictions: Sequence[Record], iou_type: IouType) -> ApScores:
    """Computes the average precision of detections.

    Args:
        truth: The data set.
        predictions: Detections in COCO's results format.
        iou_type: ``bbox`` for boxes, ``segm`` for masks.

    Returns:
        The scores.
    """
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        # loadRes takes no empty list: a detection of no category stands for it.
        empty = {"image_id": truth.images[0]["id"], "category_id": -1, "score": 0.0}
        rows = [dict(row) for row in predictions] or [{**empty, "bbox": [0, 0, 1, 1]}]
        if iou_type == "segm":
            # With a box, loadRes would take the box's area for the mask's.
            for row in rows:
                row.pop("bbox", None) if "segmentation" in row else None
        evaluation: Any = COCOeval(truth.coco, truth.coco.loadRes(rows), iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = dict(zip(_STATS, evaluation.stats[: len(_STATS)].tolist(), strict=True))
    # (IoU thresholds, recalls, categories, areas, detections): IoU 0.5, all areas, 100 of them.
    precision = evaluation.eval["precision"][0, :, :, 0, -1]
    asked = precision[:, (precision > -1).any(axis=0)]
    curve = asked.mean(axis=1) if asked.size else np.zeros(len(precision))
    return ApScores(
        scores={name: value if value > -1 else None for name, value in values.items()},
        precision=curve,
        missed_ids=_find_missed(truth, evaluation),
        f1=_compute_f1(evaluation),
    )


def _compute_f1(evaluation: Any) -> float:
    """Computes F1 at IoU 0.5; what lies in a crowd counts neither way."""
    right = shown = objects = 0
    for entry in evaluation.evalImgs:
        if entry is None or entry["aRng"] != evaluation.params.areaRng[0]:
            continue
        counts = (np.array(entry["dtScores"]) >= SHOWN_SCORE) & ~entry["dtIgnore"][0].astype(bool)
        right += int((counts & (entry["dtMatches"][0] > 0)).sum())
        shown += int(counts.sum())
        objects += int((~np.array(entry["gtIgnore"], bool)).sum())
    return 2 * right / (shown + objects) if shown + objects else 0.0


def _find_missed(truth: GroundTruth, evaluation: Any) -> list[int]:
    matched: set[int] = set()
    for entry in evaluation.evalImgs:
        if entry is not None and entry["aRng"] == evaluation.params.areaRng[0]:
            pairs = zip(entry["dtMatches"][0], entry["dtScores"], strict=True)
            matched |= {int(key) for key, score in pairs if key and score >= SHOWN_SCORE}
    missed = [
        annotation
        for annotation in truth.coco.anns.values()
        if not annotation["iscrowd"] and annotation["id"] not in matched
    ]
    return [a["id"] for a in sorted(missed, key=lambda a: -a["area"])]
