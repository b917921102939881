"""Draws the scenes that ``tiny_shapes`` is trained on: flat colored shapes on a muted background.

The same generator feeds training, the held-out scores, the tests and the demo; only
their seeds differ.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .painting import (
    Pixels,
    add_sensor_noise,
    blend,
    draw_background,
    draw_random_hw,
    jitter_color,
    make_outline_px,
    rasterize,
    remove_covered,
)

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 70, 220),
    "yellow": (235, 210, 50),
    "purple": (150, 60, 180),
    "white": (245, 245, 245),
    "orange": (245, 140, 30),
    "black": (20, 20, 20),
}
"""Vocabulary of colors, RGB. A drawn color differs by up to 10 in each channel."""

KINDS = ("circle", "square", "triangle", "star")
"""Vocabulary of shapes."""

MAX_ROTATION_DEG = 25.0
EXTENT_RANGE = (0.14, 0.40)
"""Longer side of a shape's box, as a fraction of the image's short side."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """Describes one drawn shape.

    Attributes:
        color: Name of its color.
        kind: Name of its shape.
        image_hw: Height and width of the image, in pixels.
        crop: Its visible pixels inside ``xyxy``, (h, w) bool.
        xyxy: Tight box of the visible pixels, (4,) float64, exclusive right and bottom.
    """

    color: str
    kind: str
    image_hw: tuple[int, int]
    crop: npt.NDArray[np.bool_]
    xyxy: npt.NDArray[np.float64]

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """The shape's visible pixels, (H, W) bool, a new array."""
        full = np.zeros(self.image_hw, bool)
        left, top, right, bottom = self.xyxy.astype(int)
        full[top:bottom, left:right] = self.crop
        return full


@dataclasses.dataclass(frozen=True)
class Scene:
    """Holds a drawn image and its shapes.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        shapes: Its shapes, in drawing order.
    """

    image: npt.NDArray[np.uint8]
    shapes: tuple[Shape, ...]

    def find_matching(self, phrase: str) -> list[Shape]:
        """Finds the shapes that a phrase of the vocabulary means.

        Args:
            phrase: ``"<color> <shape>"``, ``"<shape>"`` or ``"<color> shape"``.

        Returns:
            The shapes, in drawing order; none for any other phrase.
        """
        color, _, kind = phrase.rpartition(" ")
        return [
            shape
            for shape in self.shapes
            if kind in (shape.kind, "shape") and color in (shape.color, "") and phrase != "shape"
        ]


def list_phrases() -> list[str]:
    """Lists every phrase of the vocabulary, 44 of them."""
    return [
        *(f"{color} {kind}" for color in COLORS for kind in KINDS),
        *KINDS,
        *(f"{color} shape" for color in COLORS),
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
    canvas = Canvas(rng, draw_random_hw(rng, side_range_px, max_aspect))
    for _ in range(int(rng.integers(count_range[0], count_range[1] + 1))):
        kind = str(rng.choice(KINDS))
        pixels = canvas.find_free_place(kind, extent_range)
        if pixels is None:
            continue
        color = str(rng.choice(list(COLORS)))
        canvas.add(color, kind, pixels)
    return canvas.scene()


LEAST_VISIBLE_SHARE = 0.1
"""A cut shape with less of it in sight is not counted as one."""


def cut_window(scene: Scene, xyxy: tuple[int, int, int, int]) -> Scene:
    """Cuts a part out of a scene.

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
            drawn = _Drawn(shape.color, shape.kind, Pixels(pixels, everywhere))
            shapes.append(_shape(drawn, (bottom - top, right - left)))
    return Scene(scene.image[window], tuple(shapes))


class Canvas:
    """Draws shapes on an image, one over the other.

    Attributes:
        image_hw: Its height and width, in pixels.
    """

    def __init__(self, rng: np.random.Generator, image_hw: tuple[int, int]) -> None:
        """Paints a background.

        Args:
            rng: Source of every random choice.
            image_hw: Height and width, in pixels.
        """
        self._rng, self.image_hw = rng, image_hw
        self._image = draw_background(rng, *image_hw)
        self._occupied = np.zeros(image_hw, bool)
        self._drawn: list[_Drawn] = []

    def find_free_place(self, kind: str, extent_range: tuple[float, float]) -> Pixels | None:
        """Tries random places, sizes and rotations for a shape.

        Args:
            kind: A kind of shape.
            extent_range: Longer side of its box, as a fraction of the short side.

        Returns:
            A place that is free, or None where 20 attempts found none.
        """
        height, width = self.image_hw
        for _ in range(20):
            extent_px = self._rng.uniform(*extent_range) * min(height, width)
            angle_deg = self._rng.uniform(-MAX_ROTATION_DEG, MAX_ROTATION_DEG)
            corners = make_outline_px(kind, extent_px, np.deg2rad(angle_deg))
            half = np.ptp(corners, axis=0) / 2
            center = self._rng.uniform(half, np.array([width, height]) - half)
            pixels = rasterize(corners + center, self.image_hw)
            if pixels is not None and self.is_free(pixels):
                return pixels
        return None

    def is_free(self, pixels: Pixels) -> bool:
        """Tells whether less than 2 % of the pixels belong to a shape already."""
        shared = pixels.inside & self._occupied[pixels.window]
        return bool(shared.sum() < 0.02 * pixels.inside.sum())

    def add(
        self, color: str, kind: str, pixels: Pixels, rgb: tuple[int, int, int] | None = None
    ) -> None:
        """Draws a shape over what is there.

        Args:
            color: Name of its color.
            kind: Name of its shape.
            pixels: What it covers.
            rgb: Its color; that of the vocabulary by default.
        """
        inside, window = pixels
        drawn_rgb = jitter_color(self._rng, rgb or COLORS[color])
        blend(self._image[window], inside.astype(np.float32), drawn_rgb)
        self._occupied[window] |= inside
        for below in self._drawn:
            remove_covered(below.pixels, pixels)
        self._drawn.append(_Drawn(color, kind, Pixels(inside.copy(), window)))

    def scene(self) -> Scene:
        """Makes the scene: the image with sensor noise, and its shapes."""
        shapes = tuple(_shape(drawn, self.image_hw) for drawn in self._drawn)
        return Scene(add_sensor_noise(self._rng, self._image), shapes)


class _Drawn(NamedTuple):
    """Holds a shape that others may still be drawn over."""

    color: str
    kind: str
    pixels: Pixels


def _shape(drawn: _Drawn, image_hw: tuple[int, int]) -> Shape:
    inside, window = drawn.pixels
    ys, xs = np.nonzero(inside)
    crop = inside[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    top, left = ys.min() + window[0].start, xs.min() + window[1].start
    xyxy = np.array([left, top, left + crop.shape[1], top + crop.shape[0]], np.float64)
    return Shape(drawn.color, drawn.kind, image_hw, crop, xyxy)
