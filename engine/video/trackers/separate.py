"""Tracks with SAM 3.0's memory, in which each object has a memory of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...model.video_tracker import ENDLESS, TrackerState, TrackerTensors, VideoTracker
from ..frame import Frame
from ..memory_pruning import copy_containers, prune_tracker_state, remove_from_states
from .interface import PointPrompts, States, TrackedMasks, Tracker


class SeparateTracker(Tracker):
    """Tracks by the package's own tracker; a state holds the objects of one frame of birth."""

    tensor_mode = TrackerTensors

    def __init__(self, heads: VideoTracker) -> None:
        """Prepares to track.

        Args:
            heads: The model's tracker, with its memory.
        """
        super().__init__(heads)
        self._cache: dict[Any, Any] = {}

    def start(self, states: States, frame: Frame, ids: Sequence[int], masks: Tensor) -> None:
        """Starts objects at masks, in a state of their own."""
        state = self._make_state(frame)
        self.heads.add_masks(state, frame.index, ids, masks)
        self.heads.propagate_in_video_preflight(state, run_mem_encoder=True)
        states.append(state)

    def start_at_points(
        self, states: States, frame: Frame, prompts: Sequence[PointPrompts]
    ) -> TrackedMasks:
        """Starts objects at points and boxes, in a state of their own."""
        state = self._make_state(frame)
        for p in prompts:
            self.heads.add_points(state, frame.index, p.ids, p.points_xy, p.labels, p.mask_input)
        self.heads.propagate_in_video_preflight(state)
        states.append(state)
        return self.propagate([state], frame, remember=True)

    def propagate(self, states: States, frame: Frame, remember: bool) -> TrackedMasks:
        """Follows all objects to a frame, or reads those that were prompted on it."""
        side = self.heads.low_res_mask_size
        ids: list[int] = []
        logits = [torch.zeros(0, side, side, device=self.device)]
        scores = [torch.zeros(0, device=self.device)]
        for state in states:
            ((_, own_ids, own_logits, _, own_scores),) = self.heads.propagate_in_video(
                state, frame.index, 0, False, tqdm_disable=True, run_mem_encoder=remember
            )
            ids += [int(i) for i in own_ids]
            logits.append(own_logits.squeeze(1).float())
            scores.append(own_scores.squeeze(1).float())
        return TrackedMasks(ids, torch.cat(logits), torch.cat(scores))

    def restart(self, states: States, frame: Frame, track_id: int, mask: Tensor) -> None:
        """Begins an object anew at a mask, and encodes no memory: :meth:`remember` follows."""
        state = self._find_state(states, track_id)
        self.heads.add_new_mask(
            inference_state=state, frame_idx=frame.index, obj_id=track_id, mask=mask
        )
        self.heads.propagate_in_video_preflight(state, run_mem_encoder=False)

    def correct(
        self, states: States, frame: Frame, track_id: int, points_xy: Tensor, labels: Tensor
    ) -> TrackedMasks:
        """Refines the mask of an object; the frame becomes a prompted one of its state."""
        state = self._find_state(states, track_id)
        self.heads.add_new_points_or_box(
            state, frame.index, track_id, points=points_xy, labels=labels, rel_coordinates=False
        )
        self.heads.propagate_in_video_preflight(state)
        row = state["obj_ids"].index(track_id)
        out = state["output_dict"]["cond_frame_outputs"][frame.index]
        rows = slice(row, row + 1)
        return TrackedMasks(
            [track_id],
            out["pred_masks"][rows, 0].float(),
            out["object_score_logits"][rows, 0].float(),
        )

    def remove(self, states: States, ids: Iterable[int]) -> None:
        """Removes objects, and states that are empty then; other ids are ignored."""
        remove_from_states(self.heads, states, ids)

    def prune(self, states: States, frame_index: int) -> None:
        """Drops what no frame after ``frame_index`` can read."""
        for state in states:
            prune_tracker_state(self.heads, state, frame_index)

    def copy(self, states: States) -> States:
        """Copies all containers but the current frame's features, which the states share."""
        copied: States = copy_containers(states)
        return copied

    def _set_frame(self, frame: Frame) -> None:
        frame.fill(self._cache)

    def _remember(
        self, states: States, frame: Frame, ids: Sequence[int], masks: Tensor, scores: Tensor
    ) -> None:
        rows = {track_id: row for row, track_id in enumerate(ids)}
        for state in states:
            own = [rows[i] for i in state["obj_ids"]]
            features, positions = self.heads._run_memory_encoder(
                state, frame.index, len(own), masks[own], scores[own], is_mask_from_pts=False
            )
            for kind in ("cond_frame_outputs", "non_cond_frame_outputs"):
                out = state["output_dict"][kind].get(frame.index)
                if out is not None:
                    out["maskmem_features"], out["maskmem_pos_enc"] = features, list(positions)
                    self.heads._add_output_per_object(
                        inference_state=state,
                        frame_idx=frame.index,
                        current_out=out,
                        storage_key=kind,
                    )

    def _make_state(self, frame: Frame) -> TrackerState:
        height, width = frame.hw
        return self.heads.init_state(
            cached_features=self._cache,
            video_height=height,
            video_width=width,
            num_frames=ENDLESS,
        )

    def _find_state(self, states: States, track_id: int) -> TrackerState:
        found: TrackerState = next(s for s in states if track_id in s["obj_ids"])
        return found
