"""Draws random prompts on training samples, with the shapes that each should find."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .samples import Sample
from .scenes import COLORS, KINDS

ABSENT_WORDS = ("zebra", "truck", "shoe", "person", "car", "dog", "tree", "line", "house")
"""Words outside the vocabulary, trained to find nothing."""


@dataclasses.dataclass(frozen=True)
class ConceptPrompts:
    """Holds P concept prompts over the images of a batch.

    Attributes:
        image_index: (P,) int64.
        texts: P texts.
        exemplars: (E, P, 4) float32, normalized cxcywh.
        exemplar_labels: (E, P) bool, True for "like this".
        exemplar_padding: (P, E) bool, True where there is no exemplar.
        wanted: For each prompt, indices of the shapes it means.
    """

    image_index: Tensor
    texts: list[str]
    exemplars: Tensor
    exemplar_labels: Tensor
    exemplar_padding: Tensor
    wanted: list[list[int]]


def draw_concept_prompts(
    rng: np.random.Generator, samples: list[Sample], per_image: int, exemplar_share: float
) -> ConceptPrompts:
    """Draws text prompts, exemplar prompts and both together.

    Args:
        rng: Source of every random choice.
        samples: The images of the batch.
        per_image: Prompts for each image.
        exemplar_share: Share of the prompts with something to find that get exemplar boxes.

    Returns:
        ``len(samples) * per_image`` prompts.
    """
    texts, wanted, boxes, labels = [], [], [], []
    for sample in samples:
        for _ in range(per_image):
            text, chosen, exemplars = _draw_concept(rng, sample, exemplar_share)
            texts.append(text)
            wanted.append(chosen)
            boxes.append([_shake_box(rng, sample.cxcywh[i]) for i, _ in exemplars])
            labels.append([positive for _, positive in exemplars])
    most = max(len(b) for b in boxes)
    count = len(texts)
    exemplars_array = np.zeros((most, count, 4), np.float32)
    labels_array = np.zeros((most, count), bool)
    padding = np.ones((count, most), bool)
    for p, (prompt_boxes, prompt_labels) in enumerate(zip(boxes, labels, strict=True)):
        for e, (box, positive) in enumerate(zip(prompt_boxes, prompt_labels, strict=True)):
            exemplars_array[e, p], labels_array[e, p], padding[p, e] = box, positive, False
    return ConceptPrompts(
        image_index=torch.arange(len(samples)).repeat_interleave(per_image),
        texts=texts,
        exemplars=torch.from_numpy(exemplars_array),
        exemplar_labels=torch.from_numpy(labels_array),
        exemplar_padding=torch.from_numpy(padding),
        wanted=wanted,
    )


def _draw_concept(
    rng: np.random.Generator, sample: Sample, exemplar_share: float
) -> tuple[str, list[int], list[tuple[int, bool]]]:
    """Draws a text, the shapes it means, and exemplars as (shape, is it a positive one)."""
    shapes = range(len(sample.kinds))
    if rng.random() < 0.06:
        return str(rng.choice(ABSENT_WORDS)), [], []
    model = int(rng.integers(len(shapes)))
    color, kind = sample.colors[model], sample.kinds[model]
    # Colors are learned soon and shapes late, so most of what is absent has a color that is
    # there, and many prompts name a shape alone.
    if rng.random() < 0.22:
        kind = str(rng.choice(KINDS))
        if rng.random() < 0.3:
            color = str(rng.choice(list(COLORS)))
    form = rng.choice(3, p=[0.45, 0.4, 0.15])
    text = (f"{color} {kind}", kind, f"{color} shape")[form]
    wanted = [
        i
        for i in shapes
        if (form == 1 or sample.colors[i] == color) and (form == 2 or sample.kinds[i] == kind)
    ]
    if not wanted or rng.random() >= exemplar_share:
        return text, wanted, []
    return _draw_exemplars(rng, sample, text, wanted)


def _draw_exemplars(
    rng: np.random.Generator, sample: Sample, text: str, wanted: list[int]
) -> tuple[str, list[int], list[tuple[int, bool]]]:
    def twins(of: int, among: list[int]) -> list[int]:
        look = sample.colors[of], sample.kinds[of]
        return [i for i in among if (sample.colors[i], sample.kinds[i]) == look]

    exemplars: list[tuple[int, bool]] = []
    model = int(rng.choice(wanted))
    if rng.random() < 0.5:
        text, wanted = "visual", twins(model, list(range(len(sample.kinds))))
    if text == "visual" or rng.random() < 0.5:
        exemplars.append((model, True))
        if len(wanted) > 1 and rng.random() < 0.3:
            exemplars.append((int(rng.choice([i for i in wanted if i != model])), True))
    others = [i for i in range(len(sample.kinds)) if i not in twins(model, wanted)]
    if others and (not exemplars or rng.random() < 0.4):
        # A negative one that the text would not have meant anyway teaches little.
        meant = [i for i in others if i in wanted]
        unlike = int(rng.choice(meant or others))
        exemplars.append((unlike, False))
        unwanted = twins(unlike, wanted)
        wanted = [i for i in wanted if i not in unwanted]
    return text, wanted, exemplars


def _shake_box(
    rng: np.random.Generator, cxcywh: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    size = np.tile(cxcywh[2:], 2)
    return (cxcywh + rng.normal(0, 0.03, 4) * size).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class ObjectPrompts:
    """Holds P object prompts of one layout, so that none needs padding.

    Attributes:
        image_index: (P,) int64.
        coords: (P, K, 2) float32, xy in pixels of the model's input.
        labels: (P, K) int32: 0 background, 1 foreground, 2 and 3 the corners of a box.
        coverage: Wanted share of each mask-grid cell, (P, 1, M, M) float32.
    """

    image_index: Tensor
    coords: Tensor
    labels: Tensor
    coverage: Tensor


LAYOUTS: tuple[tuple[bool, int, int], ...] = (
    *[(False, 1, 0)] * 6,
    *[(True, 0, 0)] * 4,
    *[(False, 1, 1)] * 3,
    (False, 2, 0),
    (False, 2, 1),
    (False, 3, 2),
    (True, 1, 0),
    (True, 0, 1),
    (True, 1, 1),
)
"""Parts of an object prompt: (a box?, foreground points, background points)."""


def draw_object_prompts(
    rng: np.random.Generator, samples: list[Sample], per_image: int
) -> ObjectPrompts:
    """Draws object prompts of one random layout; a few single clicks hit the background.

    Args:
        rng: Source of every random choice.
        samples: The images of the batch.
        per_image: Prompts for each image.

    Returns:
        ``len(samples) * per_image`` prompts.
    """
    box, foreground, background = LAYOUTS[int(rng.integers(len(LAYOUTS)))]
    coords, coverage = [], []
    for sample in samples:
        side = sample.image.shape[-1]
        nothing = ~sample.masks.any(axis=0)
        for _ in range(per_image):
            i = int(rng.integers(len(sample.masks)))
            target, target_coverage = sample.masks[i], sample.coverage[i]
            if (box, foreground, background) == (False, 1, 0) and rng.random() < 0.06:
                target, target_coverage = nothing, 1 - sample.coverage.sum(axis=0).clip(0, 1)
            others = sample.masks.any(axis=0) & ~target
            corners: list[npt.NDArray[np.float64]] = []
            if box:
                cxcywh = sample.cxcywh[i] * side
                xyxy = np.concatenate([cxcywh[:2] - cxcywh[2:] / 2, cxcywh[:2] + cxcywh[2:] / 2])
                xyxy = xyxy + rng.normal(0, 0.015, 4) * np.tile(cxcywh[2:], 2)
                corners = [xyxy[:2], xyxy[2:]]
            inside = [_draw_point(rng, target) for _ in range(foreground)]
            outside = [
                _draw_point(rng, others if others.any() and rng.random() < 0.7 else ~target)
                for _ in range(background)
            ]
            coords.append(np.stack([*corners, *inside, *outside]))
            coverage.append(target_coverage)
    labels = [2, 3] * box + [1] * foreground + [0] * background
    return ObjectPrompts(
        image_index=torch.arange(len(samples)).repeat_interleave(per_image),
        coords=torch.from_numpy(np.stack(coords).astype(np.float32)),
        labels=torch.tensor(labels, dtype=torch.int32).repeat(len(coords), 1),
        coverage=torch.from_numpy(np.stack(coverage))[:, None],
    )


def _draw_point(rng: np.random.Generator, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    # A shape can vanish at the smallest side; any click will do then.
    inside = np.flatnonzero(mask if mask.any() else ~mask)
    y, x = divmod(int(rng.choice(inside)), mask.shape[1])
    return np.array([x, y], np.float64)
