"""Makes an engine segment phrases in a given input size, with a look at each step."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..engine import Prompt, Result
from ..engine.images import RgbImage
from ..engine.runtime.steps import StepCallback, ignore

if TYPE_CHECKING:
    from ..engine import Engine


@dataclasses.dataclass(frozen=True)
class EngineSegmenter:
    """Segments with an engine, for :func:`.loop.find_described`.

    Attributes:
        engine: The engine.
        input_size_percent: See ``Engine.segment``.
        on_step: See ``Engine.segment``.
    """

    engine: Engine
    input_size_percent: float = 100
    on_step: StepCallback = ignore

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The only words that the weights know; empty if they know any."""
        return self.engine.vocabulary

    def segment(self, image: RgbImage, prompt: Prompt) -> Result:
        """Segments an image, see ``Engine.segment``."""
        return self.engine.segment(image, prompt, self.input_size_percent, self.on_step)
