"""Tracks with SAM 3.1's memory, which up to 16 objects share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ...model.multiplex.buckets import Buckets, BucketState, FrameMemory, ObjectMasks
from ...model.multiplex.interactive import decode_points, encode_masks
from ...model.multiplex.tracker import FrameMaps, MultiplexTracker
from ...model.video_tracker import VideoTracker
from ..frame import Frame
from .interface import PointPrompts, States, TrackedMasks, Tracker


class BucketTracker(Tracker):
    """Tracks buckets of objects; a state holds those that fill the same buckets.

    New objects enter a state only if all of them fit into its free slots, else a new one starts.
    """

    def __init__(self, heads: VideoTracker, tracker: MultiplexTracker) -> None:
        """Prepares to track.

        Args:
            heads: The interactive heads of the model.
            tracker: Its tracker.
        """
        super().__init__(heads)
        self._tracker = tracker
        self._frame: Frame | None = None
        self._maps: FrameMaps | None = None

    def start(self, states: States, frame: Frame, ids: Sequence[int], masks: Tensor) -> None:
        """Starts objects at masks."""
        found = encode_masks(self._tracker, self.heads, self._list_interactive(frame), masks)
        self._add(states, frame, ids, found)

    def start_at_points(
        self, states: States, frame: Frame, prompts: Sequence[PointPrompts]
    ) -> TrackedMasks:
        """Starts objects at points and boxes."""
        maps = self._list_interactive(frame)
        found = [
            decode_points(self._tracker, self.heads, maps, p.points_xy, p.labels, p.mask_input)
            for p in prompts
        ]
        ids = [i for p in prompts for i in p.ids]
        started = found[0]
        for other in found[1:]:
            started = started.append(other)
        self._add(states, frame, ids, started)
        return _make_tracked(ids, started)

    def propagate(self, states: States, frame: Frame, remember: bool) -> TrackedMasks:
        """Follows all objects to the next frame."""
        side = self.heads.low_res_mask_size
        tracked = TrackedMasks(
            [], torch.zeros(0, side, side, device=self.device), torch.zeros(0, device=self.device)
        )
        for state in states:
            found = self._tracker.propagate(state, self._get_maps(frame))
            state.current = found
            if remember:
                state.tracked[frame.index] = self._encode(
                    state, frame, _upscale(found.logits, self.image_size), found.scores
                )
            own = _make_tracked(state.buckets.ids, found)
            tracked = TrackedMasks(
                [*tracked.ids, *own.ids],
                torch.cat([tracked.logits, own.logits]),
                torch.cat([tracked.scores, own.scores]),
            )
        return tracked

    def restart(self, states: States, frame: Frame, track_id: int, mask: Tensor) -> None:
        """Begins an object anew at a mask: it gets the mask's pointer and is marked as prompted."""
        maps = self._list_interactive(frame)
        renewed = encode_masks(self._tracker, self.heads, maps, mask[None])
        state, row = _find(states, track_id)
        state.current = _get_current(state).replace(row, renewed)

    def correct(
        self, states: States, frame: Frame, track_id: int, points_xy: Tensor, labels: Tensor
    ) -> TrackedMasks:
        """Refines the mask of an object; the frame becomes a prompted one of its state."""
        state, row = _find(states, track_id)
        current = _get_current(state)
        corrected = decode_points(
            self._tracker,
            self.heads,
            self._list_interactive(frame),
            points_xy[None],
            labels[None],
            current.logits[row : row + 1],
        )
        state.current = current.replace(row, corrected)
        state.tracked.pop(frame.index, None)
        state.prompted[frame.index] = self._encode_prompted(state, frame)
        return _make_tracked([track_id], corrected)

    def remove(self, states: States, ids: Iterable[int]) -> None:
        """Removes objects, and states that are empty then; other ids are ignored."""
        removed = set(ids)
        for state in states:
            state.remove(removed)
        states[:] = [state for state in states if state.buckets.ids]

    def prune(self, states: States, frame_index: int) -> None:
        """Drops what no frame after ``frame_index`` can read."""
        for state in states:
            self._tracker.prune(state, frame_index)

    def copy(self, states: States) -> States:
        """Copies the states but not their tensors, which no call writes into."""
        return [state.copy() for state in states]

    def _set_frame(self, frame: Frame) -> None:
        if self._frame is not frame:
            self._frame, self._maps = frame, None

    def _remember(
        self, states: States, frame: Frame, ids: Sequence[int], masks: Tensor, scores: Tensor
    ) -> None:
        rows = {track_id: row for row, track_id in enumerate(ids)}
        for state in states:
            own = [rows[i] for i in state.buckets.ids]
            state.tracked[frame.index] = self._encode(state, frame, masks[own], scores[own])

    def _add(self, states: States, frame: Frame, ids: Sequence[int], started: ObjectMasks) -> None:
        """Adds objects to the fullest state that has room for all of them, or to a new one."""
        fitting = [state for state in states if state.buckets.free >= len(ids)]
        if fitting:
            state = min(fitting, key=lambda s: s.buckets.free)
            state.buckets = state.buckets.add(ids)
            state.current = _get_current(state).append(started)
            memories = state.prompted if frame.index in state.prompted else state.tracked
        else:
            state = BucketState(Buckets().add(ids), {}, {}, started)
            states.append(state)
            memories = state.prompted
        memories[frame.index] = self._encode_prompted(state, frame)

    def _encode_prompted(self, state: BucketState, frame: Frame) -> FrameMemory:
        """Encodes a frame with new or corrected objects: each pixel belongs to one object."""
        current = _get_current(state)
        masks = _upscale(current.logits, self.image_size)
        masks = self.heads._apply_non_overlapping_constraints(masks)
        return self._encode(state, frame, masks, current.scores)

    def _encode(
        self, state: BucketState, frame: Frame, masks: Tensor, scores: Tensor
    ) -> FrameMemory:
        maps = self._get_maps(frame)
        return self._tracker.encode(state.buckets, maps, _get_current(state), masks, scores)

    def _list_interactive(self, frame: Frame) -> list[Tensor]:
        maps: list[Tensor] = frame.features["backbone_fpn"]
        return maps

    def _get_maps(self, frame: Frame) -> FrameMaps:
        if self._maps is None:
            positions = frame.features["vision_pos_enc"][-1]
            self._maps = self._tracker.prepare(frame.index, list(frame.propagation), positions)
        return self._maps


def _upscale(logits: Tensor, side: int) -> Tensor:
    return F.interpolate(logits, (side, side), mode="bilinear", align_corners=False)


def _make_tracked(ids: Sequence[int], found: ObjectMasks) -> TrackedMasks:
    return TrackedMasks(list(ids), found.logits[:, 0], found.scores[:, 0].float())


def _get_current(state: BucketState) -> ObjectMasks:
    assert state.current is not None, "the current frame was tracked"
    return state.current


def _find(states: States, track_id: int) -> tuple[BucketState, int]:
    state: BucketState = next(s for s in states if track_id in s.buckets.ids)
    return state, state.buckets.ids.index(track_id)
