"""Draws random clips of moving shapes.

Two to six shapes move, turn, change their size, cross each other, hide behind each other,
leave and come back; in most clips two or three of them look the same. The camera may shake
and blur what moves.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from .clips import (
    CLIP_FRAMES,
    MAX_SHAKE,
    Clip,
    Motion,
    MovingShape,
    compute_margin_px,
    compute_polygon_area,
)
from .painting import (
    NOISE_RANGE,
    NOISY_SHARE,
    Pixels,
    draw_background,
    draw_random_hw,
    jitter_color,
    rasterize,
    remove_covered,
)
from .scenes import COLORS, KINDS, MAX_ROTATION_DEG

SIDE_RANGE_PX = (320, 1280)
COUNT_RANGE = (2, 6)
LIKE_SHARE = 0.65
"""Share of clips in which two or three shapes look the same."""

EXTENT_RANGE = (0.13, 0.28)
"""Longer side of a shape's box, as a fraction of the image's short side."""

OCCLUDER_EXTENT_RANGE = (0.36, 0.46)
"""Longer side of the box of a shape behind which others pass, in the same unit."""

OCCLUDER_SHARE = 0.4
SPEED_RANGE = (0.004, 0.035)
"""Distance in a frame, as a fraction of the short side."""

ABSENCE_RANGE = (5, 20)
"""Frames for which a shape that leaves is outside."""

LEAVER_SHARE = 0.4
STILL_SHARE = 0.15
BLURRED_SHARE = 0.5
SHAKEN_SHARE = 0.5


def draw_clip(
    rng: np.random.Generator,
    side_range_px: tuple[int, int] = SIDE_RANGE_PX,
    like_share: float = LIKE_SHARE,
) -> Clip:
    """Draws a random clip.

    Of shapes that look the same at most one at a time is hidden or outside, within the
    first :data:`CLIP_FRAMES` frames: it could not be told which of two comes back.

    Args:
        rng: Source of every random choice.
        side_range_px: Least short side and greatest long side, in pixels.
        like_share: Share of clips in which several shapes look the same.

    Returns:
        The clip.
    """
    while True:
        image_hw = draw_random_hw(rng, side_range_px, max_aspect=2.0)
        short_px = min(image_hw)
        aspect_xy = np.array(image_hw[::-1]) / short_px
        looks = _draw_looks(rng, like_share)
        motions = _draw_motions(rng, looks, aspect_xy)
        shapes = tuple(
            MovingShape(color, kind, jitter_color(rng, COLORS[color]), motion)
            for (color, kind), motion in zip(looks, motions, strict=True)
        )
        if not _is_fair(shapes, aspect_xy):
            continue
        margin = compute_margin_px(image_hw)
        height, width = image_hw
        shake = np.zeros((2, 2, 2))
        if rng.random() < SHAKEN_SHARE:
            shake[:, 0] = rng.uniform(0, MAX_SHAKE / 2, (2, 2)) * short_px
            shake[:, 1] = rng.uniform(0.2, 2.5, (2, 2))
        return Clip(
            image_hw=image_hw,
            shapes=shapes,
            seed=int(rng.integers(2**31)),
            background=draw_background(rng, height + 2 * margin, width + 2 * margin),
            shake=shake,
            blurred=bool(rng.random() < BLURRED_SHARE),
            noise=float(rng.uniform(*NOISE_RANGE)) if rng.random() < NOISY_SHARE else 0.0,
        )


def _draw_looks(rng: np.random.Generator, like_share: float) -> list[tuple[str, str]]:
    """Draws the color and kind of each shape, in random order."""

    def look() -> tuple[str, str]:
        return str(rng.choice(list(COLORS))), str(rng.choice(KINDS))

    count = int(rng.integers(COUNT_RANGE[0], COUNT_RANGE[1] + 1))
    looks: list[tuple[str, str]] = []
    if rng.random() < like_share:
        looks = [look()] * (3 if count > 2 and rng.random() < 0.25 else 2)
    while len(looks) < count:
        other = look()
        if other not in looks:
            looks.append(other)
    return [looks[i] for i in rng.permutation(count)]


def _draw_motions(
    rng: np.random.Generator, looks: list[tuple[str, str]], aspect_xy: npt.NDArray[np.float64]
) -> list[Motion]:
    """Draws a motion for each shape: look-alikes meet, the last may occlude another."""
    motions = [_draw_motion(rng, aspect_xy) for _ in looks]
    alike = [i for i, look in enumerate(looks) if looks.count(look) > 1]
    if len(alike) > 1 and rng.random() < 0.75:
        first, second = rng.choice(alike, 2, replace=False).tolist()
        _make_meet(rng, motions, first, second, aspect_xy)
    elif rng.random() < 0.5:
        first, second = rng.choice(len(looks), 2, replace=False).tolist()
        _make_meet(rng, motions, first, second, aspect_xy)
    last = len(looks) - 1
    if last > 1 and looks.count(looks[last]) == 1 and rng.random() < OCCLUDER_SHARE:
        extent = rng.uniform(*OCCLUDER_EXTENT_RANGE)
        motions[last] = dataclasses.replace(
            _draw_motion(rng, aspect_xy, extent), velocity_xy=rng.normal(0, 0.001, 2), growth=0.0
        )
        _make_meet(rng, motions, int(rng.integers(last)), last, aspect_xy)
    return motions


def _draw_motion(
    rng: np.random.Generator, aspect_xy: npt.NDArray[np.float64], extent: float | None = None
) -> Motion:
    extent = rng.uniform(*EXTENT_RANGE) if extent is None else extent
    speed = 0.0 if rng.random() < STILL_SHARE else np.exp(rng.uniform(*np.log(SPEED_RANGE)))
    heading_rad = rng.uniform(0, 2 * np.pi)
    velocity = speed * np.array([np.cos(heading_rad), np.sin(heading_rad)])
    bounds = np.stack([np.full(2, extent * 0.55), aspect_xy - extent * 0.55])
    start = rng.uniform(*bounds)
    if rng.random() < LEAVER_SHARE and speed > 0.012:
        # Beyond the border it turns back after half of its absence.
        axis = int(np.abs(velocity).argmax())
        away = np.abs(velocity[axis]) * rng.uniform(*ABSENCE_RANGE) / 2 + extent / 2
        bounds[:, axis] = -away, aspect_xy[axis] + away
    return Motion(
        start_xy=start,
        velocity_xy=velocity,
        bounds_xy=bounds,
        extent=float(extent),
        growth=float(rng.uniform(0, 0.25)),
        sway_deg=float(rng.uniform(-MAX_ROTATION_DEG, MAX_ROTATION_DEG)),
        period=float(rng.uniform(16, 60)),
        phase_rad=float(rng.uniform(0, 2 * np.pi)),
    )


def _make_meet(
    rng: np.random.Generator,
    motions: list[Motion],
    first: int,
    second: int,
    aspect_xy: npt.NDArray[np.float64],
) -> None:
    """Changes two motions so that they pass about the same place at about the same time."""
    time = rng.uniform(6, CLIP_FRAMES - 8)
    place = rng.uniform(0.3, 0.7, 2) * aspect_xy
    for index in (first, second):
        motion = motions[index]
        # A start far outside of the bounds is folded back like any other way.
        miss = rng.normal(0, 0.25 * motion.extent, 2)
        start = place + miss - motion.velocity_xy * time
        motions[index] = dataclasses.replace(motion, start_xy=start)


def _is_fair(shapes: tuple[MovingShape, ...], aspect_xy: npt.NDArray[np.float64]) -> bool:
    """Tells whether all shapes are seen, and at most one of look-alikes is hidden at a time."""
    small_hw = tuple(int(v) for v in np.round(aspect_xy[::-1] * 64))
    absent = np.zeros((CLIP_FRAMES, len(shapes)), bool)
    for time in range(CLIP_FRAMES):
        seen: list[Pixels | None] = []
        for shape in shapes:
            outline = shape.motion.make_outline(shape.kind, time, 64)
            pixels = rasterize(outline, (small_hw[0], small_hw[1]))
            for below in seen:
                if below is not None and pixels is not None:
                    remove_covered(below, pixels)
            seen.append(pixels)
        absent[time] = [
            p is None
            or np.count_nonzero(p.inside)
            < 0.1 * compute_polygon_area(s.motion.make_outline(s.kind, time, 64))
            for p, s in zip(seen, shapes, strict=True)
        ]
    for look in {shape.look for shape in shapes}:
        alike = [i for i, shape in enumerate(shapes) if shape.look == look]
        if (absent[:, alike].sum(axis=1) > 1).any():
            return False
    return bool((absent.mean(axis=0) < 0.5).all() and not absent[0].all())
