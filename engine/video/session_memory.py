"""Holds the state of a session between two frames."""

from __future__ import annotations

import dataclasses

from .concept_tracks import ConceptMemory
from .object_tracks import ObjectMemory
from .outputs import FrameTracks
from .trackers.interface import Tracker


@dataclasses.dataclass
class SessionMemory:
    """Holds the memory of a session from frame to frame.

    Attributes:
        concepts: Of each concept.
        objects: Of the objects that were pointed at.
        current: The tracks on the current frame; None before the first one.
        last_id: The highest id that was given.
        last_seen: Index of the last frame on which each track was visible.
        hidden: Tracks that were removed by the user and are followed unseen.
    """

    concepts: list[ConceptMemory]
    objects: ObjectMemory = dataclasses.field(default_factory=ObjectMemory)
    current: FrameTracks | None = None
    last_id: int = -1
    last_seen: dict[int, int] = dataclasses.field(default_factory=dict)
    hidden: set[int] = dataclasses.field(default_factory=set)

    @property
    def track_ids(self) -> list[int]:
        """Ids of all tracks, hidden ones among them, in order of birth."""
        concepts = [i for concept in self.concepts for i in concept.track_ids]
        return sorted([*concepts, *self.objects.class_names])

    def get_current(self) -> FrameTracks:
        """Returns the tracks on the current frame, once there is one."""
        assert self.current is not None, "a frame was tracked"
        return self.current

    def copy(self, tracker: Tracker) -> SessionMemory:
        """Copies the memory, so that changing the copy leaves this one as it is."""
        return dataclasses.replace(
            self,
            concepts=[concept.copy(tracker) for concept in self.concepts],
            objects=self.objects.copy(tracker),
            last_seen=dict(self.last_seen),
            hidden=set(self.hidden),
        )
