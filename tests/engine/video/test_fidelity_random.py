"""Streamed and offline tracks are the same with random weights, also at full size."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from infer_segment_anything_3.engine import ConceptPrompt, Engine, VideoSession
from infer_segment_anything_3.engine.model.config import SAM3, TINY_SHAPES, Architecture
from infer_segment_anything_3.engine.video import outputs
from infer_segment_anything_3.tools.random_weights import build_random_model, choose_threshold
from infer_segment_anything_3.tools.sam3_video_package import PackageVideo, remember_encodings

from .clips import THREE_BALLS, draw_clip

FRAMES = draw_clip(THREE_BALLS, 4)
TEXT = "red circle"
WANTED_DETECTIONS = 3
LOGIT_TOLERANCE = 1e-3


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(TINY_SHAPES, id="tiny"),
        pytest.param(SAM3, id="full size", marks=pytest.mark.slow),
    ],
)
def test_with_random_weights(architecture: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(build_random_model(architecture), architecture.image_size, "float32")
    shown: list[torch.Tensor] = []
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
            for i, logits in zip(ids, shown, strict=True):
                assert torch.allclose(logits, video.logits[t][i], rtol=0, atol=LOGIT_TOLERANCE)
    assert 2 <= len(session.track_ids) <= 5
