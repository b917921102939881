"""The state that one task keeps between runs: its model, its last output, its warnings."""

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
from .inputs.graphics import Drawing
from .model_holder import ModelHolder
from .parameters.settings import Settings
from .progress import Progress, WarnOnce
from .prompt_builder import PromptReading, build_prompt

if TYPE_CHECKING:
    from ..engine import Engine

logger = logging.getLogger("infer_segment_anything_3")

EXEMPLAR_CLASS_NAME = "exemplar"


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
    """

    image: npt.NDArray[np.uint8]
    settings: Settings
    reading: PromptReading
    result: Result
    source: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Everything that the run has to say about the prompt and the result."""
        return (*self.reading.warnings, *result_warnings(self.result), *self.reading.infos)

    @property
    def has_candidates(self) -> bool:
        """Whether each object has three candidates."""
        prompt = self.reading.prompt
        return isinstance(prompt, ObjectPrompt) and prompt.multimask


class Session:
    """Runs prompts for one task.

    Attributes:
        models: Holds the task's engine.
    """

    def __init__(self) -> None:
        self.models = ModelHolder()
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

    def run(
        self,
        settings: Settings,
        image: npt.NDArray[np.uint8],
        drawing: Drawing,
        progress: Progress,
        source: str = "",
    ) -> RunOutput:
        """Segments an image.

        Args:
            settings: The parameters.
            image: (H, W, 3) uint8, RGB.
            drawing: Points and boxes of the graphics input.
            progress: Receives each step.
            source: Path of the image, or empty.

        Returns:
            The prompt and the result.

        Raises:
            ValueError: If the prompt does not fit the image.
            RuntimeError: If the weights cannot be found, downloaded or loaded.
        """
        started = time.perf_counter()
        if settings != self._settings:
            self._warnings.reset()
            self._settings = settings
        hw = (image.shape[0], image.shape[1])
        reading = build_prompt(settings, drawing, hw, self._get_previous(settings, image))
        self._warnings.warn(reading.warnings)
        for line in reading.infos:
            logger.info("%s", line)
        output = RunOutput(image, settings, reading, Result(hw, (), ()), source)
        if reading.prompt is None:
            self._last = None
        else:
            try:
                output = self._segment(output, reading.prompt, progress)
            except _Stopped:
                logger.info("stopped: the outputs are empty")
        self._warnings.warn(result_warnings(output.result))
        self._log(output, (time.perf_counter() - started) * 1000)
        return output

    def _segment(self, output: RunOutput, prompt: Prompt, progress: Progress) -> RunOutput:
        def on_step(step: str) -> None:
            progress.step()
            if self._stop.is_set():
                raise _Stopped

        engine = self.models.get(output.settings)
        on_step("load")
        result = engine.segment(output.image, prompt, output.settings.input_size_percent, on_step)
        output = dataclasses.replace(output, result=_name_exemplars(prompt, result))
        self._last = (weakref.ref(engine), output)
        return output

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
            _describe_prompt(output.reading.prompt),
            len(output.result.instances),
            elapsed_ms,
        )


def result_warnings(result: Result) -> list[str]:
    """Lists the warnings about a result: classes at the query limit, and empty masks.

    Args:
        result: Any result.

    Returns:
        One line for each warning.
    """
    warnings = [
        f"{name}: fills all that the model can find at once, so there may be more; set tiles"
        for name in result.truncated
    ]
    empty = sum(not instance.mask.area for instance in result.instances)
    if empty:
        warnings.append(f"the mask of {empty} of {len(result.instances)} instances is empty")
    return warnings


def _name_exemplars(prompt: Prompt, result: Result) -> Result:
    """Names the class of exemplars without a text, which the model calls ``visual``."""
    if not isinstance(prompt, ConceptPrompt) or prompt.texts:
        return result
    truncated = (EXEMPLAR_CLASS_NAME,) if result.truncated else ()
    return dataclasses.replace(result, class_names=(EXEMPLAR_CLASS_NAME,), truncated=truncated)


def _describe_prompt(prompt: Prompt | None) -> str:
    if prompt is None:
        return "no prompt"
    if isinstance(prompt, ConceptPrompt):
        return f"{len(prompt.texts)} concepts, {len(prompt.exemplars_xyxy)} exemplars"
    if isinstance(prompt, ObjectPrompt):
        return f"{len(prompt.objects)} objects"
    return "everything"
