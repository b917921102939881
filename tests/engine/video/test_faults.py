"""What may go wrong with a frame: no memory on the GPU, damaged weights, too many objects."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from infer_segment_anything_3.engine import (
    ConceptPrompt,
    Engine,
    ObjectPrompt,
    PromptedObject,
    Result,
    VideoSession,
)
from infer_segment_anything_3.engine.checkpoints.errors import NonFiniteOutputError
from infer_segment_anything_3.engine.runtime.memory import BatchLimits, GpuMemoryError

from .clips import BLUE, Ball, draw_clip

BALLS = [Ball((60, 70), (4, 2), 30), Ball((260, 150), (-4, -1), 26, BLUE)]
FRAMES = draw_clip(BALLS, 3)
CIRCLES = ConceptPrompt(texts=("red circle", "blue circle"))
CLICKS = ObjectPrompt(
    (PromptedObject(points_xy=((60, 70),)), PromptedObject(box_xyxy=(234, 124, 286, 176)))
)
LOGGER = "infer_segment_anything_3"


def summarize(result: Result) -> list[tuple[Any, ...]]:
    return [
        (i.track_id, i.class_index, round(i.score, 4), i.box_xyxy, i.mask.area)
        for i in result.instances
    ]


def tracker_of(model: Any) -> Any:
    return model.inst_interactive_predictor.model


PARTS: dict[str, Callable[[Any], nn.Module]] = {
    "image encoder": lambda model: model.backbone.vision_backbone.trunk,
    "detector": lambda model: model.transformer.decoder,
    "mask head": lambda model: model.segmentation_head,
    "memory attention": lambda model: tracker_of(model).transformer.encoder,
    "mask decoder": lambda model: tracker_of(model).sam_mask_decoder,
    "memory encoder": lambda model: tracker_of(model).maskmem_backbone,
}


@contextlib.contextmanager
def out_of_memory(part: nn.Module, times: float) -> Iterator[None]:
    """Lets the first calls of a part fail as on a GPU without memory. The error is injected."""
    failures = 0

    def fail(*_: Any) -> None:
        nonlocal failures
        if failures < times:
            failures += 1
            raise torch.OutOfMemoryError("CUDA out of memory. (injected)")

    hook = part.register_forward_pre_hook(fail)
    try:
        yield
    finally:
        hook.remove()
    assert failures, "the part was called"


@pytest.fixture
def engine(sure_engine: Engine) -> Engine:
    """An engine of its own, with the batches of a GPU."""
    engine = Engine(sure_engine.model, sure_engine.image_size, "float32")
    engine.limits = BatchLimits(concepts=8)
    return engine


@pytest.fixture(scope="module")
def expected(sure_engine: Engine) -> list[list[tuple[Any, ...]]]:
    """The results of an undisturbed session."""
    session = VideoSession(sure_engine, CIRCLES)
    return [summarize(session.step(frame)) for frame in FRAMES]


@pytest.mark.parametrize("name", PARTS)
def test_a_gpu_without_memory_is_tried_again_in_smaller_batches(
    engine: Engine, expected: list[Any], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    part = PARTS[name](engine.model)
    session = VideoSession(engine, CIRCLES)
    assert summarize(session.step(FRAMES[0])) == expected[0]
    caplog.set_level(logging.WARNING, LOGGER)
    with out_of_memory(part, times=1):
        assert summarize(session.step(FRAMES[1])) == expected[1]
    assert [r.getMessage() for r in caplog.records] == [
        "the GPU is out of memory: trying again in smaller batches"
    ]
    with out_of_memory(part, times=np.inf), pytest.raises(GpuMemoryError, match=r"^cuda: "):
        session.step(FRAMES[2])
    assert session.frame_index == 1
    assert summarize(session.step(FRAMES[2])) == expected[2]


def test_the_same_where_objects_are_added_and_corrected(engine: Engine) -> None:
    session, undisturbed = (VideoSession(engine, CIRCLES) for _ in range(2))
    correction = PromptedObject(points_xy=((60, 70),))
    for each in (session, undisturbed):
        each.step(FRAMES[0])
    expected = [
        summarize(undisturbed.add_objects(CLICKS)),
        summarize(undisturbed.correct(0, correction)),
        summarize(undisturbed.step(FRAMES[1])),
    ]
    decoder = PARTS["mask decoder"](engine.model)
    with out_of_memory(decoder, times=np.inf), pytest.raises(GpuMemoryError):
        session.add_objects(CLICKS)
    assert session.track_ids == (0, 1)
    with out_of_memory(decoder, times=1):
        assert summarize(session.add_objects(CLICKS)) == expected[0]
    with out_of_memory(decoder, times=np.inf), pytest.raises(GpuMemoryError):
        session.correct(0, correction)
    with out_of_memory(decoder, times=1):
        assert summarize(session.correct(0, correction)) == expected[1]
    assert summarize(session.step(FRAMES[1])) == expected[2]


@pytest.mark.parametrize("name", ["detector", "mask head", "mask decoder"])
def test_damaged_weights_are_told_and_change_nothing(
    engine: Engine, expected: list[Any], name: str
) -> None:
    def spoil(module: nn.Module, inputs: Any, output: Any) -> Any:
        tensors = output.values() if isinstance(output, dict) else output
        for tensor in tensors:
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                tensor.fill_(torch.nan)
        return output

    session = VideoSession(engine, CIRCLES)
    session.step(FRAMES[0])
    hook = PARTS[name](engine.model).register_forward_hook(spoil)
    try:
        with pytest.raises(NonFiniteOutputError, match=r"the weights: the model's .* not finite"):
            session.step(FRAMES[1])
    finally:
        hook.remove()
    assert session.frame_index == 0
    assert summarize(session.step(FRAMES[1])) == expected[1]


@pytest.mark.parametrize(("threshold", "truncated"), [(0.0, ("circle",)), (0.5, ())])
def test_a_concept_that_fills_the_model_is_told(
    engine: Engine, threshold: float, truncated: tuple[str, ...]
) -> None:
    prompt = ConceptPrompt(texts=("circle",), confidence_threshold=threshold)
    assert VideoSession(engine, prompt, max_objects=2).step(FRAMES[0]).truncated == truncated
