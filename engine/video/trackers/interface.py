"""Declares what a session asks of a tracker, whichever architecture it has."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...model.patched_modules import TensorsStayOnDevice
from ...model.video_tracker import VideoTracker
from ...runtime.isolation import keep_attention_flags
from ..frame import Frame

States = list[Any]
"""What a tracker remembers of some objects; only the tracker reads it."""


@dataclasses.dataclass(frozen=True)
class PointPrompts:
    """Holds the points and boxes of N objects that have equally many of them.

    Attributes:
        ids: Ids of the objects.
        points_xy: (N, P, 2) float32, in pixels of the model's input; the corners of a box are
            its first two points.
        labels: (N, P) int32: 1 foreground, 0 background, 2 and 3 the corners of a box.
        mask_input: (N, 1, g, g) logits to refine, or None.
    """

    ids: list[int]
    points_xy: Tensor
    labels: Tensor
    mask_input: Tensor | None = None


@dataclasses.dataclass(frozen=True)
class TrackedMasks:
    """Holds the masks of N objects on a frame.

    Attributes:
        ids: Ids of the objects.
        logits: (N, g, g) float32 mask logits.
        scores: (N,) logits of whether the object is visible.
    """

    ids: list[int]
    logits: Tensor
    scores: Tensor


class Tracker(abc.ABC):
    """Follows objects through the frames of one session.

    It knows no detections and no prompts but those that it is given, and keeps nothing of the
    objects itself: their memory is passed to each call. A call changes the list of states and
    what is in it, never a tensor, so that :meth:`copy` is what to go back to.

    Attributes:
        heads: The part that decodes points, boxes and masks on one frame.
        tensor_mode: What the package's operations on tensors need while the tracker runs.
    """

    tensor_mode: type[TensorsStayOnDevice] = TensorsStayOnDevice

    def __init__(self, heads: VideoTracker) -> None:
        """Prepares to track.

        Args:
            heads: The part that decodes points, boxes and masks on one frame.
        """
        self.heads = heads

    @property
    def image_size(self) -> int:
        """Side of the model's square input, in pixels."""
        return int(self.heads.image_size)

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        device: torch.device = self.heads.device
        return device

    @contextlib.contextmanager
    def use_frame(self, frame: Frame) -> Iterator[None]:
        """Makes a frame the current one; all other methods are called in this context."""
        self._set_frame(frame)
        with self.tensor_mode(), keep_attention_flags():
            yield

    @abc.abstractmethod
    def start(self, states: States, frame: Frame, ids: Sequence[int], masks: Tensor) -> None:
        """Starts objects at masks.

        Args:
            states: Changed in place.
            frame: The current frame, which was propagated.
            ids: Ids of the N objects, higher than those there are.
            masks: (N, S, S) bool, S = ``heads.input_mask_size``.
        """

    @abc.abstractmethod
    def start_at_points(
        self, states: States, frame: Frame, prompts: Sequence[PointPrompts]
    ) -> TrackedMasks:
        """Starts objects at points and boxes.

        Args:
            states: Changed in place.
            frame: The current frame, which was propagated.
            prompts: The objects, by the kind of their prompts.

        Returns:
            The masks of the new objects.
        """

    @abc.abstractmethod
    def propagate(self, states: States, frame: Frame, remember: bool) -> TrackedMasks:
        """Follows all objects to the next frame.

        Args:
            states: Changed in place.
            frame: The frame.
            remember: Whether to remember the masks as they are; else :meth:`remember` follows.

        Returns:
            The masks of all objects.
        """

    def remember(
        self, states: States, frame: Frame, ids: Sequence[int], low_res_logits: Tensor
    ) -> None:
        """Remembers masks of the current frame in place of those that were propagated.

        A mask that overlaps give away to less than 0.3 of its area is emptied, as the package
        does, and an empty one counts as not visible.

        Args:
            states: Changed in place.
            frame: The current frame.
            ids: Ids of the N objects: all there are.
            low_res_logits: (N, g, g) mask logits.
        """
        if not states:
            return
        side = self.heads.input_mask_size
        masks = F.interpolate(
            low_res_logits[:, None], (side, side), mode="bilinear", align_corners=False
        )
        masks = self.heads._suppress_object_pw_area_shrinkage(masks)
        scores = torch.where((masks > 0).any(dim=(-1, -2)), 10.0, -10.0)
        self._remember(states, frame, ids, masks, scores)

    @abc.abstractmethod
    def restart(self, states: States, frame: Frame, track_id: int, mask: Tensor) -> None:
        """Begins an object anew at a mask, before the current frame is remembered.

        Args:
            states: Changed in place.
            frame: The current frame, which was propagated and is not remembered yet.
            track_id: The object.
            mask: (S, S) bool, S = ``heads.input_mask_size``.
        """

    @abc.abstractmethod
    def correct(
        self, states: States, frame: Frame, track_id: int, points_xy: Tensor, labels: Tensor
    ) -> TrackedMasks:
        """Refines the mask that an object has on the current frame, and remembers the result.

        Args:
            states: Those that hold the object are changed in place.
            frame: The current frame, which was propagated.
            track_id: The object.
            points_xy: (P, 2) float32, as in :class:`PointPrompts`.
            labels: (P,) int32, as in :class:`PointPrompts`.

        Returns:
            The object's mask.
        """

    @abc.abstractmethod
    def remove(self, states: States, ids: Iterable[int]) -> None:
        """Removes objects, and states that are empty then; other ids are ignored."""

    @abc.abstractmethod
    def prune(self, states: States, frame_index: int) -> None:
        """Drops what no frame after ``frame_index`` can read."""

    @abc.abstractmethod
    def copy(self, states: States) -> States:
        """Copies the states, so that changing the copy leaves these as they are."""

    @abc.abstractmethod
    def _set_frame(self, frame: Frame) -> None:
        """Makes a frame the current one."""

    @abc.abstractmethod
    def _remember(
        self, states: States, frame: Frame, ids: Sequence[int], masks: Tensor, scores: Tensor
    ) -> None:
        """Remembers masks, (N, 1, S, S) logits, and object scores, (N, 1) logits, by id."""
