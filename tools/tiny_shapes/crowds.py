"""Draws crowds: scenes with several shapes of the same color and kind."""

from __future__ import annotations

import numpy as np

from .painting import draw_random_hw, make_outline_px, rasterize
from .scenes import COLORS, EXTENT_RANGE, KINDS, MAX_ROTATION_DEG, Canvas, Scene

SIDE_RANGE_PX = (200, 2000)
CROWD_EXTENT_RANGE = (EXTENT_RANGE[0], 0.30)
"""Longer side of a shape's box, as a fraction of the image's short side: of the sizes that
any scene has those of which eight fit."""

GRID_SHARE = 0.35
"""Share of crowds that stand in rows and columns."""

MAX_STRANGERS = 3
"""Shapes of another look in a crowd."""


def draw_crowd(
    rng: np.random.Generator,
    count_range: tuple[int, int] = (3, 8),
    side_range_px: tuple[int, int] = SIDE_RANGE_PX,
    extent_range: tuple[float, float] = CROWD_EXTENT_RANGE,
) -> Scene:
    """Draws a scene in which several shapes look the same.

    Args:
        rng: Source of every random choice.
        count_range: Least and greatest number of shapes that look the same, at least 1.
        side_range_px: Least short side and greatest long side of the image, in pixels.
        extent_range: Longer side of a shape's box, as a fraction of the short side.

    Returns:
        The scene. Its first shape is one of those that look the same; the others are of
        another color or kind, or both.
    """
    while True:
        count = int(rng.integers(count_range[0], count_range[1] + 1))
        canvas = Canvas(rng, draw_random_hw(rng, side_range_px, max_aspect=2.0))
        color, kind = str(rng.choice(list(COLORS))), str(rng.choice(KINDS))
        if rng.random() < GRID_SHARE:
            drawn = _draw_grid(rng, canvas, color, kind, count, extent_range)
        else:
            drawn = _scatter(canvas, color, kind, count, extent_range)
        for _ in range(int(rng.integers(MAX_STRANGERS + 1))):
            other = str(rng.choice(list(COLORS))), str(rng.choice(KINDS))
            pixels = canvas.find_free_place(other[1], extent_range)
            if other != (color, kind) and pixels is not None:
                canvas.add(*other, pixels)
        if drawn >= count_range[0]:
            return canvas.scene()


def _scatter(
    canvas: Canvas, color: str, kind: str, count: int, extent_range: tuple[float, float]
) -> int:
    """Draws shapes at random places; returns how many had room."""
    # Many large ones do not fit.
    least, largest = extent_range
    largest = max(least, min(largest, 0.8 / np.sqrt(count)))
    drawn = 0
    for _ in range(count):
        pixels = canvas.find_free_place(kind, (least, largest))
        if pixels is not None:
            canvas.add(color, kind, pixels)
            drawn += 1
    return drawn


def _draw_grid(
    rng: np.random.Generator,
    canvas: Canvas,
    color: str,
    kind: str,
    count: int,
    extent_range: tuple[float, float],
) -> int:
    """Draws shapes of one size in rows and columns; returns how many, 0 where none would fit."""
    height, width = canvas.image_hw
    rows = _count_grid_rows(rng, count, height / width)
    columns = -(-count // rows)
    pitch = np.array([width / columns, height / rows])
    least, largest = np.array(extent_range) * min(height, width)
    if least > 0.85 * pitch.min():
        return 0
    extent_px = min(largest, rng.uniform(max(least, 0.45 * pitch.min()), 0.85 * pitch.min()))
    angle_rad = np.deg2rad(rng.uniform(-MAX_ROTATION_DEG, MAX_ROTATION_DEG))
    shake = rng.choice([0.0, 0.08]) * extent_px
    drawn = 0
    for index in range(count):
        row, column = divmod(index, columns)
        center = (np.array([column, row]) + 0.5) * pitch + rng.uniform(-shake, shake, 2)
        pixels = rasterize(make_outline_px(kind, extent_px, angle_rad) + center, canvas.image_hw)
        if pixels is not None and canvas.is_free(pixels):
            canvas.add(color, kind, pixels)
            drawn += 1
    return drawn


def _count_grid_rows(rng: np.random.Generator, count: int, aspect: float) -> int:
    """Counts the rows of a grid: about as many as columns, in the image's aspect."""
    even = np.sqrt(count * aspect) * rng.uniform(0.7, 1.4)
    return int(np.clip(round(even), 1, count))
