"""Streamed and offline tracks are the same with random weights, also at full size."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from infer_segment_anything_3.engine import (
    AssociationSettings,
    ConceptPrompt,
    Engine,
    VideoSession,
)
from infer_segment_anything_3.engine.model.config import SAM3, TINY_SHAPES, Architecture
from infer_segment_anything_3.engine.model.sam3_imports import Sam3Image
from infer_segment_anything_3.engine.video import outputs
from infer_segment_anything_3.tools.random_weights import build_random_model, choose_threshold
from infer_segment_anything_3.tools.sam3_video_package import PackageVideo, remember_encodings

from .agreement import LOGIT_TOLERANCE, SCORE_TOLERANCE, assert_same_mask
from .clips import THREE_BALLS, draw_clip

FRAMES = draw_clip(THREE_BALLS, 4)
TINY = dataclasses.replace(TINY_SHAPES, association=AssociationSettings())
TEXT = "red circle"
WANTED_DETECTIONS = 3


@pytest.mark.parametrize(
    ("architecture", "offset"),
    [
        pytest.param(TINY, 0.2, id="tiny"),
        pytest.param(SAM3, 0.3, id="full size", marks=pytest.mark.slow),
    ],
)
def test_with_random_weights(
    architecture: Architecture, offset: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_random_model(architecture)
    lower_mask_logits(model, offset)
    engine = Engine(model, architecture.image_size, "float32")
    shown: list[torch.Tensor] = []
    births: dict[int | None, float] = {}
    upscale = outputs.upscale_logit_masks

    def record(logits: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        shown.extend(logits.clone())
        return upscale(logits, *args, **kwargs)

    with remember_encodings(engine):
        threshold = choose_threshold(engine, FRAMES[0], TEXT, WANTED_DETECTIONS)
        video = PackageVideo(engine, FRAMES, threshold, birth=threshold, max_objects=5)
        theirs = video.run(TEXT)
        monkeypatch.setattr(outputs, "upscale_logit_masks", record)
        prompt = ConceptPrompt(texts=(TEXT,), confidence_threshold=threshold)
        session = VideoSession(engine, prompt, max_objects=5)
        for t, frame in enumerate(FRAMES):
            shown.clear()
            ours = session.step(frame)
            ids = theirs[t]["out_obj_ids"].tolist()
            assert [i.track_id for i in ours.instances] == ids
            for instance, logits in zip(ours.instances, shown, strict=True):
                i = instance.track_id
                births.setdefault(i, instance.score)
                reference = video.logits[t][i]
                assert torch.allclose(logits, reference, rtol=0, atol=LOGIT_TOLERANCE)
                assert_same_mask(instance.mask.full(), theirs[t], i, reference)
            scores = [births[i] for i in ids]
            assert scores == pytest.approx(theirs[t]["out_probs"], abs=SCORE_TOLERANCE)
    assert 2 <= len(session.track_ids) <= 5


@torch.no_grad()
def lower_mask_logits(model: Sam3Image, offset: float) -> None:
    """Lowers the logits of all masks of the detector, which then cover fewer pixels.

    Of random masks, which cover most of the image, all but one overlap that one, and only one
    object starts. One channel of the pixels becomes 1, that of the queries minus the offset.
    """
    pixels = model.segmentation_head.instance_seg_head
    queries = model.segmentation_head.mask_predictor.mask_embed.layers[-1]
    for layer, value in ((pixels, 1.0), (queries, -offset)):
        layer.weight[0] = 0
        layer.bias[0] = value
