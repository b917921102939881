"""Tracks objects that points and boxes mark on one frame."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..inference.interactive import get_point_labels
from ..model.video_tracker import TrackerState, VideoTracker
from ..prompts import PromptedObject
from .frame import Frame, Track, find_visible
from .memory_pruning import copy_containers, prune_tracker_state, remove_from_states

_BOX_LABELS = (2, 3)
"""The tracker's labels of a box's top left and bottom right corner."""


@dataclasses.dataclass
class ObjectMemory:
    """Holds the memory of the tracked objects.

    Attributes:
        states: Of the tracker, one for the objects that were prompted on the same frame.
        class_names: Class name of each track.
    """

    states: list[TrackerState] = dataclasses.field(default_factory=list)
    class_names: dict[int, str] = dataclasses.field(default_factory=dict)

    def copy(self) -> ObjectMemory:
        """Copies the memory, so that changing the copy leaves this one as it is."""
        return ObjectMemory(copy_containers(self.states), dict(self.class_names))


class ObjectTracks:
    """Tracks objects through a video, each from its prompt on."""

    def __init__(self, tracker: VideoTracker) -> None:
        """Prepares to track with a model.

        Args:
            tracker: The model's tracker.
        """
        self._tracker = tracker

    def add(
        self,
        memory: ObjectMemory,
        frame: Frame,
        cache: dict[Any, Any],
        objects: Sequence[PromptedObject],
        first_id: int,
    ) -> list[Track]:
        """Starts objects on a frame. Equal kinds of prompts share a decoder call.

        Args:
            memory: Changed in place.
            frame: The frame.
            cache: The session's features of it.
            objects: The objects.
            first_id: Id of the first; the others' follow.

        Returns:
            Their tracks on this frame, in the order of the objects.
        """
        groups: dict[tuple[int, bool], list[int]] = defaultdict(list)
        prompts = [self._scale_prompt(prompted, frame) for prompted in objects]
        for index, (prompted, (points_xy, _)) in enumerate(zip(objects, prompts, strict=True)):
            groups[len(points_xy), prompted.mask_input is not None].append(index)
        state = frame.make_state(self._tracker, cache)
        for (_, is_refined), members in groups.items():
            masks = [torch.from_numpy(objects[i].mask_input) for i in members if is_refined]
            self._tracker.add_points(
                state,
                frame.index,
                [first_id + i for i in members],
                torch.stack([prompts[i][0] for i in members]),
                torch.stack([prompts[i][1] for i in members]),
                torch.stack(masks).to(self._tracker.device) if is_refined else None,
            )
        self._tracker.propagate_in_video_preflight(state)
        memory.states.append(state)
        for index, prompted in enumerate(objects):
            memory.class_names[first_id + index] = prompted.class_name
        return sorted(self.step([state], frame), key=lambda track: track.track_id)

    def step(self, states: Sequence[TrackerState], frame: Frame) -> list[Track]:
        """Continues the tracks on a frame, or reads those that were prompted on it.

        Args:
            states: Changed in place.
            frame: The frame, which the feature cache of the states holds.

        Returns:
            Their tracks on the frame.
        """
        tracks = []
        for state in states:
            ((_, ids, logits, _, scores),) = self._tracker.propagate_in_video(
                state, frame.index, 0, False, tqdm_disable=True
            )
            logits = logits.squeeze(1).float()
            probabilities = scores.float().sigmoid().flatten().tolist()
            tracks += [
                Track(int(i), mask, score, score, seen)
                for i, mask, score, seen in zip(
                    ids, logits, probabilities, find_visible(logits), strict=True
                )
            ]
            prune_tracker_state(self._tracker, state, frame.index)
        return tracks

    def correct(
        self, states: Iterable[TrackerState], frame: Frame, track_id: int, prompted: PromptedObject
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
        state = next(s for s in states if track_id in s["obj_ids"])
        points_xy, labels = self._scale_prompt(prompted, frame)
        self._tracker.add_new_points_or_box(
            state, frame.index, track_id, points=points_xy, labels=labels, rel_coordinates=False
        )
        self._tracker.propagate_in_video_preflight(state)
        row = state["obj_ids"].index(track_id)
        out = state["output_dict"]["cond_frame_outputs"][frame.index]
        logits = out["pred_masks"][row].float()
        score = float(out["object_score_logits"][row].float().sigmoid())
        return Track(track_id, logits[0], score, score, find_visible(logits)[0])

    def remove(self, memory: ObjectMemory, track_ids: Iterable[int]) -> None:
        """Removes objects.

        Args:
            memory: Changed in place.
            track_ids: Which; those of concepts are ignored.
        """
        known = [i for i in track_ids if i in memory.class_names]
        remove_from_states(self._tracker, memory.states, known)
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
