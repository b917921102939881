"""Tracks the objects of a prompt through a video, a frame at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ..images import RgbImage
from ..inference.concept_output import check_finite
from ..inference.image_encoder import check_rgb
from ..model.config import AssociationSettings
from ..prompts import ConceptPrompt, ObjectPrompt, PromptedObject
from ..results import Result
from ..runtime.memory import BatchLimits
from ..runtime.steps import StepCallback, ignore
from .checks import check_count, check_frame_size, check_prompt, clip_to_frame, make_tracker
from .frame import Frame
from .outputs import FrameTracks, make_result
from .session_memory import SessionMemory
from .tracking import SessionTracks

if TYPE_CHECKING:
    from ..engine import Engine

T = TypeVar("T")


class VideoSession:
    """Tracks the objects of a prompt through one video or live stream.

    Give it the frames one after the other; each :meth:`step` returns the instances of that
    frame, and an object has the same ``track_id`` on all of them. Concepts pick up what
    enters later; objects that were pointed at do not. Frames are not kept, and memory grows
    with the objects in view, not with the frames.

    Several sessions may share one engine, with one another and with images, from several
    threads. A call that raises leaves the session as it was before: the next frame goes on.

    Attributes:
        forget_after: Frames after which an object that is not seen is forgotten.
        max_objects: Most objects followed at a time.
    """

    def __init__(
        self,
        engine: Engine,
        prompt: ConceptPrompt | ObjectPrompt,
        *,
        forget_after: int = 300,
        max_objects: int = 64,
        input_size_percent: float = 100,
        association: AssociationSettings | None = None,
    ) -> None:
        """Starts a session.

        Args:
            engine: An engine whose weights hold the tracker.
            prompt: What to follow. Points, boxes and exemplars without a reference are in pixels
                of the first frame.
            forget_after: Frames after which an object that is not seen is forgotten; its id
                is never given again.
            max_objects: Most objects followed at a time; more of a concept are left out with
                a warning.
            input_size_percent: Shrinks each frame before it is encoded (1 to 100).
            association: How detections change the tracks of a concept; by default the model's own
                settings, for ``sam3`` the package's.

        Raises:
            TypeError: If the prompt is no such prompt.
            ValueError: If the weights hold no tracker, or the prompt cannot be followed.
        """
        self._engine = engine
        self._tracker = make_tracker(engine)
        self.forget_after = forget_after
        self.max_objects = max_objects
        self._size_percent = input_size_percent
        self._association = association or self._tracker.heads.association
        self._set_prompt(prompt)

    @property
    def prompt(self) -> ConceptPrompt | ObjectPrompt:
        """The prompt on the first frame: what the session tracks."""
        return self._prompt

    @property
    def frame_index(self) -> int:
        """Index of the current frame; -1 before the first."""
        return -1 if self._frame is None else self._frame.index

    @property
    def track_ids(self) -> tuple[int, ...]:
        """Ids of the objects that are followed now, visible or not."""
        return tuple(i for i in self._memory.track_ids if i not in self._memory.hidden)

    def reset(self, prompt: ConceptPrompt | ObjectPrompt | None = None) -> None:
        """Starts over: the next frame is the first, of any size, and ids begin at 0.

        Args:
            prompt: What to follow from now on; the same as before by default.

        Raises:
            TypeError: If the prompt is no such prompt.
            ValueError: If it cannot be followed.
        """
        with self._engine.execution.step():
            self._set_prompt(self._prompt if prompt is None else prompt)

    def step(self, image: RgbImage, on_step: StepCallback = ignore) -> Result:
        """Tracks all objects to the next frame.

        Args:
            image: (H, W, 3) uint8, RGB, of the size of the frames before. Not kept.
            on_step: Called after each network with its name; an exception it raises ends the
                step, and the session stays at the frame before.

        Returns:
            The instances of this frame, each with its ``track_id``.

        Raises:
            TypeError: If ``image`` is not such an array.
            ValueError: If it has another size, or the prompt does not fit the first frame.
            GpuMemoryError: If the GPU has no room for the step even in small limits.
        """
        check_rgb(image)
        with self._engine.execution.step():
            return self._change_memory(partial(self._advance, image, on_step), self._show)

    def track(self, images: Iterable[RgbImage], delay_frames: int = 0) -> Iterator[Result]:
        """Tracks all objects through the frames of a video.

        Args:
            images: The frames, as :meth:`step` takes them.
            delay_frames: 0 gives each frame's result at once. 15 holds results back for so
                many frames and leaves out of them what proved a false start meanwhile, as
                Meta's own demo does; the last ones come when the frames end.

        Yields:
            The results, in the order of the frames.
        """
        if delay_frames <= 1:
            yield from map(self.step, images)
            return
        waiting: deque[FrameTracks] = deque()
        removed: set[int] = set()
        confirmed: set[int] = set()
        for image in images:
            check_rgb(image)
            with self._engine.execution.step():
                tracks = self._change_memory(
                    partial(self._advance, image, ignore), lambda memory, _: memory.get_current()
                )
            removed.update(tracks.removed_ids)
            confirmed.update(
                track.track_id for found in tracks.concepts for track in found if track.is_confirmed
            )
            waiting.append(tracks)
            if len(waiting) >= delay_frames:
                yield self._show_delayed(waiting.popleft().confirm(confirmed), removed)
        while waiting:
            yield self._show_delayed(waiting.popleft().confirm(confirmed), removed)

    def add_objects(self, prompt: ObjectPrompt) -> Result:
        """Starts to track further objects, given on the current frame.

        Args:
            prompt: The objects, in pixels of the current frame.

        Returns:
            The current frame's instances with the new objects among them.

        Raises:
            ValueError: If there is no current frame, there would be too many objects, or the
                prompt does not fit the frame.
        """
        with self._engine.execution.step():
            frame = self._get_current_frame("add_objects")
            fitted = clip_to_frame(prompt, frame.hw)
            count = len(self._memory.track_ids) + len(fitted.objects)
            check_count(count, self.max_objects)
            return self._change_memory(
                lambda memory, limits: self._tracks.add_objects(memory, frame, fitted, limits),
                self._show,
            )

    def correct(self, track_id: int, prompted: PromptedObject) -> Result:
        """Corrects an object on the current frame; later frames follow the correction.

        Args:
            track_id: The object, of a concept or not.
            prompted: All of its points and its box on this frame. They refine the mask that
                it has.

        Returns:
            The current frame's instances with the corrected mask.

        Raises:
            ValueError: If there is no such object, or the prompt does not fit the frame.
        """
        with self._engine.execution.step():
            frame = self._get_current_frame("correct")
            self._check_known(track_id)
            (fitted,) = clip_to_frame(ObjectPrompt((prompted,)), frame.hw).objects
            return self._change_memory(
                lambda memory, _: self._tracks.correct(memory, frame, track_id, fitted),
                self._show,
            )

    def remove(self, track_id: int) -> Result:
        """Removes an object from this frame and all later ones.

        A track of a concept is still followed, unseen: its next detection would start the
        object again under another id.

        Args:
            track_id: The object.

        Returns:
            The current frame's instances without it.

        Raises:
            ValueError: If there is no such object.
        """
        with self._engine.execution.step():
            self._get_current_frame("remove")
            self._check_known(track_id)
            return self._change_memory(
                lambda memory, _: self._tracks.remove(memory, track_id), self._show
            )

    def _set_prompt(self, prompt: ConceptPrompt | ObjectPrompt) -> None:
        check_prompt(prompt, self.max_objects)
        self._prompt = prompt
        self._tracks = SessionTracks(
            self._engine,
            self._tracker,
            prompt,
            self.forget_after,
            self.max_objects,
            self._size_percent,
            self._association,
        )
        self._memory = self._tracks.make_memory()
        self._frame: Frame | None = None

    def _advance(
        self, image: RgbImage, on_step: StepCallback, memory: SessionMemory, limits: BatchLimits
    ) -> Frame:
        hw = (image.shape[0], image.shape[1])
        prompt: ConceptPrompt | ObjectPrompt = self._prompt
        if self._frame is None:
            prompt = clip_to_frame(prompt, hw)
        else:
            check_frame_size(hw, self._frame.hw)
        encoded = self._engine.encoder.encode_frame(image, self._size_percent)
        on_step("encode")
        features = encoded.state["backbone_out"]["sam2_backbone_out"]
        frame = Frame(self.frame_index + 1, hw, features, encoded.state["propagation"])
        self._tracks.advance(memory, frame, encoded.state, prompt, on_step, limits)
        return frame

    def _change_memory(
        self,
        change: Callable[[SessionMemory, BatchLimits], Frame | None],
        read: Callable[[SessionMemory, BatchLimits], T],
    ) -> T:
        """Changes a copy of the memory, reads it, and keeps it unless an error is raised.

        Args:
            change: Changes the memory, and returns the frame if it is another one.
            read: Makes what is returned.

        Returns:
            What was read.
        """

        def attempt(limits: BatchLimits) -> T:
            memory = self._memory.copy(self._tracker)
            frame = change(memory, limits)
            result = read(memory, limits)
            self._memory = memory
            self._frame = frame or self._frame
            return result

        return self._engine.retry_on_oom(attempt)

    def _show(self, memory: SessionMemory, limits: BatchLimits) -> Result:
        return self._make_result(memory.get_current(), memory.hidden, limits)

    def _show_delayed(self, tracks: FrameTracks, removed: set[int]) -> Result:
        with self._engine.execution.step():
            return self._engine.retry_on_oom(
                lambda limits: self._make_result(tracks, removed | self._memory.hidden, limits)
            )

    def _make_result(self, tracks: FrameTracks, hidden: set[int], limits: BatchLimits) -> Result:
        check_finite(tracks.list_outputs(), "masks and scores", self._engine.weights_name)
        prompt = self._prompt if isinstance(self._prompt, ConceptPrompt) else None
        return make_result(tracks, prompt, hidden, limits.mask_bytes)

    def _get_current_frame(self, method: str) -> Frame:
        if self._frame is None:
            raise ValueError(f"{method}: expected a current frame, got none yet; call step() first")
        return self._frame

    def _check_known(self, track_id: int) -> None:
        if track_id not in self.track_ids:
            shown = ", ".join(map(str, self.track_ids[:10])) or "none"
            raise ValueError(f"track_id: expected one that is followed ({shown}), got {track_id!r}")
