"""Chooses the colors of instances, classes and tracks, in one order for everything drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

RgbColor = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

BRIGHT: tuple[RgbColor, ...] = (
    (225, 40, 170),
    (170, 225, 30),
    (255, 130, 180),
    (255, 69, 58),
    (20, 110, 255),
    (0, 200, 235),
    (255, 130, 0),
    (0, 150, 136),
    (130, 70, 230),
    (255, 204, 0),
    (185, 155, 255),
    (40, 190, 70),
)
"""The first colors. Neighbors differ for the color-blind, too: by a Lab distance of at least 30."""

_SHADES = ((0, 0.0), (0, 0.4), (255, 0.5), (0, 0.65))
"""Black or white, and its share, mixed into each repetition of the bright colors."""

PALETTE: tuple[RgbColor, ...] = tuple(
    (
        round(red + (ink - red) * share),
        round(green + (ink - green) * share),
        round(blue + (ink - blue) * share),
    )
    for ink, share in _SHADES
    for red, green, blue in BRIGHT
)
"""The 48 colors of classes: the 12 bright ones, then three shades of each."""


def get_instance_color(index: int) -> RgbColor:
    """Returns the color of the k-th instance, or of the track with that id.

    Args:
        index: Place of the instance in its result, or id of its track.

    Returns:
        RGB, 0 to 255: one of the bright colors, which repeat.
    """
    return BRIGHT[index % len(BRIGHT)]


def get_class_colors(
    names: Iterable[str], given: Mapping[str, RgbColor] | None = None
) -> list[RgbColor]:
    """Returns the color of every class: the k-th class has the k-th color.

    Args:
        names: Names of the classes, in order.
        given: Colors that some of them have already, for instance from a detector.

    Returns:
        RGB for each name, 0 to 255; different ones for the first 48 classes.
    """
    given = given or {}
    return [given.get(name, PALETTE[k % len(PALETTE)]) for k, name in enumerate(names)]


def is_bright(color: RgbColor) -> bool:
    """Tells whether black text on a color has more contrast than white text.

    Args:
        color: RGB, 0 to 255.

    Returns:
        Whether its relative luminance (WCAG 2.2) is above 0.179, where both contrasts are equal.
    """
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in color)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179
