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
    canvas = Canvas(rng, random_hw(rng, side_range_px, max_aspect))
    for _ in range(int(rng.integers(count_range[0], count_range[1] + 1))):
        kind = str(rng.choice(KINDS))
        pixels = canvas.free_place(kind, extent_range)
        if pixels is None:
            continue
        colour = str(rng.choice(list(COLOURS)))
        canvas.add(colour, kind, pixels)
    return canvas.scene()


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
            drawn = _Drawn(shape.colour, shape.kind, Pixels(pixels, everywhere))
            shapes.append(_shape(drawn, (bottom - top, right - left)))
    return Scene(scene.image[window], tuple(shapes))


Window = tuple[slice, slice]
"""Rows and columns of an image."""


class Pixels(NamedTuple):
    """What a shape covers.

    Attributes:
        inside: (h, w) bool, its pixels in the window.
        window: Where in the image that is.
    """

    inside: npt.NDArray[np.bool_]
    window: Window


class Canvas:
    """An image that shapes are drawn on, one over the other.

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

    def free_place(self, kind: str, extent_range: tuple[float, float]) -> Pixels | None:
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
            corners = outline_px(kind, extent_px, np.deg2rad(angle_deg))
            half = np.ptp(corners, axis=0) / 2
            centre = self._rng.uniform(half, np.array([width, height]) - half)
            pixels = rasterise(corners + centre, self.image_hw)
            if pixels is not None and self.is_free(pixels):
                return pixels
        return None

    def is_free(self, pixels: Pixels) -> bool:
        """Whether less than 2 % of the pixels belong to a shape already."""
        shared = pixels.inside & self._occupied[pixels.window]
        return bool(shared.sum() < 0.02 * pixels.inside.sum())

    def add(self, colour: str, kind: str, pixels: Pixels) -> None:
        """Draws a shape over what is there.

        Args:
            colour: Name of its colour.
            kind: Name of its shape.
            pixels: What it covers.
        """
        inside, window = pixels
        rgb = jittered(self._rng, COLOURS[colour])
        blend(self._image[window], inside.astype(np.float32), rgb)
        self._occupied[window] |= inside
        for below in self._drawn:
            cover(below.pixels, pixels)
        self._drawn.append(_Drawn(colour, kind, Pixels(inside.copy(), window)))

    def scene(self) -> Scene:
        """The image with a sensor's noise, and its shapes."""
        shapes = tuple(_shape(drawn, self.image_hw) for drawn in self._drawn)
        return Scene(sensor_noise(self._rng, self._image), shapes)


class _Drawn(NamedTuple):
    """A shape while others may still be drawn over it."""

    colour: str
    kind: str
    pixels: Pixels


def cover(below: Pixels, above: Pixels) -> None:
    """Takes pixels away from a shape that another is drawn over."""
    shared = tuple(
        slice(max(one.start, other.start), min(one.stop, other.stop))
        for one, other in zip(below.window, above.window, strict=True)
    )
    if all(s.start < s.stop for s in shared):
        mine, theirs = (
            tuple(
                slice(s.start - w.start, s.stop - w.start) for s, w in zip(shared, own, strict=True)
            )
            for own in (below.window, above.window)
        )
        below.inside[mine] &= ~above.inside[theirs]


def random_hw(
    rng: np.random.Generator, side_range_px: tuple[int, int], max_aspect: float
) -> tuple[int, int]:
    """A random height and width.

    Args:
        rng: Source of every random choice.
        side_range_px: Least short side and greatest long side, in pixels.
        max_aspect: Greatest ratio of long to short side.

    Returns:
        The two, in pixels.
    """
    low, high = side_range_px
    aspect = rng.uniform(1.0, max_aspect)
    short = int(np.exp(rng.uniform(np.log(low), np.log(max(low + 1, high / aspect)))))
    long = min(high, int(short * aspect))
    return (short, long) if rng.random() < 0.5 else (long, short)


def draw_background(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float32]:
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


def outline_px(kind: str, extent_px: float, angle_rad: float) -> npt.NDArray[np.float64]:
    """Corners of a shape whose box is centred at the origin.

    Args:
        kind: A kind of shape.
        extent_px: Longer side of its box, in pixels.
        angle_rad: How far it is turned.

    Returns:
        (N, 2) xy, in pixels.
    """
    outline = _outline(kind, angle_rad)
    size = np.ptp(outline, axis=0)
    return (outline - outline.min(axis=0) - size / 2) / size.max() * extent_px


def rasterise(corners_xy: npt.NDArray[np.float64], image_hw: tuple[int, int]) -> Pixels | None:
    """Pixels inside a polygon.

    Args:
        corners_xy: (N, 2), in pixels of the image; may be outside of it.
        image_hw: Height and width of the image.

    Returns:
        The pixels, or None where its window is outside of the image.
    """
    height, width = image_hw
    corners = np.round((corners_xy - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    left, top = np.maximum(corners.min(axis=0) // 2**_SUBPIXEL_BITS - 2, 0).tolist()
    right, bottom = (corners.max(axis=0) // 2**_SUBPIXEL_BITS + 4).tolist()
    window = slice(top, min(bottom, height)), slice(left, min(right, width))
    if window[0].start >= window[0].stop or window[1].start >= window[1].stop:
        return None
    filled = np.zeros((window[0].stop - top, window[1].stop - left), np.uint8)
    corners -= np.array([left, top], np.int32) * 2**_SUBPIXEL_BITS
    cv2.fillPoly(filled, [corners], 1, shift=_SUBPIXEL_BITS)
    return Pixels(filled.astype(bool), window)


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


def jittered(rng: np.random.Generator, rgb: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """A drawn color, a little beside the one it is named after."""
    offset = rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, 3)
    return np.clip(np.array(rgb) + offset, 0, 255).astype(np.float32)


def blend(
    window: npt.NDArray[np.float32], share: npt.NDArray[np.float32], rgb: npt.NDArray[np.float32]
) -> None:
    """Mixes a color into an image, in place.

    Args:
        window: (h, w, 3), the image or a part of it.
        share: How much of each pixel gets the color, (h, w) in 0..1.
        rgb: The color, (3,).
    """
    # A camera never shows a hard edge: mix over about a pixel.
    alpha = cv2.GaussianBlur(share, (3, 3), 0)[..., None]
    window += alpha * (rgb - window)


NOISY_SHARE = 0.7
NOISE_RANGE = (1.0, 7.0)
"""Standard deviation of a sensor's noise, of 255."""


def sensor_noise(rng: np.random.Generator, image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Adds noise of random strength to most images, and rounds.

    Args:
        rng: Source of every random choice.
        image: (H, W, 3).

    Returns:
        (H, W, 3) uint8.
    """
    if rng.random() < NOISY_SHARE:
        noise = rng.standard_normal(image.shape[:2], dtype=np.float32)
        image = image + noise[..., None] * np.float32(rng.uniform(*NOISE_RANGE))
    return np.clip(image, 0, 255).astype(np.uint8)


def _shape(drawn: _Drawn, image_hw: tuple[int, int]) -> Shape:
    inside, window = drawn.pixels
    ys, xs = np.nonzero(inside)
    crop = inside[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    top, left = ys.min() + window[0].start, xs.min() + window[1].start
    xyxy = np.array([left, top, left + crop.shape[1], top + crop.shape[0]], np.float64)
    return Shape(drawn.colour, drawn.kind, image_hw, crop, xyxy)
