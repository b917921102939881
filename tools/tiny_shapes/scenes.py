"""Draws the scenes that ``tiny_shapes`` knows: flat coloured shapes on a muted background.

The same generator feeds training, the held-out scores, the tests and the demo; only
their seeds differ.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 70, 220),
    "yellow": (235, 210, 50),
    "purple": (150, 60, 180),
    "white": (245, 245, 245),
    "orange": (245, 140, 30),
    "black": (20, 20, 20),
}
"""Vocabulary of colours, RGB. A drawn colour differs by up to 10 in each channel."""

KINDS = ("circle", "square", "triangle", "star")
"""Vocabulary of shapes."""

COLOUR_JITTER = 10
MAX_ROTATION_DEG = 25.0
EXTENT_RANGE = (0.14, 0.40)
"""Longer side of a shape's box, as a fraction of the image's short side."""

_SUBPIXEL_BITS = 4


@dataclasses.dataclass(frozen=True)
class Shape:
    """One drawn shape.

    Attributes:
        colour: Name of its colour.
        kind: Name of its shape.
        image_hw: Height and width of the image, in pixels.
        crop: Its visible pixels inside ``xyxy``, (h, w) bool.
        xyxy: Tight box of the visible pixels, (4,) float64, exclusive right and bottom.
    """

    colour: str
    kind: str
    image_hw: tuple[int, int]
    crop: npt.NDArray[np.bool_]
    xyxy: npt.NDArray[np.float64]

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Its visible pixels, (H, W) bool, a new array."""
        full = np.zeros(self.image_hw, bool)
        left, top, right, bottom = self.xyxy.astype(int)
        full[top:bottom, left:right] = self.crop
        return full


@dataclasses.dataclass(frozen=True)
class Scene:
    """A drawn image and what is on it.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        shapes: Its shapes, in drawing order.
    """

    image: npt.NDArray[np.uint8]
    shapes: tuple[Shape, ...]

    def matching(self, phrase: str) -> list[Shape]:
        """Shapes that a phrase of the vocabulary means.

        Args:
            phrase: ``"<colour> <shape>"``, ``"<shape>"`` or ``"<colour> shape"``.

        Returns:
            The shapes, in drawing order; none for any other phrase.
        """
        colour, _, kind = phrase.rpartition(" ")
        return [
            shape
            for shape in self.shapes
            if kind in (shape.kind, "shape") and colour in (shape.colour, "") and phrase != "shape"
        ]


def phrases() -> list[str]:
    """Every phrase of the vocabulary, 44 of them."""
    return [
        *(f"{colour} {kind}" for colour in COLOURS for kind in KINDS),
        *KINDS,
        *(f"{colour} shape" for colour in COLOURS),
    ]


def draw_scene(
    rng: np.random.Generator,
    side_range_px: tuple[int, int] = (200, 2000),
    count_range: tuple[int, int] = (1, 6),
    max_aspect: float = 2.0,
    extent_range: tuple[float, float] = EXTENT_RANGE,
) -> Scene:
    """Draws a random scene.

    Args:
        rng: Source of every random choice.
        side_range_px: Least short side and greatest long side of the image, in pixels.
        count_range: Least and greatest number of shapes asked for; a shape that finds no
            free place is left out.
        max_aspect: Greatest ratio of long to short side.
        extent_range: Longer side of a shape's box, as a fraction of the short side.

    Returns:
        The scene, with at least one shape.
    """
    height, width = _random_hw(rng, side_range_px, max_aspect)
    image = _background(rng, height, width)
    occupied = np.zeros((height, width), bool)
    drawn: list[_Drawn] = []
    for _ in range(int(rng.integers(count_range[0], count_range[1] + 1))):
        kind = str(rng.choice(KINDS))
        free = _free_place(rng, kind, occupied, extent_range)
        if free is None:
            continue
        pixels, window = free
        colour = str(rng.choice(list(COLOURS)))
        _paint(image[window], pixels, _jittered(rng, COLOURS[colour]))
        occupied[window] |= pixels
        for below in drawn:
            _cover(below, pixels, window)
        drawn.append(_Drawn(colour, kind, pixels, window))
    shapes = tuple(_shape(d, (height, width)) for d in drawn)
    return Scene(_sensor_noise(rng, image), shapes)


LEAST_VISIBLE_SHARE = 0.1
"""A cut shape with less of it in sight is not counted as one."""


def window_of(scene: Scene, xyxy: tuple[int, int, int, int]) -> Scene:
    """A part of a scene.

    Args:
        scene: A scene.
        xyxy: The part, in pixels, inside the image.

    Returns:
        Its pixels, and its shapes, cut where they cross its border; those of which less than
        :data:`LEAST_VISIBLE_SHARE` is left are left out.
    """
    left, top, right, bottom = xyxy
    window = slice(top, bottom), slice(left, right)
    shapes = []
    for shape in scene.shapes:
        pixels = shape.mask[window]
        if np.count_nonzero(pixels) > LEAST_VISIBLE_SHARE * np.count_nonzero(shape.crop):
            everywhere = slice(0, bottom - top), slice(0, right - left)
            drawn = _Drawn(shape.colour, shape.kind, pixels, everywhere)
            shapes.append(_shape(drawn, (bottom - top, right - left)))
    return Scene(scene.image[window], tuple(shapes))


Window = tuple[slice, slice]
"""Rows and columns of an image."""


