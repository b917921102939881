"""Splits the masks of tracks that cover several instances of one concept."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..postprocess.nms import compute_cell_ious

OWN_IOU = 0.3
"""Mask IoU from which a detection can be a track's own."""

MERGED_SHARE = 0.3
"""Share of another detection that a track's mask must cover to lose it: borders of neighbors
overlap by less."""

_ABSENT_LOGIT = -10.0
"""Logit of cells that a mask loses: the package's own where it suppresses masks."""


def split_merged_masks(track_logits: Tensor, detection_logits: Tensor) -> Tensor:
    """Removes from each track's mask the other detections that it covers.

    Where objects look alike, the tracker often marks a second one together with the one that it
    follows. Both are detected, but the package starts no track at a detection that overlaps with
    one, so that the second object is never followed.

    Each detection belongs to the track with the highest IoU, and each track has at most one: the
    best of those that belong to it. It keeps that one's cells, and all that are in no detection.

    Args:
        track_logits: (M, g, g) float32, of one concept's tracks.
        detection_logits: (N, g, g) float32, of the concept's detections after mask NMS.

    Returns:
        (M, g, g) float32; a copy if anything changes.
    """
    if not len(track_logits) or len(detection_logits) < 2:
        return track_logits
    is_tracked, is_detected = track_logits > 0, detection_logits > 0
    ious = compute_cell_ious(is_detected, is_tracked).cpu().numpy()
    belongs = ious.argmax(axis=1)[:, None] == np.arange(len(is_tracked))
    own_ious = np.where(belongs, ious, 0)
    areas = is_detected.flatten(1).sum(dim=1)
    changed = track_logits
    for track in np.flatnonzero(own_ious.max(axis=0) >= OWN_IOU):
        own = int(own_ious[:, track].argmax())
        shared = (is_detected & is_tracked[track]).flatten(1).sum(dim=1)
        is_covered = (shared >= MERGED_SHARE * areas) & (shared > 0)
        is_covered[own] = False
        others = is_detected[is_covered].any(dim=0) & ~is_detected[own] & is_tracked[track]
        if others.any():
            changed = changed.clone() if changed is track_logits else changed
            changed[track][others] = _ABSENT_LOGIT
    return changed
