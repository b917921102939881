"""Frames of clips as training samples: what counts is wanted, what is hardly seen is left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from infer_segment_anything_3.engine.model.config import TINY_SHAPES
from infer_segment_anything_3.tools.tiny_shapes import frame_samples, training_model
from infer_segment_anything_3.tools.tiny_shapes.clips import Clip, Frame
from infer_segment_anything_3.tools.tiny_shapes.frozen_encoder import (
    DetectorEncoder,
    TrackerEncoder,
)
from infer_segment_anything_3.tools.tiny_shapes.prompt_losses import get_tracker_maps
from infer_segment_anything_3.tools.tiny_shapes.random_clips import draw_clip
from infer_segment_anything_3.tools.tiny_shapes.sample_pool import SamplePool
from infer_segment_anything_3.tools.tiny_shapes.samples import make_images_tensor

SIDE, MASK_SIDE = 140, 40


def find_frame_with_a_hardly_visible_shape() -> tuple[Clip, Frame, int]:
    """Finds a frame on which one shape is visible and does not count, and others count."""
    rng = np.random.default_rng(2)
    while True:
        clip = draw_clip(rng, (320, 360))
        for time in range(0, 48, 3):
            frame = clip.frame_at(time)
            shapes = range(len(clip.shapes))
            faint = [i for i in shapes if frame.visible[i] is not None and not frame.counts(i)]
            if faint and any(frame.counts(i) for i in shapes):
                return clip, frame, faint[0]


def test_a_sample_wants_the_shapes_that_count_and_is_unsure_of_those_that_hardly_show() -> None:
    clip, frame, faint = find_frame_with_a_hardly_visible_shape()
    sample = frame_samples.make_frame_sample(clip, frame, SIDE, MASK_SIDE)
    counted = [i for i in range(len(clip.shapes)) if frame.counts(i)]
    assert sample.looks == tuple(clip.shapes[i].look for i in counted)
    assert clip.shapes[faint].look in sample.unsure
    height, width = clip.image_hw
    for row, index in enumerate(counted):
        share = frame.visible_px(index) / (height * width)
        assert sample.coverage[row].mean() == pytest.approx(share, rel=0.02)
        ys, xs = np.nonzero(frame.mask(index))
        cx, cy, w, h = sample.cxcywh[row]
        assert (cx - w / 2) * width == pytest.approx(xs.min(), abs=0.01)
        assert (cy + h / 2) * height == pytest.approx(ys.max() + 1, abs=0.01)
        assert sample.is_clear[row] == (frame.visible_share[index] >= 0.5)


def test_frames_of_clips_show_more_of_what_others_hide_than_random_ones() -> None:
    rng = np.random.default_rng(4)
    chosen = [s for _ in range(6) for s in frame_samples.draw_frame_samples(rng, 56, 16)]
    assert all(len(sample.looks) for sample in chosen)
    hidden = sum(not sample.is_clear.all() for sample in chosen)
    rng = np.random.default_rng(4)
    among_random = 0
    for _ in range(6):
        clip = draw_clip(rng, (320, 360))
        for time in range(0, 48, 12):
            frame = clip.frame_at(time)
            seen = [frame.visible_share[i] for i in range(len(clip.shapes)) if frame.counts(i)]
            among_random += bool(seen) and min(seen) < frame_samples.CLEAR_SHARE
    assert hidden > among_random


def test_a_pool_gives_the_asked_share_of_frames_in_pairs_of_one_clip() -> None:
    pool = SamplePool(3, 56, 16, capacity=80, fresh=0.2, like_share=0.5, frame_share=1.0)
    for _ in range(5):
        batch = pool.batch(4)
        for first, second in zip(batch[::2], batch[1::2], strict=True):
            assert set(first.looks) & set(second.looks) or first.unsure or second.unsure
    assert len(pool.batch(5)) == 5


def test_kept_features_are_those_of_the_samples_themselves() -> None:
    model = training_model.build_training_model(TINY_SHAPES, torch.device("cpu"))
    training_model.initialize_weights(model)
    encoder = DetectorEncoder(model)
    pool = SamplePool(3, 280, 80, 20, fresh=0.5, frame_share=0.5, encoder=encoder)
    samples = pool.batch(4)
    joined = encoder.join(samples)
    with torch.no_grad():
        expected = model.backbone.forward_image(make_images_tensor(samples))
    for name in ("backbone_fpn", "vision_pos_enc"):
        for found, wanted in zip(joined[name], expected[name], strict=True):
            torch.testing.assert_close(found, wanted, atol=5e-3, rtol=2e-3)
    torch.testing.assert_close(
        joined["vision_features"], expected["vision_features"], atol=5e-3, rtol=2e-3
    )


def test_kept_maps_of_the_tracker_are_those_of_the_samples_themselves() -> None:
    model = training_model.build_training_model(TINY_SHAPES, torch.device("cpu"))
    training_model.initialize_weights(model)
    encoder = TrackerEncoder(model)
    samples = SamplePool(3, 280, 80, 20, fresh=0.5, encoder=encoder).batch(3)
    joined = encoder.join(samples)
    with torch.no_grad():
        features = model.backbone.forward_image(make_images_tensor(samples))
        expected = get_tracker_maps(model, features)
    for found, wanted in zip(joined, expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=5e-3, rtol=2e-3)
    assert [found.requires_grad for found in joined] == [False, False, True]
