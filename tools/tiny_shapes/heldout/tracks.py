"""Compares tracks of a clip with the drawn shapes: HOTA, IDF1, J and F.

HOTA (Luiten et al. 2021), IDF1 and identity switches come from Roboflow's ``trackers``; J and
F are those of DAVIS (Perazzi et al. 2016).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from ....engine.results import Mask
from .matching import compute_ious

MATCH_IOU = 0.5
IGNORED_COVER = 0.5
"""A mask with this share of it on shapes that are ignored counts for and against nothing."""

BOUNDARY_TOLERANCE = 0.008
"""How far boundaries may lie apart in F, as a share of the image's diagonal (DAVIS)."""

TrackId = Hashable
BoolImage = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class FrameTruth:
    """Holds the shapes on a frame.

    Attributes:
        masks: Visible pixels of each shape that counts, by its id.
        ignored: Those of shapes that count for and against nothing on this frame.
    """

    masks: Mapping[Any, Mask]
    ignored: Sequence[Mask] = ()


FrameFound = Mapping[Any, Mask]
"""Masks on a frame by their track's id; ids are compared within one clip."""


@dataclasses.dataclass(frozen=True)
class ClipScores:
    """Holds the measures of one clip as ``trackers.eval`` gives them, with their counts."""

    hota: dict[str, Any]
    identity: dict[str, Any]
    clear: dict[str, Any]


def score_clip(truth: Sequence[FrameTruth], found: Sequence[FrameFound]) -> ClipScores:
    """Compares tracks with the truth.

    Args:
        truth: What is there, by frame.
        found: What was followed, by frame.

    Returns:
        The clip's measures.
    """
    from trackers.eval import (
        compute_clear_metrics,
        compute_hota_metrics,
        compute_identity_metrics,
    )

    truth_ids = _number_ids(frame.masks for frame in truth)
    found_ids = _number_ids(found)
    there_by_frame, seen_by_frame, ious_by_frame = [], [], []
    for there, seen in zip(truth, found, strict=True):
        kept = remove_ignored(there, seen)
        there_by_frame.append(np.array([truth_ids[i] for i in there.masks], np.int64))
        seen_by_frame.append(np.array([found_ids[i] for i in kept], np.int64))
        ious_by_frame.append(compute_ious(list(there.masks.values()), list(kept.values())))
    frames = there_by_frame, seen_by_frame, ious_by_frame
    return ClipScores(
        hota=compute_hota_metrics(*frames),
        identity=compute_identity_metrics(*frames, threshold=MATCH_IOU),
        clear=compute_clear_metrics(*frames, threshold=MATCH_IOU),
    )


def sum_scores(scores: Sequence[ClipScores]) -> dict[str, float]:
    """Sums HOTA, IDF1 and identity switches over several clips."""
    from trackers.eval import (
        aggregate_clear_metrics,
        aggregate_hota_metrics,
        aggregate_identity_metrics,
    )

    return {
        "hota": float(aggregate_hota_metrics([s.hota for s in scores])["HOTA"]),
        "idf1": float(aggregate_identity_metrics([s.identity for s in scores])["IDF1"]),
        "id_switches": float(aggregate_clear_metrics([s.clear for s in scores])["IDSW"]),
    }


def remove_ignored(truth: FrameTruth, found: FrameFound) -> FrameFound:
    """Removes masks that belong to ignored shapes.

    Args:
        truth: What is there.
        found: What was followed.

    Returns:
        All masks but those that match a shape which is ignored, or lie mostly on one, and
        match none that counts.
    """
    if not truth.ignored or not found:
        return found
    ids, masks = list(found), list(found.values())
    everything = [*truth.masks.values(), *truth.ignored]
    table = compute_ious(masks, everything)
    rows, columns = linear_sum_assignment(-table)
    owner = {int(r): int(c) for r, c in zip(rows, columns, strict=True) if table[r, c] >= MATCH_IOU}
    covered = np.any([mask.full() for mask in truth.ignored], axis=0)
    kept = {}
    for row, (track_id, mask) in enumerate(zip(ids, masks, strict=True)):
        counts = owner[row] < len(truth.masks) if row in owner else None
        left, top, right, bottom = mask.xyxy
        shared = np.count_nonzero(covered[top:bottom, left:right] & mask.crop)
        on_ignored = shared >= IGNORED_COVER * max(1, mask.area)
        if counts or (counts is None and not on_ignored):
            kept[track_id] = mask
    return kept


def compute_region_similarity(found: Mask | None, truth: Mask) -> float:
    """Computes J of DAVIS: the IoU of two masks; 0 where nothing was found."""
    return 0.0 if found is None else float(compute_ious([found], [truth])[0, 0])


def compute_boundary_accuracy(found: Mask | None, truth: Mask) -> float:
    """Computes F of DAVIS: precision and recall of the boundary, within a tolerance."""
    if found is None or not found.area:
        return 0.0
    reach_px = int(np.ceil(BOUNDARY_TOLERANCE * np.hypot(*truth.image_hw)))
    side_px = 2 * reach_px + 1
    disk = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side_px, side_px)), np.uint8)
    found_edge, true_edge = _find_boundary(found.full()), _find_boundary(truth.full())
    precision = _compute_share_near(found_edge, true_edge, disk)
    recall = _compute_share_near(true_edge, found_edge, disk)
    return 2 * precision * recall / max(1e-9, precision + recall)


def _compute_share_near(edge: BoolImage, other: BoolImage, disk: npt.NDArray[np.uint8]) -> float:
    """Computes the share of an edge's pixels with another edge within the disk."""
    near = cv2.dilate(other.astype(np.uint8), disk).astype(bool)
    pixels = int(np.count_nonzero(edge))
    return int(np.count_nonzero(edge & near)) / pixels if pixels else 0.0


def _find_boundary(mask: BoolImage) -> BoolImage:
    """Finds the pixels of a mask that touch its outside, (H, W) bool."""
    padded = np.pad(mask, 1).astype(np.uint8)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    return np.asarray(mask & ~inner.astype(bool))


def _number_ids(frames: Any) -> dict[TrackId, int]:
    """Numbers the ids from 0 on, as the measures expect."""
    numbers: dict[TrackId, int] = {}
    for frame in frames:
        for track_id in frame:
            numbers.setdefault(track_id, len(numbers))
    return numbers
