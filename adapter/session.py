"""Keeps the state of one task between runs: its model, its last output, its warnings."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..engine.images import count_pictures
from ..engine.prompts import ConceptPrompt, ObjectPrompt, Prompt
from ..engine.results import Result
from ..engine.validation import PointXy
from ..engine.wording import describe_misses, describe_pictures
from .description import (
    NO_VIDEO,
    describe_image,
    list_remarks,
    make_info,
    read_language_model,
)
from .inputs.graphics import Drawing
from .inputs.reference import ReferenceReader
from .inputs.video import VideoPosition
from .model_holder import ModelHolder
from .parameters.settings import Settings
from .progress import Progress, WarnOnce
from .prompt_builder import PromptReading, build_prompt, resolve_mode
from .tracking import VideoTracking, should_track

if TYPE_CHECKING:
    from ..engine import Engine

logger = logging.getLogger("infer_segment_anything_3")

NO_VIDEO_MEMORY = (
    "tracking: these weights hold no memory for videos (SAM 3.1's is another architecture), so "
    "each frame is segmented by itself"
)


class _Stopped(Exception):  # noqa: N818 - it is no error
    """Ends a run between two steps because the host asked for it."""


@dataclasses.dataclass(frozen=True)
class RunOutput:
    """One run: the image, the prompt and the result.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        settings: The parameters of the run.
        reading: The prompt that was read from the parameters and the drawing.
        result: The instances; none for a run that was stopped or had no prompt.
        source: Path of the image, or empty.
        position: Of the frame, where the input is a video.
        trails: Path of each track in view over the last frames, where objects are followed.
        video: Number of the video among those that the task followed so far.
        frame_index: Index of the frame in its video, or among the runs that are followed; None
            if neither.
        remarks: What came nearest to concepts that were not found; pictures that were left out.
        agent: How a language model came to its choice; None where none was asked.
    """

    image: npt.NDArray[np.uint8]
    settings: Settings
    reading: PromptReading
    result: Result
    source: str = ""
    position: VideoPosition | None = None
    trails: Mapping[int, tuple[PointXy, ...]] = dataclasses.field(default_factory=dict)
    video: int = 0
    frame_index: int | None = None
    remarks: tuple[str, ...] = ()
    agent: Mapping[str, Any] | None = None

    @property
    def is_tracked(self) -> bool:
        """Whether objects are tracked from frame to frame."""
        return self.result.frame_index is not None

    @property
    def notes(self) -> tuple[str, ...]:
        """All warnings and choices of the run, about the prompt and the result."""
        warnings = list_result_warnings(self.result, self.settings.masks)
        return (*self.reading.warnings, *warnings, *self.remarks, *self.reading.infos)

    @property
    def has_candidates(self) -> bool:
        """Whether each object has three candidates."""
        prompt = self.reading.prompt
        is_first = not self.result.frame_index
        return isinstance(prompt, ObjectPrompt) and prompt.multimask and is_first


class Session:
    """Runs prompts for one task.

    Attributes:
        models: Holds the task's engine.
        tracking: The video that is followed.
    """

    def __init__(self) -> None:
        self.models = ModelHolder()
        self.tracking = VideoTracking()
        self._references = ReferenceReader()
        self._warnings = WarnOnce()
        self._stop = threading.Event()
        self._settings: Settings | None = None
        self._last: tuple[weakref.ref[Engine], RunOutput] | None = None

    def allow_start(self) -> None:
        """Cancels an earlier :meth:`stop`."""
        self._stop.clear()

    def stop(self) -> None:
        """Ends the current run before its next step. Callable from any thread."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """Whether a run was asked to end and none was started since."""
        return self._stop.is_set()

    def run(
        self,
        settings: Settings,
        image: npt.NDArray[np.uint8],
        drawing: Drawing,
        progress: Progress,
        source: str = "",
        position: VideoPosition | None = None,
    ) -> RunOutput:
        """Segments an image, or follows objects to the next frame of a video.

        Args:
            settings: The parameters.
            image: (H, W, 3) uint8, RGB.
            drawing: Points and boxes of the graphics input.
            progress: Receives each step.
            source: Path of the image, or empty.
            position: Of the frame, where the input is a video.

        Returns:
            The prompt and the result.

        Raises:
            ValueError: If the prompt does not fit the image.
            RuntimeError: If the weights cannot be found, downloaded or loaded, or the language
                model's server cannot be used.
        """
        started = time.perf_counter()
        if settings != self._settings:
            self._warnings.reset()
            self._settings = settings
        hw = (image.shape[0], image.shape[1])
        previous = self._get_previous(settings, image)
        reference = None
        if resolve_mode(settings) == "concept":
            reference = self._references.read(settings.reference_image)
        reading = build_prompt(settings, drawing, hw, previous, reference)
        self._warnings.warn(reading.warnings)
        for line in reading.infos:
            logger.info("%s", line)
        index = position.index if position is not None and position.is_known else None
        remarks = describe_pictures(count_pictures(source)) if source and position is None else []
        self._warnings.warn(remarks)
        output = RunOutput(
            image,
            settings,
            reading,
            Result(hw, (), ()),
            source,
            position,
            frame_index=index,
            remarks=tuple(remarks),
        )
        is_tracked, warning = should_track(settings, reading.mode, position, source)
        if warning and reading.mode == "describe":
            # Without an end, every frame would be sent.
            output = dataclasses.replace(output, remarks=(*output.remarks, NO_VIDEO))
            reading, warning = dataclasses.replace(reading, prompt=None), NO_VIDEO
        self._warnings.warn([warning] if warning else [])
        if not is_tracked:
            self.tracking.start_over()
        if is_tracked and (reading.prompt is not None or self.tracking.is_following):
            output = self._follow(output, drawing, progress)
        elif reading.prompt is None:
            self._last = None
        else:
            output = self._segment_or_stop(output, reading.prompt, progress)
        self._warnings.warn(list_result_warnings(output.result, settings.masks))
        self._log(output, (time.perf_counter() - started) * 1000)
        return output

    def _follow(self, output: RunOutput, drawing: Drawing, progress: Progress) -> RunOutput:
        engine = self.models.get(output.settings)
        if output.settings.tracking == "auto" and output.reading.prompt is not None:
            from ..engine.checkpoints.loader import supports_video

            if not supports_video(engine.model):
                self._warnings.warn([NO_VIDEO_MEMORY])
                return self._segment_or_stop(output, output.reading.prompt, progress)
        on_step = self._make_step_callback(progress)
        try:
            on_step("load")
            result = self.tracking.step(
                engine,
                output.settings,
                output.reading,
                drawing,
                output.image,
                output.position,
                on_step,
            )
        except _Stopped:
            logger.info("stopped: the outputs of this frame are empty")
            return output
        return dataclasses.replace(
            output,
            result=result,
            trails=self.tracking.trails.copy(),
            video=self.tracking.started,
            frame_index=self.tracking.frame_index,
        )

    def _make_step_callback(self, progress: Progress) -> Callable[[str], None]:
        def on_step(step: str) -> None:
            progress.step()
            self._check_stop()

        return on_step

    def _segment_or_stop(self, output: RunOutput, prompt: Prompt, progress: Progress) -> RunOutput:
        try:
            return self._segment(output, prompt, progress)
        except _Stopped:
            logger.info("stopped: the outputs are empty")
            return output

    def _segment(self, output: RunOutput, prompt: Prompt, progress: Progress) -> RunOutput:
        if output.reading.mode == "describe" and isinstance(prompt, ConceptPrompt):
            return self._describe(output, prompt, progress)
        on_step = self._make_step_callback(progress)
        engine = self.models.get(output.settings)
        on_step("load")
        result = engine.segment(
            output.image,
            prompt,
            output.settings.input_size_percent,
            on_step,
            on_plan=progress.plan,
        )
        misses = describe_misses(result, prompt, engine.vocabulary)
        for line in misses:
            logger.info("%s", line)
        output = dataclasses.replace(output, result=result, remarks=(*output.remarks, *misses))
        self._last = (weakref.ref(engine), output)
        return output

    def _describe(self, output: RunOutput, prompt: ConceptPrompt, progress: Progress) -> RunOutput:
        settings = output.settings
        # First: it costs nothing to find out that there is none.
        endpoint = read_language_model(settings.agent_model)
        engine = self.models.get(settings)
        self._make_step_callback(progress)("load")
        found = describe_image(
            engine,
            endpoint,
            output.image,
            prompt,
            settings.input_size_percent,
            progress.step,
            self._check_stop,
        )
        warnings, remarks = list_remarks(found)
        self._warnings.warn(warnings)
        for line in (*remarks, *map(str, found.steps)):
            logger.info("%s", line)
        self._last = None
        return dataclasses.replace(
            output,
            result=found.result,
            remarks=(*output.remarks, *warnings, *remarks),
            agent=make_info(found, endpoint),
        )

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise _Stopped

    def _get_previous(
        self, settings: Settings, image: npt.NDArray[np.uint8]
    ) -> tuple[ObjectPrompt, Result] | None:
        """Returns the last object prompt and result, if on the same image and model."""
        if not settings.refine or self._last is None or not self.models.holds(settings):
            return None
        engine, last = self._last
        prompt = last.reading.prompt
        if engine() is not self.models.engine or not isinstance(prompt, ObjectPrompt):
            return None
        return (prompt, last.result) if np.array_equal(last.image, image) else None

    def _log(self, output: RunOutput, elapsed_ms: float) -> None:
        engine = self.models.engine if output.reading.prompt is not None else None
        logger.info(
            "%s, %s, %d instances, %.0f ms",
            f"{engine.device}, {engine.precision}, image "
            + ("cached" if output.result.image_was_cached else "encoded")
            if engine
            else "nothing to run",
            _describe_prompt(output.reading.prompt, output.reading.mode),
            len(output.result.instances),
            elapsed_ms,
        )


def list_result_warnings(result: Result, with_masks: bool = True) -> list[str]:
    """Lists the warnings about a result: classes at the query limit, and empty masks.

    Args:
        result: Any result.
        with_masks: Whether masks were asked for.

    Returns:
        One line for each warning.
    """
    advice = ""
    if result.frame_index is None:
        advice = "; set tiles" if result.tile_grid == (1, 1) else "; set more tiles"
    warnings = [
        f"{name}: takes over half of what the model can find at once: there may be more{advice}"
        for name in result.truncated
    ]
    empty = sum(with_masks and not instance.mask.area for instance in result.instances)
    if empty:
        warnings.append(f"the mask of {empty} of {len(result.instances)} instances is empty")
    return warnings


def _describe_prompt(prompt: Prompt | None, mode: str) -> str:
    if prompt is None:
        return "no prompt"
    if mode == "describe":
        return "a description"
    if isinstance(prompt, ConceptPrompt):
        return f"{len(prompt.texts)} concepts, {len(prompt.exemplars_xyxy)} exemplars"
    if isinstance(prompt, ObjectPrompt):
        return f"{len(prompt.objects)} objects"
    return "everything"