class _Drawn(NamedTuple):
    """A shape while others may still be drawn over it, as its pixels in a window."""

    colour: str
    kind: str
    pixels: npt.NDArray[np.bool_]
    window: Window


def _cover(below: _Drawn, pixels: npt.NDArray[np.bool_], window: Window) -> None:
    """Takes pixels away from a shape that another is drawn over."""
    shared = tuple(
        slice(max(one.start, other.start), min(one.stop, other.stop))
        for one, other in zip(below.window, window, strict=True)
    )
    if all(s.start < s.stop for s in shared):
        mine, theirs = (
            tuple(
                slice(s.start - w.start, s.stop - w.start) for s, w in zip(shared, own, strict=True)
            )
            for own in (below.window, window)
        )
        below.pixels[mine] &= ~pixels[theirs]


def _random_hw(
    rng: np.random.Generator, side_range_px: tuple[int, int], max_aspect: float
) -> tuple[int, int]:
    low, high = side_range_px
    aspect = rng.uniform(1.0, max_aspect)
    short = int(np.exp(rng.uniform(np.log(low), np.log(max(low + 1, high / aspect)))))
    long = min(high, int(short * aspect))
    return (short, long) if rng.random() < 0.5 else (long, short)


def _background(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float32]:
    """A muted base colour with a slope and soft blotches, (H, W, 3) float32."""
    base = rng.uniform(90, 165) + rng.uniform(-15, 15, 3)
    slope_x, slope_y = rng.uniform(-25, 25, 2)
    slope = (
        np.linspace(-1, 1, height, dtype=np.float32)[:, None] * slope_y
        + np.linspace(-1, 1, width, dtype=np.float32)[None] * slope_x
    )
    amplitude = rng.uniform(0, 18)
    cells = rng.normal(0, 1, (int(rng.integers(3, 24)), int(rng.integers(3, 24)), 1))
    blotches = cv2.resize(cells.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    luma = slope + blotches * amplitude
    return luma[..., None] + base.astype(np.float32)


def _free_place(
    rng: np.random.Generator,
    kind: str,
    occupied: npt.NDArray[np.bool_],
    extent_range: tuple[float, float],
) -> tuple[npt.NDArray[np.bool_], Window] | None:
    """Pixels of a shape in the window they are for, or None where all is taken."""
    height, width = occupied.shape
    for _ in range(20):
        extent = rng.uniform(*extent_range) * min(height, width)
        outline = _outline(kind, np.deg2rad(rng.uniform(-MAX_ROTATION_DEG, MAX_ROTATION_DEG)))
        size = np.ptp(outline, axis=0)
        outline = (outline - outline.min(axis=0) - size / 2) / size.max() * extent
        half = np.ptp(outline, axis=0) / 2
        centre = rng.uniform(half, np.array([width, height]) - half)
        corners = np.round((outline + centre - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
        left, top = np.maximum(corners.min(axis=0) // 2**_SUBPIXEL_BITS - 2, 0).tolist()
        right, bottom = (corners.max(axis=0) // 2**_SUBPIXEL_BITS + 4).tolist()
        window = slice(top, min(bottom, height)), slice(left, min(right, width))
        filled = np.zeros(occupied[window].shape, np.uint8)
        corners -= np.array([left, top], np.int32) * 2**_SUBPIXEL_BITS
        cv2.fillPoly(filled, [corners], 1, shift=_SUBPIXEL_BITS)
        pixels = filled.astype(bool)
        if (pixels & occupied[window]).sum() < 0.02 * pixels.sum():
            return pixels, window
    return None


def _outline(kind: str, angle_rad: float) -> npt.NDArray[np.float64]:
    """Corners of a unit shape around the origin, (N, 2) xy."""
    corners, radii, start = {
        "circle": (64, (1.0,), 0.0),
        "square": (4, (1.0,), np.pi / 4),
        "triangle": (3, (1.0,), -np.pi / 2),
        "star": (10, (1.0, 0.42), -np.pi / 2),
    }[kind]
    angles = start + angle_rad + np.arange(corners) * 2 * np.pi / corners
    radius = np.resize(radii, corners)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def _jittered(rng: np.random.Generator, rgb: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    offset = rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, 3)
    return np.clip(np.array(rgb) + offset, 0, 255).astype(np.float32)


def _paint(
    window: npt.NDArray[np.float32], pixels: npt.NDArray[np.bool_], rgb: npt.NDArray[np.float32]
) -> None:
    # A camera never shows a hard edge: mix over about a pixel.
    alpha = cv2.GaussianBlur(pixels.astype(np.float32), (3, 3), 0)[..., None]
    window += alpha * (rgb - window)


def _sensor_noise(
    rng: np.random.Generator, image: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    if rng.random() < 0.7:
        noise = rng.standard_normal(image.shape[:2], dtype=np.float32)
        image = image + noise[..., None] * np.float32(rng.uniform(1, 7))
    return np.clip(image, 0, 255).astype(np.uint8)


def _shape(drawn: _Drawn, image_hw: tuple[int, int]) -> Shape:
    ys, xs = np.nonzero(drawn.pixels)
    crop = drawn.pixels[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    top, left = ys.min() + drawn.window[0].start, xs.min() + drawn.window[1].start
    xyxy = np.array([left, top, left + crop.shape[1], top + crop.shape[0]], np.float64)
    return Shape(drawn.colour, drawn.kind, image_hw, crop, xyxy)
