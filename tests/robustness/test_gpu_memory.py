"""A GPU out of memory: smaller batches once, then a clear error. The error is injected."""

from __future__ import annotations

import logging
import weakref
from typing import Any

import numpy as np
import pytest
import torch

from infer_segment_anything_3.engine import (
    ConceptPrompt,
    Engine,
    EverythingPrompt,
    ObjectPrompt,
    PromptedObject,
    registry,
)
from infer_segment_anything_3.engine.inference import concepts
from infer_segment_anything_3.engine.inference.interactive import ObjectDecoder
from infer_segment_anything_3.engine.runtime.memory import BatchLimits, GpuMemoryError, retry_on_oom

CONCEPTS = ConceptPrompt(("circle", "star", "square", "triangle"), confidence_threshold=0.05)


class Room:
    """Lets calls through whose count of things is small enough, and notes all of them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.counts: list[int] = []

    def check(self, count: int) -> None:
        self.counts.append(count)
        if count > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. (injected)")


@pytest.fixture
def engine(tiny_engine: Engine) -> Engine:
    """An engine of its own, with the batches of a GPU."""
    engine = Engine(tiny_engine.model, tiny_engine.image_size, "float32")
    engine.limits = BatchLimits(concepts=8)
    return engine


def clicks(shown: Any, count: int) -> ObjectPrompt:
    height, width = shown.image.shape[:2]
    xy = np.random.default_rng(0).uniform((0, 0), (width, height), (count, 2)).tolist()
    return ObjectPrompt(tuple(PromptedObject(points_xy=((x, y),)) for x, y in xy))


def limited(monkeypatch: pytest.MonkeyPatch, route: str, most: int) -> Room:
    room = Room(most)
    decode_concepts, decode = concepts.decode_concepts, ObjectDecoder.decode

    def limited_concepts(model: Any, states: Any, *tokens: Any) -> Any:
        room.check(len(states))
        return decode_concepts(model, states, *tokens)

    def limited_decode(self: Any, state: Any, objects: Any, *args: Any, **kwargs: Any) -> Any:
        room.check(len(objects))
        return decode(self, state, objects, *args, **kwargs)

    if route == "concepts":
        monkeypatch.setattr(concepts, "decode_concepts", limited_concepts)
    else:
        monkeypatch.setattr(ObjectDecoder, "decode", limited_decode)
    return room


def prompt_of(route: str, shown: Any) -> Any:
    if route == "concepts":
        return CONCEPTS
    return clicks(shown, 20) if route == "objects" else EverythingPrompt(5)


@pytest.mark.parametrize(
    ("route", "most", "counts"),
    [
        ("concepts", 3, [4, 1, 1, 1, 1]),
        ("objects", 8, [20, 8, 8, 4]),
        ("everything", 8, [25, 8, 8, 8, 1]),
    ],
)
def test_smaller_portions_give_the_same(engine, shown, monkeypatch, caplog, route, most, counts):
    prompt = prompt_of(route, shown)
    expected = engine.segment(shown.image, prompt)
    engine.image_cache.clear()
    room = limited(monkeypatch, route, most)
    caplog.set_level(logging.WARNING, "infer_segment_anything_3")
    found = engine.segment(shown.image, prompt)
    assert room.counts == counts
    assert [r.getMessage() for r in caplog.records] == [
        "the GPU is out of memory: trying again in smaller batches"
    ]
    assert len(found.instances) == len(expected.instances)
    for one, other in zip(found.instances, expected.instances, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert np.mean(one.mask.full() != other.mask.full()) < 1e-3


ALLOCATION_FAILURES = [
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
]


@pytest.mark.parametrize("text", ALLOCATION_FAILURES)
def test_libraries_out_of_memory_are_retried_too(text):
    tried = []

    def attempt(limits: BatchLimits) -> int:
        tried.append(limits.objects)
        if limits.objects > 8:
            raise RuntimeError(text)
        return limits.objects

    assert retry_on_oom(attempt, BatchLimits(), lambda: None) == 8
    assert tried == [64, 8]


def test_another_error_is_not_retried():
    tried = []

    def attempt(limits: BatchLimits) -> None:
        tried.append(limits)
        raise RuntimeError("CUDA error: device-side assert triggered")

    with pytest.raises(RuntimeError, match="device-side"):
        retry_on_oom(attempt, BatchLimits(), lambda: None)
    assert len(tried) == 1


@pytest.mark.parametrize("route", ["concepts", "objects", "everything"])
def test_no_room_at_all_is_a_clear_error(engine, shown, monkeypatch, route):
    prompt = prompt_of(route, shown)
    expected = engine.segment(shown.image, prompt)
    engine.image_cache.clear()
    with monkeypatch.context() as patched:
        limited(patched, route, 0)
        with pytest.raises(GpuMemoryError) as caught:
            engine.segment(shown.image, prompt)
    message = str(caught.value)
    assert "\n" not in message
    for name in ("fewer concepts", "input_size_percent", "precision", "cuda"):
        assert name in message
    assert len(engine.image_cache) == 0, "what could be dropped was dropped"
    again = engine.segment(shown.image, prompt)
    assert [i.score for i in again.instances] == [i.score for i in expected.instances]


def test_nothing_of_the_failed_attempt_is_alive_in_the_second():
    tensors: list[Any] = []
    alive: list[bool] = []

    def attempt(portions: BatchLimits) -> str:
        alive.extend(ref() is not None for ref in tensors)
        large = torch.zeros(1000)
        tensors.append(weakref.ref(large))
        if portions.objects > 8:
            raise torch.OutOfMemoryError("CUDA out of memory. (injected)")
        return "done"

    assert retry_on_oom(attempt, BatchLimits(), lambda: None) == "done"
    assert alive == [False]


@pytest.mark.parametrize("failures", [1, 2])
def test_a_model_that_does_not_fit(monkeypatch, tmp_path, failures):
    from infer_segment_anything_3.engine.checkpoints.zoo import MODELS

    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(MODELS["tiny_shapes"].bundled_path.read_bytes())
    load_model, tried = registry.load_model, []

    def failing(*args: Any) -> Any:
        tried.append(args)
        if len(tried) <= failures:
            raise torch.OutOfMemoryError("CUDA out of memory. (injected)")
        return load_model(*args)

    monkeypatch.setattr(registry, "load_model", failing)
    if failures == 2:
        with pytest.raises(GpuMemoryError, match=r"^cuda: the GPU has too little"):
            Engine.load("tiny_shapes", weights, device="cpu", precision="float32")
    engine = Engine.load("tiny_shapes", weights, device="cpu", precision="float32")
    assert engine.segment(np.zeros((20, 30, 3), np.uint8), CONCEPTS).image_hw == (20, 30)
