"""Draws clips: scenes whose shapes move.

A clip is a function of time: a frame is drawn when it is asked for, and none is kept.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from .painting import Pixels, blend, make_outline_px, rasterize, remove_covered

CLIP_FRAMES = 48
MAX_SHAKE = 0.015
"""Greatest way of a shaking camera in each direction, as a fraction of the short side."""

SHUTTER = (-0.25, 0.0, 0.25)
"""When a blurred frame looks, in frames; the truth is what the middle one sees."""

LEAST_VISIBLE_PX = 40
LEAST_VISIBLE_SHARE = 0.15
"""A shape with less in sight is ignored on that frame, for and against."""


@dataclasses.dataclass(frozen=True)
class Motion:
    """Computes where a shape is at a time; lengths are fractions of the image's short side.

    Attributes:
        start_xy: Where it is at time 0.
        velocity_xy: Its velocity, a frame.
        bounds_xy: Where it turns back, ((least x, least y), (greatest x, greatest y)).
        extent: Longer side of its box, on average.
        growth: Share by which its size changes.
        sway_deg: Greatest rotation.
        period: Frames that size and rotation need to come back.
        phase_rad: Where in that period it begins.
    """

    start_xy: npt.NDArray[np.float64]
    velocity_xy: npt.NDArray[np.float64]
    bounds_xy: npt.NDArray[np.float64]
    extent: float
    growth: float
    sway_deg: float
    period: float
    phase_rad: float

    def compute_center(self, time: float) -> npt.NDArray[np.float64]:
        """Computes its center at a time, xy."""
        least, greatest = self.bounds_xy
        span = greatest - least
        way = np.mod(self.start_xy + self.velocity_xy * time - least, 2 * span)
        return least + np.minimum(way, 2 * span - way)

    def make_outline(self, kind: str, time: float, short_px: int) -> npt.NDArray[np.float64]:
        """Makes the corners of its outline at a time, in pixels, (N, 2)."""
        beat = 2 * np.pi * time / self.period + self.phase_rad
        extent_px = self.extent * (1 + self.growth * np.sin(beat)) * short_px
        angle_rad = np.deg2rad(self.sway_deg) * np.cos(beat)
        return make_outline_px(kind, extent_px, angle_rad) + self.compute_center(time) * short_px


@dataclasses.dataclass(frozen=True)
class MovingShape:
    """Describes a shape of a clip; its index is its id.

    Attributes:
        color: Name of its color.
        kind: Name of its kind.
        rgb: Its color, (3,) float32.
        motion: How it moves.
    """

    color: str
    kind: str
    rgb: npt.NDArray[np.float32]
    motion: Motion

    @property
    def look(self) -> tuple[str, str]:
        """Its color and kind, equal for shapes that look the same."""
        return self.color, self.kind


@dataclasses.dataclass(frozen=True)
class Frame:
    """Holds a frame and the visible pixels of each shape.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        visible: The visible pixels of each shape, None where there are none.
        visible_share: Share of each shape that is visible, of all its pixels, those outside
            of the image too, (N,) float64.
    """

    image: npt.NDArray[np.uint8]
    visible: tuple[Pixels | None, ...]
    visible_share: npt.NDArray[np.float64]

    def mask(self, index: int) -> npt.NDArray[np.bool_]:
        """Returns the visible pixels of a shape, (H, W) bool."""
        full = np.zeros(self.image.shape[:2], bool)
        pixels = self.visible[index]
        if pixels is not None:
            full[pixels.window] = pixels.inside
        return full

    def visible_px(self, index: int) -> int:
        """Counts the visible pixels of a shape."""
        pixels = self.visible[index]
        return 0 if pixels is None else int(np.count_nonzero(pixels.inside))

    def counts(self, index: int) -> bool:
        """Tells whether enough of a shape is visible for it to be asked for."""
        return (
            self.visible_px(index) >= LEAST_VISIBLE_PX
            and self.visible_share[index] >= LEAST_VISIBLE_SHARE
        )


@dataclasses.dataclass(frozen=True)
class Clip:
    """Describes a clip, whose frames are drawn on request.

    Attributes:
        image_hw: Height and width, in pixels.
        shapes: Its shapes, in drawing order: later ones hide earlier ones.
        seed: Seed of the noise.
        background: A little larger than the image, (H', W', 3) float32.
        shake: Amplitude and angular frequency of the camera's movement, (2, 2, 2) float64, by
            wave, then amplitude in pixels or frequency, then axis.
        blurred: Whether what moves is blurred.
        noise: Standard deviation of the sensor's noise, of 255.
    """

    image_hw: tuple[int, int]
    shapes: tuple[MovingShape, ...]
    seed: int
    background: npt.NDArray[np.float32]
    shake: npt.NDArray[np.float64]
    blurred: bool
    noise: float

    def has_lookalikes(self) -> bool:
        """Whether two of its shapes look the same."""
        return len({shape.look for shape in self.shapes}) < len(self.shapes)

    def frame_at(self, time: float) -> Frame:
        """Draws the frame at a time.

        Args:
            time: In frames; need not be whole.

        Returns:
            The frame, the same at every call.
        """
        height, width = self.image_hw
        shift = self._compute_shift_px(time)
        top, left = (compute_margin_px(self.image_hw) - shift[::-1]).tolist()
        image = self.background[top : top + height, left : left + width].copy()
        seen: list[Pixels | None] = []
        whole = []
        for shape in self.shapes:
            looks = [self._rasterize_shape(shape, time + dt, shift) for dt in SHUTTER]
            middle = looks[len(looks) // 2]
            if self.blurred:
                _blend_blurred(image, looks, shape.rgb)
            elif middle is not None:
                blend(image[middle.window], middle.inside.astype(np.float32), shape.rgb)
            for below in seen:
                if below is not None and middle is not None:
                    remove_covered(below, middle)
            outline = shape.motion.make_outline(shape.kind, time, min(self.image_hw))
            whole.append(compute_polygon_area(outline))
            seen.append(middle)
        share = [
            0.0 if p is None else np.count_nonzero(p.inside) / area
            for p, area in zip(seen, whole, strict=True)
        ]
        visible = tuple(p if p is not None and p.inside.any() else None for p in seen)
        if self.noise:
            rng = np.random.default_rng((self.seed, round(time * 1000)))
            grain = rng.standard_normal(self.image_hw, dtype=np.float32)
            image += grain[..., None] * np.float32(self.noise)
        picture = np.clip(image, 0, 255).astype(np.uint8)
        return Frame(picture, visible, np.minimum(share, 1.0))

    def _rasterize_shape(
        self, shape: MovingShape, time: float, shift: npt.NDArray[np.int64]
    ) -> Pixels | None:
        outline = shape.motion.make_outline(shape.kind, time, min(self.image_hw))
        return rasterize(outline + shift, self.image_hw)

    def _compute_shift_px(self, time: float) -> npt.NDArray[np.int64]:
        """Computes the shift of the image by the camera's movement, xy."""
        amplitude, frequency = self.shake[:, 0], self.shake[:, 1]
        return np.round((amplitude * np.sin(frequency * time)).sum(axis=0)).astype(np.int64)


def compute_margin_px(image_hw: tuple[int, int]) -> int:
    """Computes how much larger than the image a background is on each side, in pixels."""
    return int(np.ceil(MAX_SHAKE * min(image_hw))) + 1


def _blend_blurred(
    image: npt.NDArray[np.float32],
    looks: list[Pixels | None],
    rgb: npt.NDArray[np.float32],
) -> None:
    windows = [p.window for p in looks if p is not None]
    if not windows:
        return
    rows, columns = (
        slice(min(w[axis].start for w in windows), max(w[axis].stop for w in windows))
        for axis in (0, 1)
    )
    alpha = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    for pixels in looks:
        if pixels is not None:
            top, left = pixels.window[0].start - rows.start, pixels.window[1].start - columns.start
            height, width = pixels.inside.shape
            alpha[top : top + height, left : left + width] += pixels.inside / len(looks)
    blend(image[rows, columns], alpha, rgb)


def compute_polygon_area(corners_xy: npt.NDArray[np.float64]) -> float:
    """Computes the area inside a polygon of (N, 2) corners."""
    x, y = corners_xy.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)
