"""Clips: what is said to be visible is what is drawn, and nobody is asked the impossible."""

from __future__ import annotations

import numpy as np
import pytest

from infer_segment_anything_3.tools.tiny_shapes.clips import CLIP_FRAMES, Clip
from infer_segment_anything_3.tools.tiny_shapes.random_clips import draw_clip


def small_clip(seed: int, **arguments: float) -> Clip:
    return draw_clip(np.random.default_rng(seed), side_range_px=(320, 360), **arguments)


@pytest.mark.parametrize("seed", range(2))
def test_the_truth_is_what_is_drawn(seed: int) -> None:
    clip = small_clip(seed)
    for time in (0, 17, 40):
        frame = clip.frame_at(time)
        masks = [frame.mask(i) for i in range(len(clip.shapes))]
        assert np.sum(masks, axis=0).max() <= 1
        for shape, mask in zip(clip.shapes, masks, strict=True):
            # Away from edges, which are soft, a shape has its color.
            inner = mask.copy()
            for axis in (0, 1):
                for step in range(-8, 9):
                    inner &= np.roll(mask, step, axis)
            if inner.sum() > 50:
                seen = frame.image[inner].astype(float).mean(axis=0)
                assert np.abs(seen - shape.rgb).max() < 12


def test_a_frame_is_the_same_at_every_call_and_others_differ() -> None:
    clip = small_clip(1)
    first, again, later = clip.frame_at(3), clip.frame_at(3), clip.frame_at(20)
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, later.image)


def test_of_lookalikes_at_most_one_is_away_at_a_time() -> None:
    met = 0
    for seed in range(4):
        clip = small_clip(seed, like_share=1.0)
        assert 2 <= len(clip.shapes) <= 6
        looks = [shape.look for shape in clip.shapes]
        alike = [i for i, look in enumerate(looks) if looks.count(look) > 1]
        assert len(alike) >= 2
        for time in range(0, CLIP_FRAMES, 5):
            frame = clip.frame_at(time)
            assert sum(frame.visible_px(i) == 0 for i in alike) <= 1
            grown = [np.roll(frame.mask(i), (2, 2), (0, 1)) for i in alike]
            met += any(
                (a & frame.mask(j)).any()
                for i, a in zip(alike, grown, strict=True)
                for j in alike
                if i != j
            )
    assert met, "no two shapes of one look ever met"


def test_about_two_thirds_of_the_clips_have_lookalikes_and_shapes_leave_and_return() -> None:
    clips = [small_clip(seed) for seed in range(30)]
    assert 0.5 <= np.mean([clip.has_lookalikes() for clip in clips]) <= 0.8
    returned = 0
    for clip in clips[:5]:
        counts = np.array(
            [
                [frame.counts(i) for i in range(len(clip.shapes))]
                for frame in (clip.frame_at(time) for time in range(0, CLIP_FRAMES, 2))
            ]
        )
        returned += int((np.diff(counts.astype(int), axis=0) == 1).sum())
    assert returned


def test_the_share_in_sight_counts_what_is_outside() -> None:
    for seed in range(4):
        clip = small_clip(seed)
        for time in range(0, CLIP_FRAMES, 6):
            frame = clip.frame_at(time)
            for i, pixels in enumerate(frame.visible):
                assert (pixels is None) == (frame.visible_px(i) == 0)
                assert 0 <= frame.visible_share[i] <= 1
                assert frame.counts(i) <= (frame.visible_share[i] >= 0.15)
