"""Runs a description through the language model that the environment names."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..agent import (
    AgentResult,
    ChatEndpoint,
    EngineSegmenter,
    find_described,
    read_endpoint,
)
from ..engine.images import RgbImage
from ..engine.prompts import ConceptPrompt

if TYPE_CHECKING:
    from ..engine import Engine

NO_VIDEO = (
    "prompt_mode: descriptions are for images: the frames of this video are left out, because each "
    "would be sent to the language model; tracking off sends them"
)


def read_language_model(model: str) -> ChatEndpoint:
    """Reads the language model's server from the environment; ValueError if there is none."""
    return read_endpoint(os.environ, model)


def describe_image(
    engine: Engine,
    endpoint: ChatEndpoint,
    image: RgbImage,
    prompt: ConceptPrompt,
    input_size_percent: float,
    on_request: Callable[[], None],
    check_stop: Callable[[], None],
) -> AgentResult:
    """Finds what a description means.

    Args:
        engine: The engine.
        endpoint: The language model.
        image: (H, W, 3) uint8, RGB.
        prompt: Of a phrase, with the description in its place.
        input_size_percent: 1..100.
        on_request: Called after each answer.
        check_stop: What it raises ends the run.

    Returns:
        What was chosen, and how.

    Raises:
        EndpointError: If the language model's server cannot be used.
        ImportError: If httpx is not installed.
    """
    return find_described(
        EngineSegmenter(engine, input_size_percent, lambda step: check_stop()),
        image,
        prompt.texts[0],
        endpoint,
        make_prompt=functools.partial(_replace_text, prompt),
        on_request=lambda number: on_request(),
        check_stop=check_stop,
    )


def list_remarks(found: AgentResult) -> tuple[list[str], list[str]]:
    """Lists the warnings and the remarks about a result, one line each."""
    warnings = [f"language model: {line}" for line in found.limits_reached]
    if found.status == "gave_up":
        count = len(found.result.instances)
        warnings.append(
            f"language model: it came to no choice; the {count} instances are the candidates "
            "of its newest phrase"
        )
    remarks = [f"nothing fits: {found.steps[-1].action}"] if found.status == "none" else []
    return warnings, remarks


def make_info(found: AgentResult, endpoint: ChatEndpoint) -> dict[str, Any]:
    """Makes what output 3 tells about a description: who was asked, how often, what was said."""
    return {"host": endpoint.host, "model": endpoint.model, **found.to_dict()}


def _replace_text(prompt: ConceptPrompt, phrase: str) -> ConceptPrompt:
    return dataclasses.replace(prompt, texts=(phrase,))
