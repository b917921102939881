"""Scenes, and a guard against tests that hang."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from infer_segment_anything_3.engine import Engine
    from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene

DEADLOCK_S = 300
"""Far more than any of these tests takes on a busy machine."""


@pytest.fixture(autouse=True)
def _loaded_once(tiny_engine: Engine) -> None:
    """Keeps the bundled model between tests, whose tasks would each load it anew."""


@pytest.fixture(scope="session")
def shown() -> Scene:
    """A small scene of several shapes."""
    return draw(5)


@pytest.fixture(scope="session")
def others() -> list[Scene]:
    """More of them."""
    return [draw(seed) for seed in (21, 22, 23, 24)]


@pytest.fixture
def watchdog() -> Iterator[None]:
    """Ends the test process with every thread's stack if the test hangs, GIL held or not."""
    faulthandler.dump_traceback_later(DEADLOCK_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def draw(seed: int) -> Scene:
    from infer_segment_anything_3.tools.tiny_shapes.scenes import draw_scene

    return draw_scene(np.random.default_rng(seed), side_range_px=(200, 240), count_range=(2, 4))
