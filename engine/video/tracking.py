"""Tracks the concepts and the objects of one session."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from ..inference.image_encoder import EncodedImage
from ..inference.interactive import segment_objects
from ..model.config import AssociationSettings
from ..prompts import ConceptPrompt, ObjectPrompt, PromptedObject
from ..results import Instance
from ..runtime.memory import BatchLimits
from ..runtime.steps import StepCallback
from .association import Association, Detections
from .concept_tracks import ConceptMemory, ConceptTracks
from .detections import ConceptDetector
from .frame import Frame, Track
from .object_tracks import ObjectTracks
from .outputs import FrameTracks
from .session_memory import SessionMemory
from .trackers.interface import Tracker

if TYPE_CHECKING:
    from ..engine import Engine

logger = logging.getLogger("infer_segment_anything_3")


class SessionTracks:
    """Tracks the concepts and objects of one session; its memory is passed to each call."""

    def __init__(
        self,
        engine: Engine,
        tracker: Tracker,
        prompt: ConceptPrompt | ObjectPrompt,
        forget_after: int,
        max_objects: int,
        size_percent: float,
        association: AssociationSettings,
    ) -> None:
        """Prepares to track a prompt.

        Args:
            engine: The engine.
            tracker: What follows the objects.
            prompt: What to follow.
            forget_after: Frames after which a track that is not seen is forgotten.
            max_objects: Most tracks at a time.
            size_percent: Shrinks a reference before it is encoded (1 to 100).
            association: How detections change the tracks of a concept.
        """
        self._engine = engine
        self._tracker = tracker
        self._forget_after = forget_after
        self._max_objects = max_objects
        self._objects = ObjectTracks(tracker)
        self._detector: ConceptDetector | None = None
        self._concepts: list[ConceptTracks] = []
        if isinstance(prompt, ConceptPrompt):
            self._detector = ConceptDetector(engine, prompt, size_percent, association)
            self._concepts = [
                ConceptTracks(Association(tracker, threshold, association))
                for threshold in self._detector.thresholds
            ]
        self._has_warned = False

    def make_memory(self) -> SessionMemory:
        """Makes the memory before the first frame."""
        return SessionMemory([ConceptMemory() for _ in self._concepts])

    def advance(
        self,
        memory: SessionMemory,
        frame: Frame,
        state: dict[str, Any],
        prompt: ConceptPrompt | ObjectPrompt,
        on_step: StepCallback,
        limits: BatchLimits,
    ) -> None:
        """Tracks all concepts and objects to the next frame.

        Args:
            memory: Changed in place.
            frame: The frame.
            state: The encoded frame.
            prompt: The session's, as it fits the frame.
            on_step: Called after each step with its name.
            limits: How much is computed at a time.
        """
        # Outside of the tracker's mode, which costs some time for each operation.
        detections, truncated = self._detect(memory, state, prompt, limits)
        concepts, removed = self._advance_concepts(memory, frame, detections, on_step)
        with self._tracker.use_frame(frame):
            objects = self._objects.step(memory.objects.states, frame)
        memory.current = FrameTracks(
            frame.index,
            frame.hw,
            tuple(concepts),
            tuple(objects),
            self._list_class_names(memory),
            self._find_class_indices(memory),
            removed,
            truncated,
        )
        if frame.index == 0 and isinstance(prompt, ObjectPrompt) and prompt.objects:
            self.add_objects(memory, frame, prompt, limits)
        if memory.objects.class_names:
            on_step("objects")
        self._forget(memory, frame, removed)

    def _detect(
        self,
        memory: SessionMemory,
        state: dict[str, Any],
        prompt: ConceptPrompt | ObjectPrompt,
        limits: BatchLimits,
    ) -> tuple[list[Detections], tuple[str, ...]]:
        """Detects the concepts; also returns the names of those that took half of the queries."""
        if self._detector is None or not isinstance(prompt, ConceptPrompt):
            return [], ()
        tokens = [concept.prompt_tokens for concept in memory.concepts]
        detections, tokens, crowded = self._detector.detect(state, tokens, prompt, limits)
        for concept, own in zip(memory.concepts, tokens, strict=True):
            concept.prompt_tokens = own
        return detections, crowded

    def _advance_concepts(
        self,
        memory: SessionMemory,
        frame: Frame,
        detections: list[Detections],
        on_step: StepCallback,
    ) -> tuple[list[tuple[Track, ...]], tuple[int, ...]]:
        found: list[tuple[Track, ...]] = []
        removed: list[int] = []
        refused = 0
        names = self._detector.prompt.class_names if self._detector else ()
        parts = zip(self._concepts, memory.concepts, detections, names, strict=True)
        for tracks, concept, detected, name in parts:
            room = self._max_objects - len(memory.track_ids)
            with self._tracker.use_frame(frame):
                step = tracks.step(concept, frame, detected, memory.last_id, room)
            memory.last_id = max([memory.last_id, *concept.track_ids, *step.removed_ids])
            found.append(tuple(step.tracks))
            removed += step.removed_ids
            refused += step.refused
            # Outside of that context, which holds a lock: others may click meanwhile.
            on_step(f"concept: {name}")
        self._warn_of_limit(refused)
        return found, tuple(removed)

    def add_objects(
        self, memory: SessionMemory, frame: Frame, prompt: ObjectPrompt, limits: BatchLimits
    ) -> None:
        """Starts objects on the current frame.

        Args:
            memory: Changed in place.
            frame: The current frame, which was tracked.
            prompt: The objects, as they fit the frame.
            limits: How much is computed at a time.
        """
        current = memory.get_current()
        first_id = memory.last_id + 1
        with self._tracker.use_frame(frame):
            added = self._objects.add(memory.objects, frame, prompt.objects, first_id)
        memory.last_id += len(added)
        ids = [track.track_id for track in added]
        memory.last_seen.update(dict.fromkeys(ids, frame.index))
        memory.current = dataclasses.replace(
            current,
            objects=(*current.objects, *added),
            class_names=self._list_class_names(memory),
            class_index=self._find_class_indices(memory),
            prompted={**current.prompted, **dict(zip(ids, prompt.objects, strict=True))},
            alternatives={
                **current.alternatives,
                **dict(zip(ids, self._segment_alternatives(frame, prompt, limits), strict=True)),
            },
        )

    def correct(
        self, memory: SessionMemory, frame: Frame, track_id: int, prompted: PromptedObject
    ) -> None:
        """Corrects a track on the current frame.

        Args:
            memory: Changed in place.
            frame: The current frame, which was tracked.
            track_id: The track, of a concept or an object.
            prompted: All of its points and its box on this frame.
        """
        current = memory.get_current()
        states = [state for concept in memory.concepts for state in concept.states]
        with self._tracker.use_frame(frame):
            new = self._objects.correct(
                [*states, *memory.objects.states], frame, track_id, prompted
            )

        def replace_track(tracks: tuple[Track, ...], keep_score: bool) -> tuple[Track, ...]:
            return tuple(
                dataclasses.replace(new, score=t.score if keep_score else new.score)
                if t.track_id == track_id
                else t
                for t in tracks
            )

        if new.is_visible:
            memory.last_seen[track_id] = frame.index
        memory.current = dataclasses.replace(
            current,
            concepts=tuple(replace_track(tracks, True) for tracks in current.concepts),
            objects=replace_track(current.objects, False),
        )

    def remove(self, memory: SessionMemory, track_id: int) -> None:
        """Removes an object, or hides a track of a concept from now on.

        Args:
            memory: Changed in place.
            track_id: The track.
        """
        if track_id not in memory.objects.class_names:
            memory.hidden.add(track_id)
            return
        self._objects.remove(memory.objects, [track_id])
        current = memory.get_current()
        left = tuple(t for t in current.objects if t.track_id != track_id)
        memory.current = dataclasses.replace(current, objects=left)

    def _forget(self, memory: SessionMemory, frame: Frame, removed: tuple[int, ...]) -> None:
        """Records which tracks are visible, and removes those unseen for too long."""
        current = memory.get_current()
        tracks = [t for tracks in current.concepts for t in tracks] + list(current.objects)
        for track in tracks:
            if track.is_shown or track.track_id not in memory.last_seen:
                memory.last_seen[track.track_id] = frame.index
        seen = memory.last_seen
        lost = [i for i, t in seen.items() if frame.index - t >= self._forget_after]
        for concept, own in zip(self._concepts, memory.concepts, strict=True):
            concept.remove(own, lost)
        self._objects.remove(memory.objects, lost)
        for i in (*lost, *removed):
            seen.pop(i, None)
            memory.hidden.discard(i)

    def _segment_alternatives(
        self, frame: Frame, prompt: ObjectPrompt, limits: BatchLimits
    ) -> list[tuple[Instance, ...]]:
        """Segments the further candidates of each object on its first frame, if asked for."""
        if not prompt.multimask:
            return [()] * len(prompt.objects)
        height, width = frame.hw
        state: dict[str, Any] = {
            "original_height": height,
            "original_width": width,
            "backbone_out": {"sam2_backbone_out": frame.features},
        }
        decoder = self._engine.get_object_decoder()
        found = segment_objects(decoder, EncodedImage(state), prompt, limits)
        return [i.alternatives for i in found]

    def _list_class_names(self, memory: SessionMemory) -> tuple[str, ...]:
        names = self._detector.prompt.class_names if self._detector else ()
        return (*names, *dict.fromkeys(memory.objects.class_names.values()))

    def _find_class_indices(self, memory: SessionMemory) -> dict[int, int]:
        first = len(self._concepts)
        names = list(dict.fromkeys(memory.objects.class_names.values()))
        return {i: first + names.index(name) for i, name in memory.objects.class_names.items()}

    def _warn_of_limit(self, refused: int) -> None:
        if refused and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "max_objects: %d more objects were found and are not followed, because %d are "
                "followed already; this is said once a video",
                refused,
                self._max_objects,
            )
