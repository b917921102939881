"""Chooses the colors of classes and tracks: a name or an id has the same in every run."""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Iterable, Mapping

RgbColor = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

_BASE: tuple[RgbColor, ...] = (
    (230, 25, 75),
    (60, 180, 75),
    (0, 130, 200),
    (245, 130, 48),
    (145, 30, 180),
    (70, 220, 230),
    (240, 50, 230),
    (250, 210, 40),
    (0, 128, 128),
    (170, 110, 40),
    (120, 200, 20),
    (90, 90, 255),
    (250, 130, 160),
    (128, 0, 40),
    (110, 130, 0),
    (190, 140, 255),
)
"""Distinct from each other, from black and from white."""


def get_class_colors(
    names: Iterable[str], given: Mapping[str, RgbColor] | None = None
) -> list[RgbColor]:
    """Assigns every class a color that depends on its name only.

    Only where two names of one run would share a color does the later one take the next
    free one.

    Args:
        names: Names of the classes, in order.
        given: Colors that some of them have already, for instance from a detector.

    Returns:
        RGB for each name, 0 to 255.
    """
    given = given or {}
    taken = set(given.values())
    colors = []
    for name in names:
        color = given.get(name) or _find_free_color(zlib.crc32(name.encode()), taken)
        taken.add(color)
        colors.append(color)
    return colors


def get_track_color(track_id: int) -> RgbColor:
    """Assigns a track a color that depends on its id only.

    Args:
        track_id: Its id.

    Returns:
        RGB, 0 to 255.
    """
    return _BASE[track_id % len(_BASE)]


def _find_free_color(seed: int, taken: set[RgbColor]) -> RgbColor:
    for offset in range(len(_BASE)):
        color = _BASE[(seed + offset) % len(_BASE)]
        if color not in taken:
            return color
    # All are taken: go around the color wheel by the golden ratio, which repeats no hue.
    step = 0
    while True:
        hue = (seed / 2**32 + step * 0.618034) % 1
        red, green, blue = colorsys.hsv_to_rgb(
            hue, 0.55 + 0.4 * (step % 2), 0.95 - 0.3 * (step % 3)
        )
        color = (round(red * 255), round(green * 255), round(blue * 255))
        if color not in taken:
            return color
        step += 1
