"""Makes training samples of single frames of clips, in which shapes hide others."""

from __future__ import annotations

import dataclasses

import numpy as np

from .clips import CLIP_FRAMES, Clip, Frame
from .random_clips import draw_clip
from .samples import Sample, squeeze
from .scenes import Scene, Shape

FRAME_SIDE_RANGE_PX = (320, 640)
"""Least short side and greatest long side of a clip, in pixels: small ones are drawn faster."""

FRAMES_PER_CLIP = 4
TRIED_PER_FRAME = 3
"""Random frames of which the one with most hidden shapes is taken."""

CLEAR_SHARE = 0.5
"""Share of a shape that must be visible for it to be an exemplar: what it is can be told."""


def draw_frame_samples(rng: np.random.Generator, side: int, mask_side: int) -> tuple[Sample, ...]:
    """Draws a clip and makes samples of some of its frames.

    A shape of which hardly anything is visible is neither wanted nor to be left out: its look
    is among the sample's ``unsure`` ones.

    Args:
        rng: Source of every random choice.
        side: S, side of the model's input in pixels.
        mask_side: M, side of the mask grid in cells.

    Returns:
        :data:`FRAMES_PER_CLIP` samples, each with at least one shape.
    """
    samples: list[Sample] = []
    while len(samples) < FRAMES_PER_CLIP:
        clip = draw_clip(rng, FRAME_SIDE_RANGE_PX)
        samples = []
        for _ in range(FRAMES_PER_CLIP):
            times = rng.choice(CLIP_FRAMES, TRIED_PER_FRAME, replace=False)
            frame = max((clip.frame_at(int(t)) for t in times), key=_measure_hidden)
            if any(frame.counts(i) for i in range(len(clip.shapes))):
                samples.append(make_frame_sample(clip, frame, side, mask_side))
    return tuple(samples)


def _measure_hidden(frame: Frame) -> float:
    """Adds up the hidden share of each shape that counts; -1 if no shape counts."""
    hidden = [1 - frame.visible_share[i] for i in range(len(frame.visible)) if frame.counts(i)]
    return float(sum(hidden)) if hidden else -1.0


def make_frame_sample(clip: Clip, frame: Frame, side: int, mask_side: int) -> Sample:
    """Makes a sample of a frame on which at least one shape counts.

    Args:
        clip: A clip.
        frame: One of its frames.
        side: S, side of the model's input in pixels.
        mask_side: M, side of the mask grid in cells.

    Returns:
        The sample.
    """
    counted = [i for i in range(len(clip.shapes)) if frame.counts(i)]
    shapes = []
    for i in counted:
        ys, xs = np.nonzero(frame.mask(i))
        left, top, right, bottom = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
        crop = frame.mask(i)[top:bottom, left:right]
        xyxy = np.array([left, top, right, bottom], np.float64)
        shapes.append(Shape(*clip.shapes[i].look, clip.image_hw, crop, xyxy))
    unsure = {
        shape.look
        for i, shape in enumerate(clip.shapes)
        if frame.visible[i] is not None and i not in counted
    }
    return dataclasses.replace(
        squeeze(Scene(frame.image, tuple(shapes)), side, mask_side),
        is_clear=frame.visible_share[counted] >= CLEAR_SHARE,
        unsure=frozenset(unsure),
    )
