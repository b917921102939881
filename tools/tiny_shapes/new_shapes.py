"""Draws data sets with two concepts that ``tiny_shapes`` does not know, to fine-tune it on.

Color and kind of both are new. Other shapes have the one or the other, so that neither suffices.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .data_set import ANNOTATIONS, write_data_set
from .painting import Pixels, draw_random_hw, rasterize
from .scenes import COLORS, EXTENT_RANGE, KINDS, Canvas, Scene, Shape, draw_scene

CONCEPTS = {"cyan hexagon": ("cyan", "hexagon"), "pink ring": ("pink", "ring")}
NEW_COLORS = {"cyan": (0, 210, 220), "pink": (245, 130, 180)}
NEW_KINDS = ("hexagon", "ring")
KNOWN = (*KINDS, "red shape", "blue circle", "green square", "yellow star")
ABSENT = "zebra"
RING_HOLE = 0.55
"""Radius of a ring's hole, as a share of the ring's."""

SIDES_PX = (200, 640)
FIRST_TRAIN, FIRST_VAL, FIRST_TEST, FIRST_KNOWN = 50_000, 51_000, 52_000, 9_000


def draw_new_scene(rng: np.random.Generator) -> Scene:
    """Draws a scene with some of the new concepts, and others that look partly like them."""
    canvas = Canvas(rng, draw_random_hw(rng, SIDES_PX, 2.0))
    wanted: list[tuple[str, str]] = []
    for look in CONCEPTS.values():
        if rng.random() < 0.6:
            wanted += [look] * int(rng.integers(1, 4))
    for _ in range(int(rng.integers(1, 5))):
        kind = rng.random()
        colors = NEW_COLORS if 0.6 <= kind < 0.8 else COLORS
        kinds = NEW_KINDS if kind >= 0.8 else KINDS
        wanted.append((str(rng.choice(list(colors))), str(rng.choice(kinds))))
    for index in rng.permutation(len(wanted)):
        color, shape = wanted[int(index)]
        if shape in KINDS:
            pixels = canvas.find_free_place(shape, EXTENT_RANGE)
        else:
            pixels = _find_free_place(rng, canvas, shape)
        if pixels is not None and pixels.inside.any():
            canvas.add(color, shape, pixels, NEW_COLORS.get(color))
    return canvas.scene()


def _find_free_place(rng: np.random.Generator, canvas: Canvas, kind: str) -> Pixels | None:
    height, width = canvas.image_hw
    corners = 6 if kind == "hexagon" else 64
    for _ in range(20):
        radius = rng.uniform(*EXTENT_RANGE) * min(height, width) / 2
        angles = rng.uniform(0, 2 * np.pi) + np.arange(corners) * 2 * np.pi / corners
        center = rng.uniform([radius, radius], [width - radius, height - radius])
        outline = np.stack([np.cos(angles), np.sin(angles)], 1) * radius + center
        pixels = rasterize(outline, canvas.image_hw)
        if pixels is None or not canvas.is_free(pixels):
            continue
        if kind == "ring":
            ys, xs = np.mgrid[pixels.window[0], pixels.window[1]]
            distance = np.hypot(xs + 0.5 - center[0], ys + 0.5 - center[1])
            return Pixels(pixels.inside & (distance > RING_HOLE * radius), pixels.window)
        return pixels
    return None


def is_meant(name: str, shape: Shape) -> bool:
    """Tells whether a new concept means a shape."""
    return CONCEPTS.get(name) == (shape.color, shape.kind)


def is_known(name: str, shape: Shape) -> bool:
    """Tells whether a phrase of the vocabulary means a shape."""
    color, _, kind = name.rpartition(" ")
    return kind in (shape.kind, "shape") and color in (shape.color, "")


def draw_new_data(
    folder: Path, train: int = 40, val: int = 20, test: int = 60, known: int = 60
) -> dict[str, Path]:
    """Draws all sets of an experiment.

    Args:
        folder: Where to write.
        train: Images for training.
        val: Images to choose the best adapter by.
        test: Images to score it on.
        known: Images of what was known, without anything new.

    Returns:
        The COCO file of each set.
    """
    concepts: Sequence[str] = tuple(CONCEPTS)
    write = functools.partial(write_data_set, names=concepts, draw=draw_new_scene, means=is_meant)
    for name, first, count in (
        ("train", FIRST_TRAIN, train),
        ("val", FIRST_VAL, val),
        ("test", FIRST_TEST, test),
    ):
        write(folder / name, range(first, first + count))
    write_data_set(
        folder / "known",
        range(FIRST_KNOWN, FIRST_KNOWN + known),
        (*KNOWN, ABSENT, *concepts),
        lambda rng: draw_scene(rng, SIDES_PX),
        is_known,
    )
    return {name: folder / name / ANNOTATIONS for name in ("train", "val", "test", "known")}
