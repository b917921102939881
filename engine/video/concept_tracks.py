"""Tracks one concept, a frame at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch

from ..inference.detection import PromptTokens
from ..model.video_tracker import ENDLESS
from .association import HOTSTART_FRAMES, Association, Detections
from .frame import Frame, Track, find_visible
from .memory_pruning import copy_containers, prune_metadata, remove_from_metadata
from .trackers.interface import States, Tracker


@dataclasses.dataclass
class ConceptMemory:
    """Holds the memory of one concept's tracks.

    Attributes:
        states: What the tracker remembers of them.
        metadata: The package's bookkeeping.
        scores: Latest detection score of each track.
        prompt_tokens: Of a prompt with exemplars, as encoded on their own frame or reference.
    """

    states: States = dataclasses.field(default_factory=list)
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    scores: dict[int, float] = dataclasses.field(default_factory=dict)
    prompt_tokens: PromptTokens | None = None

    @property
    def track_ids(self) -> list[int]:
        """Ids of the tracks, in order of birth."""
        return [int(i) for i in self.metadata.get("obj_ids_all_gpu", ())]

    def copy(self, tracker: Tracker) -> ConceptMemory:
        """Copies the memory, so that changing the copy leaves this one as it is."""
        states, metadata = tracker.copy(self.states), copy_containers(self.metadata)
        return ConceptMemory(states, metadata, dict(self.scores), self.prompt_tokens)


class ConceptTracks:
    """Tracks every object of one concept."""

    def __init__(self, association: Association) -> None:
        """Prepares to track a concept.

        Args:
            association: What matches its detections to its tracks.
        """
        self._association = association
        self._tracker = association.tracks

    def step(
        self,
        memory: ConceptMemory,
        frame: Frame,
        detections: Detections,
        last_id: int,
        room: int,
    ) -> ConceptStep:
        """Continues the tracks on the next frame and starts new ones.

        Args:
            memory: Changed in place.
            frame: The frame.
            detections: The concept's on this frame.
            last_id: The highest id that was ever given; new ones follow it.
            room: How many tracks may start.

        Returns:
            The tracks on this frame.
        """
        association = self._association
        if memory.metadata:
            memory.metadata["max_obj_id"] = last_id
        else:
            memory.metadata = association._initialize_metadata() | {"max_obj_id": last_id}
        association.room, association.frame = room, frame
        height, width = frame.hw
        logits, _, memory.states, memory.metadata, _, _ = association._det_track_one_frame(
            frame_idx=frame.index,
            num_frames=ENDLESS,
            reverse=False,
            input_batch=detections,
            geometric_prompt=None,
            tracker_states_local=memory.states,
            tracker_metadata_prev=memory.metadata,
            feature_cache={},
            orig_vid_height=height,
            orig_vid_width=width,
        )
        ids = memory.track_ids
        removed = tuple(i for i in logits if i not in ids)
        object_scores = memory.metadata["obj_id_to_tracker_score_frame_wise"][frame.index]
        scores = {**memory.scores, **association.scores}
        memory.scores = {i: scores[i] for i in ids}
        is_visible = find_visible(torch.stack([logits[i] for i in ids])) if ids else []
        hidden, unconfirmed = association.find_hidden(memory.metadata, frame.index)
        tracks = [
            Track(
                i,
                logits[i],
                memory.scores[i],
                float(object_scores[i]),
                seen,
                i in hidden,
                i not in unconfirmed,
            )
            for i, seen in zip(ids, is_visible, strict=True)
        ]
        self._tracker.prune(memory.states, frame.index)
        prune_metadata(memory.metadata, frame.index, HOTSTART_FRAMES)
        return ConceptStep(tracks, removed, association.refused)

    def remove(self, memory: ConceptMemory, track_ids: Iterable[int]) -> None:
        """Removes tracks.

        Args:
            memory: Changed in place.
            track_ids: Which; those of other concepts are ignored.
        """
        known = [i for i in track_ids if i in memory.track_ids]
        if known:
            self._tracker.remove(memory.states, known)
            remove_from_metadata(memory.metadata, known)
            for i in known:
                memory.scores.pop(i, None)


@dataclasses.dataclass(frozen=True)
class ConceptStep:
    """Holds one concept's tracks on one frame, and those that ended on it.

    Attributes:
        tracks: Those there are now, in order of birth.
        removed_ids: Those that proved false starts on this frame.
        refused: How many objects were not followed because the session was full.
    """

    tracks: list[Track]
    removed_ids: tuple[int, ...]
    refused: int
