"""Between a prompt and its answer nothing reads single values, for which a GPU is waited for."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from infer_segment_anything_3.engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene

READS_A_VALUE = ("_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal")
SENDS_A_CONSTANT = ("lift_fresh",)


class Waits(TorchDispatchMode):
    """Counts, by file, what makes the host wait when the tensors are on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name == "index" and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if by_mask or name in READS_A_VALUE + SENDS_A_CONSTANT:
            frames = [f.filename for f in traceback.extract_stack()]
            caller = [f for f in frames if "/torch/" not in f and f != __file__][-1]
            if "/sam3/model/" in caller or "/sam3/sam/" in caller:
                self.counts[f"{name} in {caller}"] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture
def encoded(tiny_engine: Engine, scene: Callable[..., Scene]) -> Iterator[tuple[Engine, Scene]]:
    engine = Engine(tiny_engine.model, tiny_engine.image_size, "float32")
    drawn = scene(3)
    warm = ConceptPrompt(("circle", "star", "square", "triangle"))
    engine.segment(drawn.image, warm)
    engine.image_cache.clear()
    engine.segment(drawn.image, ObjectPrompt((PromptedObject(points_xy=((3.0, 4.0),)),)))
    yield engine, drawn


@pytest.mark.parametrize("kind", ["text", "several texts", "click"])
def test_the_package_reads_nothing_and_sends_nothing(
    encoded: tuple[Engine, Scene], kind: str
) -> None:
    engine, drawn = encoded
    prompt = {
        "text": ConceptPrompt((drawn.shapes[0].kind,)),
        "several texts": ConceptPrompt(("circle", "star", "square")),
        "click": ObjectPrompt((PromptedObject(points_xy=((30.0, 40.0),)),)),
    }[kind]
    with Waits() as waits:
        found = engine.segment(drawn.image, prompt)
    assert found.instances
    # What the geometry encoder makes there is pinned, and sent without waiting.
    sent_at_once = {f for f in waits.counts if f.endswith("geometry_encoders.py")}
    assert set(waits.counts) <= sent_at_once
