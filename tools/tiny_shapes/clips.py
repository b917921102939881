"""Draws clips: the shapes of the scenes, moving.

Two to six shapes move, turn, change their size, cross each other, hide behind each other,
leave and come back; in most clips two or three of them look the same. The camera may shake
and blur what moves. A clip is a function of time, so frames are drawn when they are asked
for and none is kept.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from .scenes import (
    COLOURS,
    KINDS,
    MAX_ROTATION_DEG,
    NOISE_RANGE,
    NOISY_SHARE,
    Pixels,
    blend,
    cover,
    draw_background,
    jittered,
    outline_px,
    random_hw,
    rasterise,
)

CLIP_FRAMES = 48
SIDE_RANGE_PX = (320, 1280)
COUNT_RANGE = (2, 6)
LIKE_SHARE = 0.65
"""Share of clips in which two or three shapes look the same."""

EXTENT_RANGE = (0.13, 0.28)
"""Longer side of a shape's box, as a fraction of the image's short side."""

SCREEN_EXTENT_RANGE = (0.36, 0.46)
"""The same of a shape that others pass behind."""

SCREEN_SHARE = 0.4
SPEED_RANGE = (0.004, 0.035)
"""Way in a frame, as a fraction of the short side."""

ABSENCE_RANGE = (5, 20)
"""Frames that a shape which leaves is away."""

LEAVER_SHARE = 0.4
STILL_SHARE = 0.15
BLURRED_SHARE = 0.5
SHAKEN_SHARE = 0.5
MAX_SHAKE = 0.015
"""Greatest way of a shaking camera in each direction, as a fraction of the short side."""

SHUTTER = (-0.25, 0.0, 0.25)
"""When a blurred frame looks, in frames; the truth is what the middle one sees."""

LEAST_VISIBLE_PX = 40
LEAST_VISIBLE_SHARE = 0.15
"""A shape with less in sight is ignored on that frame, for and against."""


@dataclasses.dataclass(frozen=True)
class Motion:
    """Where a shape is at any time; lengths are fractions of the image's short side.

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

    def centre_at(self, time: float) -> npt.NDArray[np.float64]:
        """Its centre at a time, xy."""
        least, greatest = self.bounds_xy
        span = greatest - least
        way = np.mod(self.start_xy + self.velocity_xy * time - least, 2 * span)
        return least + np.minimum(way, 2 * span - way)

    def outline_at(self, kind: str, time: float, short_px: int) -> npt.NDArray[np.float64]:
        """Corners of its outline at a time, in pixels, (N, 2)."""
        beat = 2 * np.pi * time / self.period + self.phase_rad
        extent_px = self.extent * (1 + self.growth * np.sin(beat)) * short_px
        angle_rad = np.deg2rad(self.sway_deg) * np.cos(beat)
        return outline_px(kind, extent_px, angle_rad) + self.centre_at(time) * short_px


@dataclasses.dataclass(frozen=True)
class MovingShape:
    """A shape of a clip; its index is its id.

    Attributes:
        colour: Name of its color.
        kind: Name of its kind.
        rgb: Its color, (3,) float32.
        motion: How it moves.
    """

    colour: str
    kind: str
    rgb: npt.NDArray[np.float32]
    motion: Motion

    @property
    def look(self) -> tuple[str, str]:
        """What tells it from shapes that look otherwise."""
        return self.colour, self.kind


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame and what is visible on it.

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
        """Visible pixels of a shape, (H, W) bool."""
        full = np.zeros(self.image.shape[:2], bool)
        pixels = self.visible[index]
        if pixels is not None:
            full[pixels.window] = pixels.inside
        return full

    def visible_px(self, index: int) -> int:
        """How many pixels of a shape are visible."""
        pixels = self.visible[index]
        return 0 if pixels is None else int(np.count_nonzero(pixels.inside))

    def counts(self, index: int) -> bool:
        """Whether enough of a shape is visible for it to be asked for."""
        return (
            self.visible_px(index) >= LEAST_VISIBLE_PX
            and self.visible_share[index] >= LEAST_VISIBLE_SHARE
        )


@dataclasses.dataclass(frozen=True)
class Clip:
    """A clip.

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
        """Draws the frame of a time.

        Args:
            time: In frames; need not be whole.

        Returns:
            The frame, the same at every call.
        """
        height, width = self.image_hw
        shift = self._shift_px(time)
        top, left = (_margin_px(self.image_hw) - shift[::-1]).tolist()
        image = self.background[top : top + height, left : left + width].copy()
        seen: list[Pixels | None] = []
        whole = []
        for shape in self.shapes:
            looks = [self._pixels(shape, time + dt, shift) for dt in SHUTTER]
            middle = looks[len(looks) // 2]
            if self.blurred:
                _blend_blurred(image, looks, shape.rgb)
            elif middle is not None:
                blend(image[middle.window], middle.inside.astype(np.float32), shape.rgb)
            for below in seen:
                if below is not None and middle is not None:
                    cover(below, middle)
            outline = shape.motion.outline_at(shape.kind, time, min(self.image_hw))
            whole.append(_polygon_area(outline))
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

    def _pixels(
        self, shape: MovingShape, time: float, shift: npt.NDArray[np.int64]
    ) -> Pixels | None:
        outline = shape.motion.outline_at(shape.kind, time, min(self.image_hw))
        return rasterise(outline + shift, self.image_hw)

    def _shift_px(self, time: float) -> npt.NDArray[np.int64]:
        """Where the camera's movement puts what is at the origin, xy."""
        amplitude, frequency = self.shake[:, 0], self.shake[:, 1]
        return np.round((amplitude * np.sin(frequency * time)).sum(axis=0)).astype(np.int64)


