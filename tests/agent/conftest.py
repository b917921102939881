from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from infer_segment_anything_3.agent import AgentResult, ChatEndpoint, find_described
from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.tests.agent.scripted import Brain, Reply, ScriptedServer, serve
from infer_segment_anything_3.tools.tiny_shapes.scenes import Canvas, Scene


@pytest.fixture(scope="session")
def shapes() -> Scene:
    """Three red circles of different sizes, a blue square and a green triangle."""
    canvas = Canvas(np.random.default_rng(3), (480, 640))
    for color, kind, extent in (
        ("red", "circle", 0.27),
        ("red", "circle", 0.22),
        ("red", "circle", 0.18),
        ("blue", "square", 0.2),
        ("green", "triangle", 0.22),
    ):
        pixels = canvas.find_free_place(kind, (extent, extent))
        assert pixels is not None
        canvas.add(color, kind, pixels)
    return canvas.scene()


@pytest.fixture
def find(tiny_engine: Engine, shapes: Scene) -> Callable[..., tuple[AgentResult, ScriptedServer]]:
    """Runs a description against scripted answers: ``find([answers], "the red circle")``."""

    def run(
        replies: Brain | Sequence[Reply],
        description: str = "the leftmost red circle",
        key: str = "",
        **options: Any,
    ) -> tuple[AgentResult, ScriptedServer]:
        with serve(replies, key) as server:
            chat = ChatEndpoint(server.url, "scripted", key)
            return find_described(tiny_engine, shapes.image, description, chat, **options), server

    return run
