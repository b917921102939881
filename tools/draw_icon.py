"""Draws ``icons/icon.png``: a box and a point prompt the mask of an object.

    python tools/draw_icon.py [FILE]

It is drawn large and shrunk, so that edges are smooth at every size Studio shows it in.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from PIL import Image, ImageDraw

SIDE_PX = 256
_SCALE = 8
_CANVAS = SIDE_PX * _SCALE

GROUND_TOP, GROUND_BOTTOM = (37, 47, 84), (21, 27, 52)
MASK_COLOR = (64, 200, 170)
BOX_COLOR = (240, 244, 255)
POINT_COLOR = (255, 196, 61)


def _px(share: float) -> float:
    return share * _CANVAS


def _blob(center: tuple[float, float], radius: float, wobble: float) -> list[tuple[float, float]]:
    """A closed curve around a center: a shape that is no circle, as an object's is."""
    points = []
    for step in range(720):
        angle = math.tau * step / 720
        reach = radius * (1 + wobble * math.cos(3 * angle + 0.6) + wobble / 3 * math.sin(5 * angle))
        x = center[0] + reach * math.cos(angle)
        points.append((_px(x), _px(center[1] + reach * math.sin(angle))))
    return points


def _ground() -> Image.Image:
    """A rounded tile, lighter at the top."""
    ramp = Image.linear_gradient("L").resize((_CANVAS, _CANVAS))
    tile = Image.composite(
        Image.new("RGB", ramp.size, GROUND_BOTTOM), Image.new("RGB", ramp.size, GROUND_TOP), ramp
    ).convert("RGBA")
    corners = Image.new("L", tile.size, 0)
    ImageDraw.Draw(corners).rounded_rectangle(
        (0, 0, _CANVAS - 1, _CANVAS - 1), radius=_px(0.2), fill=255
    )
    tile.putalpha(corners)
    return tile


def _corners(draw: ImageDraw.ImageDraw, near: float, far: float, arm: float) -> None:
    """The corners of a box, as a tool draws them."""
    width = 0.055
    for x, inward_x in ((near, 1), (far, -1)):
        for y, inward_y in ((near, 1), (far, -1)):
            for end in ((x + inward_x * arm, y), (x, y + inward_y * arm)):
                _stroke(draw, (x, y), end, width, BOX_COLOR)


def _stroke(
    draw: ImageDraw.ImageDraw,
    start: tuple[float, float],
    end: tuple[float, float],
    width: float,
    color: tuple[int, int, int],
) -> None:
    """A straight stroke with round ends."""
    ends = [(_px(x), _px(y)) for x, y in (start, end)]
    draw.line(ends, fill=color, width=round(_px(width)))
    for x, y in (start, end):
        _disc(draw, (x, y), width / 2, color)


def _disc(
    draw: ImageDraw.ImageDraw, center: tuple[float, float], radius: float, color: tuple[int, ...]
) -> None:
    x, y = center
    draw.ellipse([_px(v) for v in (x - radius, y - radius, x + radius, y + radius)], fill=color)


def draw_icon() -> Image.Image:
    """Draws the icon.

    Returns:
        An RGBA image of ``SIDE_PX`` squared.
    """
    tile = _ground()
    draw = ImageDraw.Draw(tile)
    draw.polygon(_blob((0.5, 0.51), 0.27, 0.12), fill=MASK_COLOR)
    _corners(draw, near=0.16, far=0.84, arm=0.14)
    middle = 0.49
    _disc(draw, (middle, middle), 0.125, GROUND_BOTTOM)
    _disc(draw, (middle, middle), 0.1, POINT_COLOR)
    for end in ((0.048, 0), (-0.048, 0), (0, 0.048), (0, -0.048)):
        _stroke(draw, (middle, middle), (middle + end[0], middle + end[1]), 0.032, GROUND_BOTTOM)
    return tile.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)


def main() -> None:
    """Writes the icon."""
    default = Path(__file__).resolve().parents[1] / "icons" / "icon.png"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=default)
    file = parser.parse_args().file
    file.parent.mkdir(parents=True, exist_ok=True)
    draw_icon().save(file, optimize=True)


if __name__ == "__main__":
    main()