def draw_clip(
    rng: np.random.Generator,
    side_range_px: tuple[int, int] = SIDE_RANGE_PX,
    like_share: float = LIKE_SHARE,
) -> Clip:
    """Draws a random clip.

    Of shapes that look the same at most one at a time is hidden or outside, within the
    first :data:`CLIP_FRAMES` frames: nobody could say which of two it is that comes back.

    Args:
        rng: Source of every random choice.
        side_range_px: Least short side and greatest long side, in pixels.
        like_share: Share of clips in which several shapes look the same.

    Returns:
        The clip.
    """
    while True:
        image_hw = random_hw(rng, side_range_px, max_aspect=2.0)
        short_px = min(image_hw)
        aspect_xy = np.array(image_hw[::-1]) / short_px
        looks = _random_looks(rng, like_share)
        motions = _random_motions(rng, looks, aspect_xy)
        shapes = tuple(
            MovingShape(colour, kind, jittered(rng, COLOURS[colour]), motion)
            for (colour, kind), motion in zip(looks, motions, strict=True)
        )
        if not _is_fair(shapes, aspect_xy):
            continue
        margin = _margin_px(image_hw)
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


def _margin_px(image_hw: tuple[int, int]) -> int:
    return int(np.ceil(MAX_SHAKE * min(image_hw))) + 1


def _random_looks(rng: np.random.Generator, like_share: float) -> list[tuple[str, str]]:
    """Color and kind of each shape, in random order."""

    def look() -> tuple[str, str]:
        return str(rng.choice(list(COLOURS))), str(rng.choice(KINDS))

    count = int(rng.integers(COUNT_RANGE[0], COUNT_RANGE[1] + 1))
    looks: list[tuple[str, str]] = []
    if rng.random() < like_share:
        looks = [look()] * (3 if count > 2 and rng.random() < 0.25 else 2)
    while len(looks) < count:
        other = look()
        if other not in looks:
            looks.append(other)
    return [looks[i] for i in rng.permutation(count)]


def _random_motions(
    rng: np.random.Generator, looks: list[tuple[str, str]], aspect_xy: npt.NDArray[np.float64]
) -> list[Motion]:
    """A motion for each shape: lookalikes meet, the last one may be a screen for another."""
    motions = [_random_motion(rng, aspect_xy) for _ in looks]
    alike = [i for i, look in enumerate(looks) if looks.count(look) > 1]
    if len(alike) > 1 and rng.random() < 0.75:
        first, second = rng.choice(alike, 2, replace=False).tolist()
        _make_meet(rng, motions, first, second, aspect_xy)
    elif rng.random() < 0.5:
        first, second = rng.choice(len(looks), 2, replace=False).tolist()
        _make_meet(rng, motions, first, second, aspect_xy)
    last = len(looks) - 1
    if last > 1 and looks.count(looks[last]) == 1 and rng.random() < SCREEN_SHARE:
        extent = rng.uniform(*SCREEN_EXTENT_RANGE)
        motions[last] = dataclasses.replace(
            _random_motion(rng, aspect_xy, extent), velocity_xy=rng.normal(0, 0.001, 2), growth=0.0
        )
        _make_meet(rng, motions, int(rng.integers(last)), last, aspect_xy)
    return motions


def _random_motion(
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
    """Sends two shapes through about the same place at about the same time."""
    time = rng.uniform(6, CLIP_FRAMES - 8)
    place = rng.uniform(0.3, 0.7, 2) * aspect_xy
    for index in (first, second):
        motion = motions[index]
        # A start far outside of the bounds is folded back like any other way.
        miss = rng.normal(0, 0.25 * motion.extent, 2)
        start = place + miss - motion.velocity_xy * time
        motions[index] = dataclasses.replace(motion, start_xy=start)


def _is_fair(shapes: tuple[MovingShape, ...], aspect_xy: npt.NDArray[np.float64]) -> bool:
    """Whether every shape is seen, and of lookalikes at most one is away at a time."""
    small_hw = tuple(int(v) for v in np.round(aspect_xy[::-1] * 64))
    absent = np.zeros((CLIP_FRAMES, len(shapes)), bool)
    for time in range(CLIP_FRAMES):
        seen: list[Pixels | None] = []
        for shape in shapes:
            outline = shape.motion.outline_at(shape.kind, time, 64)
            pixels = rasterise(outline, (small_hw[0], small_hw[1]))
            for below in seen:
                if below is not None and pixels is not None:
                    cover(below, pixels)
            seen.append(pixels)
        absent[time] = [
            p is None
            or np.count_nonzero(p.inside)
            < 0.1 * _polygon_area(s.motion.outline_at(s.kind, time, 64))
            for p, s in zip(seen, shapes, strict=True)
        ]
    for look in {shape.look for shape in shapes}:
        alike = [i for i, shape in enumerate(shapes) if shape.look == look]
        if (absent[:, alike].sum(axis=1) > 1).any():
            return False
    return bool((absent.mean(axis=0) < 0.5).all() and not absent[0].all())


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


def _polygon_area(corners_xy: npt.NDArray[np.float64]) -> float:
    x, y = corners_xy.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)
