"""What may go wrong with a video: no room on the GPU, more objects than there is room for."""

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
from infer_segment_anything_3.engine.video.detections import ConceptDetector

from .clips import BLUE, Ball, draw_clip, draw_frame

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


SIDE = 8
"""Cells along a side of the grid on which a crowd stands."""


class CrowdDetector:
    """Finds squares that it is told of, in place of the model: it finds 25 of a concept at most."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cells: list[int] = []
        self._grid = 4 * tracker_of(engine.model).sam_image_embedding_size
        monkeypatch.setattr(ConceptDetector, "detect", lambda *_: ([self._detect()], [None], ()))

    def _detect(self) -> dict[str, torch.Tensor]:
        masks = torch.full((len(self.cells), self._grid, self._grid), -10.0)
        cell = self._grid // SIDE
        for mask, place in zip(masks, self.cells, strict=True):
            top, left = (cell * k + 1 for k in divmod(place, SIDE))
            mask[top : top + cell - 2, left : left + cell - 2] = 10
        # The later ones are found with less certainty.
        scores = torch.linspace(0.99, 0.8, len(self.cells))
        return {"scores": scores, "bbox": torch.zeros(len(self.cells), 4), "mask": masks}


@pytest.mark.parametrize(("room", "refused"), [(64, 0), (40, 20)])
def test_sixty_objects_enter(
    sure_engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    room: int,
    refused: int,
) -> None:
    detector = CrowdDetector(sure_engine, monkeypatch)
    session = VideoSession(sure_engine, ConceptPrompt(texts=("square",)), max_objects=room)
    empty, full = draw_frame([], 0, (320, 320)), draw_frame(BALLS, 0, (320, 320))
    assert session.step(empty).instances == ()
    detector.cells = list(range(60))
    found = session.step(full).instances
    entered = 60 - refused
    assert [i.track_id for i in found] == list(range(entered))
    for place, instance in enumerate(found):
        row, column = divmod(place, SIDE)
        assert instance.mask.full()[40 * row + 20, 40 * column + 20]
    assert sum(i.mask.area for i in found) == pytest.approx(entered * 32 * 32, rel=0.2)
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warnings == [
        f"max_objects: {refused} more objects were found and are not followed, because {room} "
        "are followed already; this is said once a video"
    ] * bool(refused)
    assert session.step(full).frame_index == 2
    assert set(range(entered)) <= set(session.track_ids)
    assert len(session.track_ids) <= room
