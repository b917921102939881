"""Finds what descriptions mean, with a language model or with rules in its place.

The command ``demo-agent``. Without ``SAM3_AGENT_URL`` a stand-in on this machine answers, which
needs no account; see :mod:`.agent_stand_in` for what it is not.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..agent import AgentResult, Answer, ChatEndpoint, Message, find_described, read_endpoint
from ..agent.completions import URL_VARIABLE
from ..engine import Engine
from ..engine.images import RgbImage, decode_image
from . import SCENE
from .agent_stand_in import run_stand_in
from .panels import Panel, join_panels

DESCRIPTIONS = (
    "the leftmost red circle",
    "the second red circle from the right",
    "all but the largest square",
)


@dataclasses.dataclass
class Recorder:
    """Asks a language model, and keeps the last picture that it was sent.

    Attributes:
        endpoint: The language model.
        picture: (H, W, 3) uint8, RGB; None before the first question.
    """

    endpoint: ChatEndpoint
    picture: RgbImage | None = None

    def __call__(self, messages: Sequence[Message]) -> Answer:
        """Asks."""
        for part in messages[-1]["content"]:
            if part["type"] == "image_url":
                data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
                self.picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        return self.endpoint(messages)


def run_demo(image: str, description: str, agent_model: str, model: str, out: Path) -> Path:
    """Finds what is described; prints the transcript, writes candidates and choice.

    Args:
        image: Path of a picture; empty for the scene.
        description: What to find; empty for three of the scene.
        agent_model: Name of the language model; of no matter to the stand-in.
        model: Name of the model that segments.
        out: The PNG to write.

    Returns:
        Its absolute path.

    Raises:
        ValueError: If the picture cannot be read, or there is no description of it.
        EndpointError: If the language model's server cannot be used.
    """
    if image and not description:
        raise ValueError("describe: expected what to find in the image, got none")
    out = out.expanduser().resolve()
    pixels = decode_image(str(Path(image).expanduser() if image else SCENE))
    engine = Engine.load(model)
    panels = []
    with _open_endpoint(agent_model) as endpoint:
        for text in (description,) if description else DESCRIPTIONS:
            chat = Recorder(endpoint)
            found = find_described(engine, pixels, text, chat)
            _print(text, found)
            if chat.picture is not None:
                panels.append(Panel("Candidates, as they are sent", chat.picture))
            panels.append(Panel(f"{text}: {found.status}", found.result.plot(pixels, labels=False)))
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(join_panels(panels, columns=2)).save(out, optimize=True)
    return out


@contextlib.contextmanager
def _open_endpoint(agent_model: str) -> Iterator[ChatEndpoint]:
    if os.environ.get(URL_VARIABLE, "").strip():
        endpoint = read_endpoint(os.environ, agent_model)
        print(f"Asking {endpoint.model} at {endpoint.host}.")
        yield endpoint
        return
    with run_stand_in() as url:
        print(
            f"{URL_VARIABLE} is not set: a stand-in applies a few rules to the list of candidates. "
            "It is no language model and looks at no picture."
        )
        yield ChatEndpoint(url, "stand-in")


def _print(description: str, found: AgentResult) -> None:
    print(f"\n{description}\n{found.transcript}")
    for line in found.limits_reached:
        print(line)
    print(f"{found.status}, {len(found.result.instances)} instances, {found.requests} requests")
