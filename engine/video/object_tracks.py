"""Tracks objects that points and boxes mark on one frame."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..inference.interactive import get_point_labels
from ..prompts import PromptedObject
from .frame import Frame, Track, find_visible
from .trackers.interface import PointPrompts, States, TrackedMasks, Tracker

_BOX_LABELS = (2, 3)
"""The tracker's labels of a box's top left and bottom right corner."""


@dataclasses.dataclass
class ObjectMemory:
    """Holds the memory of the tracked objects.

    Attributes:
        states: What the tracker remembers of them.
        class_names: Class name of each track.
    """

    states: States = dataclasses.field(default_factory=list)
    class_names: dict[int, str] = dataclasses.field(default_factory=dict)

    def copy(self, tracker: Tracker) -> ObjectMemory:
        """Copies the memory, so that changing the copy leaves this one as it is."""
        return ObjectMemory(tracker.copy(self.states), dict(self.class_names))


class ObjectTracks:
    """Tracks objects through a video, each from its prompt on."""

    def __init__(self, tracker: Tracker) -> None:
        """Prepares to track.

        Args:
            tracker: What follows the objects.
        """
        self._tracker = tracker

    def add(
        self,
        memory: ObjectMemory,
        frame: Frame,
        objects: Sequence[PromptedObject],
        first_id: int,
    ) -> list[Track]:
        """Starts objects on a frame. Equal kinds of prompts share a decoder call.

        Args:
            memory: Changed in place.
            frame: The frame.
            objects: The objects.
            first_id: Id of the first; the others' follow.

        Returns:
            Their tracks on this frame, in the order of the objects.
        """
        groups: dict[tuple[int, bool], list[int]] = defaultdict(list)
        prompts = [self._scale_prompt(prompted, frame) for prompted in objects]
        for index, (prompted, (points_xy, _)) in enumerate(zip(objects, prompts, strict=True)):
            groups[len(points_xy), prompted.mask_input is not None].append(index)
        kinds = []
        for (_, is_refined), members in groups.items():
            masks = [torch.from_numpy(objects[i].mask_input) for i in members if is_refined]
            kinds.append(
                PointPrompts(
                    [first_id + i for i in members],
                    torch.stack([prompts[i][0] for i in members]),
                    torch.stack([prompts[i][1] for i in members]),
                    torch.stack(masks).to(self._tracker.device) if is_refined else None,
                )
            )
        started = self._tracker.start_at_points(memory.states, frame, kinds)
        self._tracker.prune(memory.states, frame.index)
        for index, prompted in enumerate(objects):
            memory.class_names[first_id + index] = prompted.class_name
        return sorted(_make_tracks(started), key=lambda track: track.track_id)

    def step(self, states: States, frame: Frame) -> list[Track]:
        """Continues the tracks on a frame.

        Args:
            states: Changed in place.
            frame: The frame.

        Returns:
            Their tracks on the frame.
        """
        tracked = self._tracker.propagate(states, frame, remember=True)
        self._tracker.prune(states, frame.index)
        return _make_tracks(tracked)

    def correct(
        self, states: States, frame: Frame, track_id: int, prompted: PromptedObject
    ) -> Track:
        """Corrects an object on the current frame; later frames follow the correction.

        Args:
            states: Of objects or of a concept; the one that holds the object is changed.
            frame: The current frame, which was tracked.
            track_id: The object.
            prompted: All its points and its box on this frame; the mask it has now is refined.

        Returns:
            The corrected track, with its object score.
        """
        points_xy, labels = self._scale_prompt(prompted, frame)
        corrected = self._tracker.correct(states, frame, track_id, points_xy, labels)
        return _make_tracks(corrected)[0]

    def remove(self, memory: ObjectMemory, track_ids: Iterable[int]) -> None:
        """Removes objects.

        Args:
            memory: Changed in place.
            track_ids: Which; those of concepts are ignored.
        """
        known = [i for i in track_ids if i in memory.class_names]
        self._tracker.remove(memory.states, known)
        for i in known:
            del memory.class_names[i]

    def _scale_prompt(self, prompted: PromptedObject, frame: Frame) -> tuple[Tensor, Tensor]:
        """Scales a box's corners and the points to the model's input, (P, 2) px; adds labels."""
        corners = prompted.box_xyxy
        points = [] if corners is None else [corners[:2], corners[2:]]
        labels = [*(_BOX_LABELS if corners else ()), *get_point_labels(prompted)]
        height, width = frame.hw
        side = self._tracker.image_size
        scale = torch.tensor([side / width, side / height], dtype=torch.float32)
        points_xy = torch.tensor([*points, *prompted.points_xy], dtype=torch.float32) * scale
        device = self._tracker.device
        return points_xy.to(device), torch.tensor(labels, dtype=torch.int32, device=device)


def _make_tracks(tracked: TrackedMasks) -> list[Track]:
    probabilities = tracked.scores.sigmoid().tolist()
    return [
        Track(i, mask, score, score, seen)
        for i, mask, score, seen in zip(
            tracked.ids, tracked.logits, probabilities, find_visible(tracked.logits), strict=True
        )
    ]
