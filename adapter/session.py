"""What one task keeps from run to run: its model, its last answer, what it has said."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..engine.prompts import ConceptPrompt, ObjectPrompt, Prompt
from ..engine.results import Result
from .inputs.drawing import Drawing
from .model_holder import ModelHolder
from .parameters.settings import Settings
from .progress import Notices, Progress
from .prompt_builder import Reading, build_prompt

if TYPE_CHECKING:
    from ..engine import Engine

logger = logging.getLogger("infer_segment_anything_3")

NO_PROMPT = "no prompt: set input_text, input_point or input_box, or draw on the image"


class _Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Ends a run between two steps because the host asked for it."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What was asked of an image, and what was found.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        settings: The parameters.
        reading: How they and the drawing were read.
        result: What was found; nothing for a run that was stopped or had no prompt.
    """

    image: npt.NDArray[np.uint8]
    settings: Settings
    reading: Reading
    result: Result


class Session:
    """Runs prompts for one task.

    Attributes:
        models: The task's engine.
        notices: What the task has warned of.
    """

    def __init__(self) -> None:
        self.models = ModelHolder()
        self.notices = Notices()
        self._stop = threading.Event()
        self._settings: Settings | None = None
        self._last: tuple[weakref.ref[Engine], Run] | None = None

    def allow_start(self) -> None:
        """Forgets an earlier :meth:`stop`."""
        self._stop.clear()

    def stop(self) -> None:
        """Ends the run under way before its next step. Callable from any thread."""
        self._stop.set()

    def run(
        self,
        settings: Settings,
        image: npt.NDArray[np.uint8],
        drawing: Drawing,
        progress: Progress,
    ) -> Run:
        """Segments an image.

        Args:
            settings: The parameters.
            image: (H, W, 3) uint8, RGB.
            drawing: What was drawn on it.
            progress: Is told of each step.

        Returns:
            What was asked and found.

        Raises:
            ValueError: If the prompt does not fit the image.
            RuntimeError: If the weights cannot be had.
        """
        started = time.perf_counter()
        if settings != self._settings:
            self.notices.forget()
            self._settings = settings
        hw = (image.shape[0], image.shape[1])
        reading = build_prompt(settings, drawing, hw, self._previous(settings, image))
        self.notices.warn(reading.warnings)
        for line in reading.infos:
            logger.info("%s", line)
        run = Run(image, settings, reading, Result(hw, (), ()))
        if reading.prompt is None:
            if not drawing.is_from_task:
                self.notices.warn([NO_PROMPT])
        else:
            try:
                run = self._answered(run, reading.prompt, progress)
            except _Stopped:
                logger.info("stopped: the outputs are empty")
        self.notices.warn(_doubts(run.result))
        self._log(run, (time.perf_counter() - started) * 1000)
        return run

    def _answered(self, run: Run, prompt: Prompt, progress: Progress) -> Run:
        def between_steps(step: str) -> None:
            progress.step()
            if self._stop.is_set():
                raise _Stopped

        engine = self.models.get(run.settings)
        between_steps("load")
        result = engine.segment(run.image, prompt, run.settings.input_size_percent, between_steps)
        answered = dataclasses.replace(run, result=result)
        self._last = (weakref.ref(engine), answered)
        return answered

    def _previous(
        self, settings: Settings, image: npt.NDArray[np.uint8]
    ) -> tuple[ObjectPrompt, Result] | None:
        """The last objects, if they were on the same image with the same model."""
        if not settings.refine or self._last is None or not self.models.holds(settings):
            return None
        engine, last = self._last
        prompt = last.reading.prompt
        if engine() is not self.models.engine or not isinstance(prompt, ObjectPrompt):
            return None
        return (prompt, last.result) if np.array_equal(last.image, image) else None

    def _log(self, run: Run, elapsed_ms: float) -> None:
        engine = self.models.engine if run.reading.prompt is not None else None
        logger.info(
            "%s, %s, %d instances, %.0f ms",
            f"{engine.device}, {engine.precision}, image "
            + ("cached" if run.result.image_was_cached else "encoded")
            if engine
            else "nothing to run",
            _counted(run.reading.prompt),
            len(run.result.instances),
            elapsed_ms,
        )


def _counted(prompt: Prompt | None) -> str:
    if prompt is None:
        return "no prompt"
    if isinstance(prompt, ConceptPrompt):
        return f"{len(prompt.texts)} concepts, {len(prompt.exemplars_xyxy)} exemplars"
    if isinstance(prompt, ObjectPrompt):
        return f"{len(prompt.objects)} objects"
    return "everything"


def _doubts(result: Result) -> list[str]:
    """What a user should know of an answer beside the answer."""
    doubts = [
        f"{name}: fills all that the model can find at once, so there may be more; set tiles"
        for name in result.truncated
    ]
    empty = sum(not instance.mask.area for instance in result.instances)
    if empty:
        doubts.append(f"the mask of {empty} of {len(result.instances)} instances is empty")
    return doubts
