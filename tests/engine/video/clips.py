"""Short clips of flat shapes on straight paths, drawn without a random number."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt

RED, GREEN, BLUE = (220, 40, 40), (40, 180, 60), (50, 70, 220)
COLORS = (RED, GREEN, BLUE, (235, 210, 50), (150, 60, 180), (245, 140, 30))


@dataclasses.dataclass(frozen=True)
class Ball:
    """A circle that moves on a straight path, in pixels and pixels a frame."""

    start_xy: tuple[float, float]
    step_xy: tuple[float, float] = (0, 0)
    radius: float = 26
    color: tuple[int, int, int] = RED
    frames: tuple[int, int] = (0, 10**6)

    def mask(self, frame: int, hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
        canvas = np.zeros(hw, np.uint8)
        if self.frames[0] <= frame < self.frames[1]:
            x, y = (s + v * frame for s, v in zip(self.start_xy, self.step_xy, strict=True))
            center = round(x * 16), round(y * 16)
            cv2.circle(canvas, center, round(self.radius * 16), 1, -1, cv2.LINE_8, 4)
        return canvas.astype(bool)


def draw_frame(
    balls: list[Ball], frame: int, hw: tuple[int, int] = (240, 320)
) -> npt.NDArray[np.uint8]:
    """Draws one frame, later balls in front, (H, W, 3) uint8."""
    image = np.full((*hw, 3), (120, 125, 118), np.uint8)
    for ball in balls:
        image[ball.mask(frame, hw)] = ball.color
    return image


def draw_clip(
    balls: list[Ball], count: int, hw: tuple[int, int] = (240, 320)
) -> list[npt.NDArray[np.uint8]]:
    """Draws the first frames of a clip."""
    return [draw_frame(balls, frame, hw) for frame in range(count)]


def place_balls(count: int) -> list[Ball]:
    """Up to 6 balls of different colors in a row and a half, which stay where they are."""
    return [
        Ball((50 + 75 * (k % 4), 70 + 90 * (k // 4)), color=color)
        for k, color in enumerate(COLORS[:count])
    ]


THREE_BALLS = [
    Ball((60, 70), (4, 2), 30),
    Ball((260, 150), (-4, -1), 26),
    Ball((60, 200), (3, 0), 24, frames=(4, 10**6)),
]
"""Two red balls that pass each other, and a third that enters on frame 4."""
