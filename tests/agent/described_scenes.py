"""Ten scenes with a description each, and what it means there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from infer_segment_anything_3.agent import AgentResult, Chat, find_described
from infer_segment_anything_3.tests.helpers import compute_iou
from infer_segment_anything_3.tools.tiny_shapes.scenes import Canvas, Scene, Shape

Choose = Callable[[list[Shape]], list[Shape]]

LEFT, TOP = 0, 1
SEED = 300


def by_place(axis: int) -> Callable[[Shape], float]:
    return lambda shape: float(shape.xyxy[axis] + shape.xyxy[axis + 2])


def by_area(shape: Shape) -> float:
    return float(shape.crop.sum())


CASES: tuple[tuple[str, str, Choose], ...] = (
    ("the leftmost red circle", "red circle", lambda s: sorted(s, key=by_place(LEFT))[:1]),
    ("the rightmost blue square", "blue square", lambda s: sorted(s, key=by_place(LEFT))[-1:]),
    ("the topmost green star", "green star", lambda s: sorted(s, key=by_place(TOP))[:1]),
    ("the lowest yellow triangle", "yellow triangle", lambda s: sorted(s, key=by_place(TOP))[-1:]),
    ("the largest purple circle", "purple circle", lambda s: sorted(s, key=by_area)[-1:]),
    ("the smallest orange square", "orange square", lambda s: sorted(s, key=by_area)[:1]),
    (
        "the second red square from the left",
        "red square",
        lambda s: sorted(s, key=by_place(LEFT))[1:2],
    ),
    (
        "the second blue circle from the bottom",
        "blue circle",
        lambda s: sorted(s, key=by_place(TOP))[-2:-1],
    ),
    (
        "all but the leftmost green square",
        "green square",
        lambda s: sorted(s, key=by_place(LEFT))[1:],
    ),
    ("every red star", "red star", list),
)


def draw(index: int, phrase: str) -> Scene:
    """Draws three shapes of a phrase, of different sizes and places, and one of another color.

    The seeds give scenes on which the bundled model finds what there is: they ask about the
    language model.
    """
    color, _, kind = phrase.partition(" ")
    canvas = Canvas(np.random.default_rng(SEED + index), (480, 640))
    other = "white" if color != "white" else "black"
    for own, extent in (((color, kind), 0.3), ((color, kind), 0.24), ((color, kind), 0.18)):
        pixels = canvas.find_free_place(kind, (extent, extent))
        assert pixels is not None
        canvas.add(*own, pixels)
    pixels = canvas.find_free_place(kind, (0.2, 0.2))
    if pixels is not None:
        canvas.add(other, kind, pixels)
    return canvas.scene()


def count_right(engine: Any, chat: Chat) -> tuple[int, list[str]]:
    """Runs all scenes; gives how many were resolved exactly, and a line for each."""
    right, lines = 0, []
    for index, (description, phrase, choose) in enumerate(CASES):
        scene = draw(index, phrase)
        result = find_described(engine, scene.image, description, chat)
        is_right = holds_exactly(result, choose(scene.find_matching(phrase)))
        right += is_right
        lines.append(f"{'right' if is_right else 'wrong'}: {description}: {result.status}")
    return right, lines


def holds_exactly(result: AgentResult, shapes: Sequence[Shape]) -> bool:
    masks = [instance.mask.full() for instance in result.result.instances]
    return len(masks) == len(shapes) and all(
        any(compute_iou(mask, shape.mask) > 0.8 for mask in masks) for shape in shapes
    )
