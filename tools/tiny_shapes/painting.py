"""Draws shapes as pixels: outlines, backgrounds, soft edges, noise."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

COLOR_JITTER = 10
_SUBPIXEL_BITS = 4

Window = tuple[slice, slice]
"""Rows and columns of an image."""


class Pixels(NamedTuple):
    """Holds the pixels that a shape covers.

    Attributes:
        inside: (h, w) bool, its pixels in the window.
        window: Where in the image that is.
    """

    inside: npt.NDArray[np.bool_]
    window: Window


def remove_covered(below: Pixels, above: Pixels) -> None:
    """Removes the pixels of a shape that another one covers."""
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


def draw_random_hw(
    rng: np.random.Generator, side_range_px: tuple[int, int], max_aspect: float
) -> tuple[int, int]:
    """Draws a random height and width.

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
    """Draws a muted color with a gradient and soft spots, (H, W, 3) float32."""
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


def make_outline_px(kind: str, extent_px: float, angle_rad: float) -> npt.NDArray[np.float64]:
    """Makes the corners of a shape whose box is centered at the origin.

    Args:
        kind: A kind of shape.
        extent_px: Longer side of its box, in pixels.
        angle_rad: How far it is turned.

    Returns:
        (N, 2) xy, in pixels.
    """
    outline = _make_unit_outline(kind, angle_rad)
    size = np.ptp(outline, axis=0)
    return (outline - outline.min(axis=0) - size / 2) / size.max() * extent_px


def rasterize(corners_xy: npt.NDArray[np.float64], image_hw: tuple[int, int]) -> Pixels | None:
    """Finds the pixels inside a polygon.

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


def _make_unit_outline(kind: str, angle_rad: float) -> npt.NDArray[np.float64]:
    """Makes the corners of a unit shape around the origin, (N, 2) xy."""
    corners, radii, start = {
        "circle": (64, (1.0,), 0.0),
        "square": (4, (1.0,), np.pi / 4),
        "triangle": (3, (1.0,), -np.pi / 2),
        "star": (10, (1.0, 0.42), -np.pi / 2),
    }[kind]
    angles = start + angle_rad + np.arange(corners) * 2 * np.pi / corners
    radius = np.resize(radii, corners)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def jitter_color(rng: np.random.Generator, rgb: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """Changes a color of the vocabulary a little, at random."""
    offset = rng.uniform(-COLOR_JITTER, COLOR_JITTER, 3)
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


def add_sensor_noise(
    rng: np.random.Generator, image: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
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
