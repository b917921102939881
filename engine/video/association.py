"""Matches the detections of a frame to the tracks, by mask overlap, as the package does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.config import AssociationSettings
from ..model.sam3_imports import MaskletConfirmationStatus, Sam3VideoBase
from ..postprocess.masks import clean_track_masks
from ..postprocess.nms import compute_cell_ious
from .frame import Frame
from .merged_masks import split_merged_masks
from .trackers.interface import States, Tracker

HOTSTART_FRAMES = 15
"""Age up to which a track that proves false is removed (the package's)."""

MATCH_IOU = 0.5
"""Mask IoU from which a detection's score is the track's (the package's ``trk_assoc_iou``)."""

SURE_DETECTION = 0.8
"""Score of a detection and its overlap with a track from which that begins anew (the package's)."""

SURE_SCORE = 0.8
"""Object score logit above which a track begins anew at its detection (the package's)."""

_MAX_HOLE_CELLS = 16
"""Largest hole that the package fills, in cells of a grid of 288."""

Detections = dict[str, Tensor]
"""``scores`` (N,), ``mask`` (N, g, g) logits and ``bbox`` (N, 4), above t and after NMS."""


class Association(Sam3VideoBase):
    """Runs the package's association on given detections instead of computing them.

    Attributes:
        tracks: What follows the objects.
        frame: The current frame.
        settings: How detections change tracks.
        detections: Those of the current frame.
        scores: Detection scores of the tracks that were detected on the current frame.
        room: How many tracks may start on it.
        refused: How many more would have.
    """

    frame: Frame

    def __init__(self, tracks: Tracker, threshold: float, settings: AssociationSettings) -> None:
        """Prepares to associate the detections of a concept.

        Args:
            tracks: What follows the objects.
            threshold: Detections at or below it are left out.
            settings: How detections change tracks.
        """
        birth = max(threshold, settings.birth_threshold)
        super().__init__(
            detector=None,
            tracker=tracks.heads,
            score_threshold_detection=threshold,
            # A threshold below 0.5 asks for faint detections, so these start tracks, too.
            new_det_thresh=threshold if threshold < 0.5 else birth,
            assoc_iou_thresh=0.1,
            trk_assoc_iou_thresh=MATCH_IOU,
            det_nms_thresh=0.1,
            hotstart_delay=HOTSTART_FRAMES,
            hotstart_unmatch_thresh=8,
            hotstart_dup_thresh=8,
            suppress_unmatched_only_within_hotstart=not settings.hide_unmatched,
            suppress_det_close_to_boundary=settings.skip_border,
            masklet_confirmation_enable=settings.confirm_after > 1,
            masklet_confirmation_consecutive_det_thresh=settings.confirm_after,
            min_trk_keep_alive=-1,
            max_trk_keep_alive=30,
            init_trk_keep_alive=30,
            suppress_overlapping_based_on_recent_occlusion_threshold=0.7,
            fill_hole_area=0,  # done here: the package's fails without an object
            recondition_every_nth_frame=settings.recondition_every,
        )
        # The package reads them from the environment, where they belong to the host's own jobs.
        self.rank, self.world_size = 0, 1
        self.tracks = tracks
        self.max_hole_area = round(_MAX_HOLE_CELLS * (self.tracker.low_res_mask_size / 288) ** 2)
        self.settings = settings
        self.detections: Detections = {}
        self.scores: dict[int, float] = {}
        self.room = 0
        self.refused = 0

    def run_backbone_and_detection(self, *, input_batch: Detections, **kwargs: Any) -> Detections:
        """Returns the detections that were given."""
        self.detections = input_batch
        return input_batch

    def _propogate_tracker_one_frame_local_gpu(
        self, inference_states: States, *args: Any, **kwargs: Any
    ) -> tuple[list[int], Tensor, Tensor]:
        tracked = self.tracks.propagate(inference_states, self.frame, remember=False)
        # The package counts on the order of birth.
        order = sorted(range(len(tracked.ids)), key=tracked.ids.__getitem__)
        ids, scores = [tracked.ids[k] for k in order], tracked.scores[order]
        logits = clean_track_masks(tracked.logits[order], self.max_hole_area)
        if self.settings.split_merged:
            logits = split_merged_masks(logits, self.detections["mask"])
        return ids, logits, scores

    def _associate_det_trk(
        self,
        det_masks: Tensor,
        det_scores_np: npt.NDArray[np.float32],
        trk_masks: Tensor,
        trk_obj_ids: npt.NDArray[np.int64],
    ) -> Any:
        new, unmatched, matched, sure, empty = super()._associate_det_trk(
            det_masks, det_scores_np, trk_masks, trk_obj_ids
        )
        # Fainter detections only continue tracks.
        new = new[det_scores_np[new] > self.score_threshold_detection]
        self.refused = max(0, len(new) - self.room)
        if self.refused:
            new = self._drop_new_det_with_obj_limit(new, det_scores_np, self.room)
        self.scores = {}
        if len(det_scores_np) and len(trk_obj_ids):
            ious = compute_cell_ious(det_masks > 0, trk_masks > 0).cpu().numpy()
            best = ious.argmax(axis=0)
            self.scores = {
                int(i): float(det_scores_np[best[k]])
                for k, i in enumerate(trk_obj_ids)
                if ious[best[k], k] >= MATCH_IOU
            }
            if self.settings.overlap_of_smaller:
                sure = self._find_sure_detections(
                    det_masks, det_scores_np, trk_masks, trk_obj_ids, new
                )
        return new, unmatched, matched, sure, empty

    def _find_sure_detections(
        self,
        det_masks: Tensor,
        det_scores_np: npt.NDArray[np.float32],
        trk_masks: Tensor,
        trk_obj_ids: npt.NDArray[np.int64],
        new: npt.NDArray[np.int64],
    ) -> dict[int, int]:
        """Finds which detection each track may begin anew at, as the package does by IoU."""
        overlaps = compute_cell_ious(det_masks > 0, trk_masks > 0, of_smaller=True).cpu().numpy()
        rows = np.flatnonzero(
            (det_scores_np >= SURE_DETECTION) & (overlaps.max(axis=1) >= SURE_DETECTION)
        )
        best = overlaps.argmax(axis=1)
        # Several may lie in one track: the one with the highest score comes last, and counts.
        rows = rows[np.argsort(det_scores_np[rows], kind="stable")]
        return {int(trk_obj_ids[best[row]]): int(row) for row in rows if row not in new}

    def _recondition_masklets(
        self,
        frame_idx: int,
        det_out: Detections,
        trk_id_to_max_iou_high_conf_det: dict[int, int],
        tracker_states_local: States,
        tracker_metadata: dict[str, Any],
        tracker_obj_scores_global: Tensor,
    ) -> States:
        """Starts tracks anew at their detections, as the package does, but encodes no memory.

        The package encodes the memory of all objects for each track, and then replaces it on the
        same frame (``_tracker_update_memories``).
        """
        side = self.tracker.input_mask_size
        ids = tracker_metadata["obj_ids_all_gpu"].tolist()
        for track_id, row in trk_id_to_max_iou_high_conf_det.items():
            if tracker_obj_scores_global[ids.index(track_id)] <= SURE_SCORE:
                continue
            logits = det_out["mask"][row][None, None]
            mask = F.interpolate(logits, (side, side), mode="bilinear", align_corners=False)
            self.tracks.restart(tracker_states_local, self.frame, track_id, mask[0, 0] > 0)
        return tracker_states_local

    def _tracker_update_memories(
        self,
        tracker_inference_states: States,
        frame_idx: int,
        tracker_metadata: dict[str, Any],
        low_res_masks: Tensor,
    ) -> None:
        ids = tracker_metadata["obj_ids_all_gpu"].tolist()
        self.tracks.remember(tracker_inference_states, self.frame, ids, low_res_masks)

    def _tracker_add_new_objects(
        self,
        frame_idx: int,
        num_frames: int,
        new_obj_ids: npt.NDArray[np.int64],
        new_obj_masks: Tensor,
        tracker_states_local: States,
        **kwargs: Any,
    ) -> States:
        side = self.tracker.input_mask_size
        masks = F.interpolate(
            new_obj_masks.unsqueeze(1), (side, side), mode="bilinear", align_corners=False
        )
        ids = [int(i) for i in new_obj_ids]
        self.tracks.start(tracker_states_local, self.frame, ids, masks.squeeze(1) > 0)
        return tracker_states_local

    def _tracker_remove_objects(self, tracker_states_local: States, obj_ids: list[int]) -> None:
        self.tracks.remove(tracker_states_local, obj_ids)

    def find_hidden(self, metadata: dict[str, Any], frame_index: int) -> tuple[set[int], set[int]]:
        """Finds the tracks that were long not detected, and those not yet detected often enough."""
        own = metadata["rank0_metadata"]
        hidden = {int(i) for i in own["suppressed_obj_ids"][frame_index]}
        if not self.masklet_confirmation_enable:
            return hidden, set()
        status = own["masklet_confirmation"]["status"]
        is_waiting = status == MaskletConfirmationStatus.UNCONFIRMED.value
        return hidden, {int(i) for i in metadata["obj_ids_all_gpu"][is_waiting]}

    def build_outputs(
        self,
        *,
        det_out: Detections,
        tracker_low_res_masks_global: Tensor,
        tracker_metadata_prev: dict[str, Any],
        tracker_update_plan: dict[str, Any],
        **kwargs: Any,
    ) -> dict[int, Tensor]:
        """Returns low-resolution logits by id, instead of masks of the video's size."""
        ids = tracker_metadata_prev["obj_ids_all_gpu"]
        found = {int(i): m for i, m in zip(ids, tracker_low_res_masks_global, strict=True)}
        new = torch.from_numpy(tracker_update_plan["new_det_fa_inds"])
        started = clean_track_masks(det_out["mask"][new], self.max_hole_area)
        new_scores = det_out["scores"][new].tolist()
        for i, logits, score in zip(
            tracker_update_plan["new_det_obj_ids"], started, new_scores, strict=True
        ):
            found[int(i)] = logits
            self.scores[int(i)] = score
        return found
