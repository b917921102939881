"""Options and the segmenter of ``--describe``: a language model chooses among masks."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import StoppedError

if TYPE_CHECKING:
    from ..agent import AgentLimits, AgentResult, ChatEndpoint
    from ..engine import Engine, Prompt, Result
    from ..engine.images import RgbImage

PANEL = "A language model"

Describe = Annotated[
    str,
    typer.Option(
        help="What to find, in words: 'the leftmost person without a helmet'. A language model "
        "chooses among masks: pictures are sent to the server in SAM3_AGENT_URL, with the key in "
        "SAM3_AGENT_KEY.",
        rich_help_panel=PANEL,
    ),
]
AgentModel = Annotated[
    str,
    typer.Option(
        help="Name of the language model; by default that in SAM3_AGENT_MODEL.",
        rich_help_panel=PANEL,
    ),
]
MaxRequests = Annotated[
    int,
    typer.Option(help="Most requests to the language model an image.", rich_help_panel=PANEL),
]
DEFAULT_REQUESTS = 12

_OF_ONE_IMAGE = (400, 413, 422)
"""Statuses by which a server refuses one picture or its words; others concern every image."""


@dataclasses.dataclass
class DescriptionSegmenter:
    """Segments what a description means: that of a concept prompt, in place of its text.

    Attributes:
        engine: What segments phrases.
        endpoint: The language model.
        limits: Of each image.
        fatal_error: What is raised when the language model's server cannot be used at all.
        last: The newest result.
        requests: Of all images.
        tokens: Of all images.
    """

    engine: Engine
    endpoint: ChatEndpoint
    limits: AgentLimits
    fatal_error: type[RuntimeError] = StoppedError
    last: AgentResult | None = None
    requests: int = 0
    tokens: int = 0

    @property
    def device(self) -> Any:
        """Where the engine runs."""
        return self.engine.device

    @property
    def precision(self) -> str:
        """The engine's precision."""
        return self.engine.precision

    def segment(self, image: RgbImage, prompt: Prompt, input_size_percent: float = 100) -> Result:
        """Finds what the prompt's text describes.

        Args:
            image: (H, W, 3) uint8, RGB.
            prompt: A concept prompt; each phrase takes the place of its text.
            input_size_percent: See ``Engine.segment``.

        Returns:
            The chosen instances.

        Raises:
            ValueError: If the language model came to no choice, or its server refuses this image.
            RuntimeError: :attr:`fatal_error`.
        """
        from ..agent import EndpointError, EngineSegmenter, find_described
        from ..engine import ConceptPrompt

        assert isinstance(prompt, ConceptPrompt)
        template = prompt
        try:
            found = find_described(
                EngineSegmenter(self.engine, input_size_percent),
                image,
                template.texts[0],
                self.endpoint,
                self.limits,
                lambda phrase: dataclasses.replace(template, texts=(phrase,)),
            )
        except EndpointError as error:
            kind = ValueError if error.status in _OF_ONE_IMAGE else self.fatal_error
            raise kind(str(error)) from None
        self.last = found
        self.requests += found.requests
        self.tokens += found.tokens
        if found.status == "gave_up":
            raise ValueError(f"describe: no choice: {'; '.join(found.limits_reached)}")
        return found.result

    def list_steps(self) -> list[str]:
        """Lists what happened on the last image, and the limits that were reached."""
        if self.last is None:
            return []
        return [*map(str, self.last.steps), *self.last.limits_reached]

    def describe_price(self) -> str:
        """Says how many requests and tokens were used, and where."""
        tokens = f", {self.tokens:,} tokens" if self.tokens else ""
        return (
            f"{self.requests:,} requests{tokens} to {self.endpoint.model} at {self.endpoint.host}."
        )


def make_endpoint(agent_model: str, max_requests: int) -> tuple[ChatEndpoint, AgentLimits]:
    """Reads the language model's server from the environment; ValueError if there is none."""
    from ..agent import AgentLimits, read_endpoint

    try:
        limits = AgentLimits(requests=max_requests)
    except ValueError as error:
        raise ValueError(f"max_{error}") from None
    return read_endpoint(os.environ, agent_model), limits
