"""Draws what the demo and the documentation show: a scene, a crowd, a clip, and their results.

``make pictures`` writes the inputs to ``examples/`` and the results to ``docs/images/``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..engine import ConceptPrompt, Engine, track_video
from ..engine.drawing.overlay import draw_result
from ..engine.drawing.trails import Trails
from ..engine.images import RgbImage
from ..engine.video_files import VideoReader, VideoWriter
from .tiny_shapes.painting import make_outline_px
from .tiny_shapes.scenes import COLORS

CHECKOUT = Path(__file__).resolve().parents[1]
EXAMPLES = CHECKOUT / "examples"
IMAGES = CHECKOUT / "docs" / "images"

DrawnShape = tuple[str, str, float, float, float, float]
"""Color, kind, center x and y, longer side (px), rotation (degrees)."""

PAPER = (232, 234, 237)
OVERSAMPLING = 4

SCENE_HW = (420, 630)
SCENE: tuple[DrawnShape, ...] = (
    ("red", "circle", 121, 347, 83, 0),
    ("yellow", "circle", 422, 226, 82, 0),
    ("yellow", "square", 231, 266, 108, 9),
    ("red", "circle", 81, 65, 88, 0),
    ("red", "circle", 549, 122, 76, 0),
    ("red", "circle", 509, 343, 91, 0),
    ("blue", "star", 388, 115, 93, 2),
    ("yellow", "circle", 566, 248, 91, 0),
    ("yellow", "star", 52, 150, 89, -4),
    ("orange", "triangle", 84, 205, 90, -7),
    ("purple", "triangle", 284, 176, 76, -4),
    ("yellow", "square", 376, 336, 76, 18),
)
"""Found by trying: many alike, one behind another, all of which the bundled model finds."""

CROWD_HW = (1200, 1800)
CROWD_ROWS, CROWD_COLUMNS = 12, 18
CROWD_SEED = 7
CROWD_TRIES = {
    0: 1,
    2: 1,
    19: 1,
    20: 1,
    44: 2,
    45: 2,
    57: 1,
    58: 2,
    79: 1,
    94: 1,
    95: 1,
    118: 4,
    122: 2,
    123: 2,
    125: 1,
    130: 1,
    136: 3,
    151: 3,
    153: 2,
    171: 1,
    175: 1,
    183: 3,
    200: 2,
}
"""How often a place of the crowd was drawn again, until the bundled model drew its mask well."""

CLIP_HW = (360, 540)
CLIP_FRAMES = 60
CLIP_FPS = 12
GIF_WIDTH_PX = 540
GIF_COLORS = 96


def main() -> None:
    """Writes all pictures."""
    EXAMPLES.mkdir(exist_ok=True)
    Image.fromarray(draw_shapes(SCENE_HW, SCENE)).save(EXAMPLES / "scene.png", optimize=True)
    Image.fromarray(draw_crowd()).save(EXAMPLES / "crowd.png", optimize=True)
    with VideoWriter(EXAMPLES / "clip.mp4", CLIP_FPS) as writer:
        for frame in draw_clip():
            writer.write(frame)
    write_tracks(IMAGES / "tracks.gif")


def draw_shapes(
    hw: tuple[int, int], shapes: Sequence[DrawnShape], paper: tuple[int, int, int] = PAPER
) -> RgbImage:
    """Draws shapes with smooth edges on a light background, one over the other.

    Args:
        hw: Height and width, in pixels.
        shapes: What to draw, in this order.
        paper: Color of the background, which has a soft gradient.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    height, width = hw
    slope = np.linspace(4, -8, height)[:, None, None] + np.linspace(-4, 4, width)[None, :, None]
    ground = (np.array(paper) + slope).astype(np.float32)
    canvas = cv2.resize(ground, (width * OVERSAMPLING, height * OVERSAMPLING))
    for color, kind, x, y, extent_px, angle_deg in shapes:
        outline = make_outline_px(kind, extent_px, np.deg2rad(angle_deg)) + np.array([x, y])
        corners = np.rint(outline * OVERSAMPLING).astype(np.int32)
        cv2.fillPoly(canvas, [corners], tuple(map(float, COLORS[color])))
    drawn = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return np.clip(np.rint(drawn), 0, 255).astype(np.uint8)


def draw_crowd() -> RgbImage:
    """Draws 216 small shapes in loose rows."""
    height, width = CROWD_HW
    pitch = np.array([width / CROWD_COLUMNS, height / CROWD_ROWS])
    shapes = []
    for index in range(CROWD_ROWS * CROWD_COLUMNS):
        rng = np.random.default_rng((CROWD_SEED, index, CROWD_TRIES.get(index, 0)))
        row, column = divmod(index, CROWD_COLUMNS)
        x, y = (np.array([column, row]) + 0.5 + rng.uniform(-0.1, 0.1, 2)) * pitch
        color = str(rng.choice(["red", "green", "blue", "yellow", "purple", "orange"]))
        kind = str(rng.choice(["circle", "star", "square", "triangle"]))
        extent = float(rng.uniform(0.55, 0.7) * pitch.min())
        shapes.append((color, kind, float(x), float(y), extent, float(rng.uniform(-20, 20))))
    return draw_shapes(CROWD_HW, shapes)


def draw_clip() -> Iterator[RgbImage]:
    """Draws the frames of a clip: four shapes move, one passes behind another."""
    for t in np.linspace(0, 1, CLIP_FRAMES):
        swing = float(np.sin(2 * np.pi * t))
        yield draw_shapes(
            CLIP_HW,
            (
                ("blue", "circle", 70 + 400 * t, 173 + 10 * swing, 97, 0),
                ("yellow", "star", 270, 145, 94, 3.5 * swing),
                ("green", "square", 440 - 320 * t, 72 - 8 * swing, 96, 10 * swing),
                ("red", "triangle", 110 + 300 * t, 302 + 6 * swing, 92, -6 * swing),
            ),
        )


def write_tracks(path: Path) -> None:
    """Tracks the clip and writes an animated GIF of it."""
    engine = Engine.load("tiny_shapes", precision="float32", device="cpu")
    prompt = ConceptPrompt(("circle", "square", "star", "triangle"))
    tracks = track_video(engine, EXAMPLES / "clip.mp4", prompt)
    trails = Trails()
    pictures = []
    for frame, result in zip(VideoReader(EXAMPLES / "clip.mp4"), tracks, strict=True):
        trails.add(result)
        drawn = Image.fromarray(draw_result(frame, result, trails=trails.copy()))
        height = round(GIF_WIDTH_PX * drawn.height / drawn.width)
        pictures.append(drawn.resize((GIF_WIDTH_PX, height), Image.Resampling.LANCZOS))
    colors = pictures[len(pictures) // 2].quantize(GIF_COLORS)
    frames = [p.quantize(palette=colors, dither=Image.Dither.NONE) for p in pictures]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // CLIP_FPS, loop=0)
    print(
        tracks, "frames of each id:", dict(Counter(i.track_id for r in tracks for i in r.instances))
    )


if __name__ == "__main__":
    main()
