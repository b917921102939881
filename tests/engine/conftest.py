"""Engines to compare with the package's own calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infer_segment_anything_3.engine import Engine


@pytest.fixture(
    scope="module",
    params=["tiny_shapes", pytest.param("full size", marks=pytest.mark.slow)],
)
def float32_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The bundled model, and (``slow``) the full-size one with seeded random weights."""
    if request.param == "tiny_shapes":
        yield Engine.load("tiny_shapes", device="cpu", precision="float32")
        return
    from infer_segment_anything_3.engine.model.config import SAM3
    from infer_segment_anything_3.tools.random_weights import build_random_model

    yield Engine(build_random_model(SAM3), SAM3.image_size, "float32")
