"""Draws random prompts on training samples, with the shapes that each should find."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...training.concept_route import PromptBatch, pack_exemplars
from .samples import Sample
from .scenes import COLORS, KINDS

ABSENT_WORDS = ("zebra", "truck", "shoe", "person", "car", "dog", "tree", "line", "house")
"""Words outside the vocabulary, trained to find nothing."""

ANYWHERE_SHARE = 0.25
"""Share of the exemplars of another image that need not look like anything in this one."""

MOST_TRIES = 8


@dataclasses.dataclass(frozen=True)
class ConceptPrompts(PromptBatch):
    """Holds P concept prompts over the images of a batch.

    Attributes:
        wanted: For each prompt, indices of the shapes it means.
    """

    wanted: list[list[int]]


def draw_concept_prompts(
    rng: np.random.Generator,
    samples: list[Sample],
    per_image: int,
    exemplar_share: float,
    elsewhere_share: float = 0.0,
) -> ConceptPrompts:
    """Draws text prompts, exemplar prompts and both together.

    Args:
        rng: Source of every random choice.
        samples: The images of the batch.
        per_image: Prompts for each image.
        exemplar_share: Share of the prompts with something to find that get exemplar boxes.
        elsewhere_share: Share of those whose boxes lie in another image of the batch.

    Returns:
        ``len(samples) * per_image`` prompts.
    """
    texts, wanted, sources, boxes, labels = [], [], [], [], []
    for index, sample in enumerate(samples):
        for _ in range(per_image):
            text, chosen = _draw_text(rng, sample)
            source = index
            exemplars: list[tuple[int, bool]] = []
            if chosen and rng.random() < exemplar_share:
                if rng.random() < elsewhere_share:
                    source = _choose_source(rng, samples, index, chosen)
                text, chosen, exemplars = _draw_exemplars(
                    rng, sample, samples[source], text, chosen
                )
            texts.append(text)
            wanted.append(chosen)
            sources.append(source)
            boxes.append([_shake_box(rng, samples[source].cxcywh[i]) for i, _ in exemplars])
            labels.append([positive for _, positive in exemplars])
    return ConceptPrompts(
        image_index=torch.arange(len(samples)).repeat_interleave(per_image),
        exemplar_index=torch.tensor(sources),
        texts=texts,
        **pack_exemplars(boxes, labels),
        wanted=wanted,
    )


def _draw_text(rng: np.random.Generator, sample: Sample) -> tuple[str, list[int]]:
    """Draws a text that means no unsure shape, and the shapes that it means."""
    for _ in range(MOST_TRIES):
        if rng.random() < 0.06:
            break
        model = int(rng.integers(len(sample.looks)))
        color, kind = sample.looks[model]
        # Colors are learned soon and shapes late, so most of what is absent has a color that is
        # there, and many prompts name a shape alone.
        if rng.random() < 0.22:
            kind = str(rng.choice(KINDS))
            if rng.random() < 0.3:
                color = str(rng.choice(list(COLORS)))
        form = int(rng.choice(3, p=[0.45, 0.4, 0.15]))
        text = (f"{color} {kind}", kind, f"{color} shape")[form]
        colors, kinds = COLORS if form == 1 else {color}, KINDS if form == 2 else {kind}
        if not any(c in colors and k in kinds for c, k in sample.unsure):
            looks = enumerate(sample.looks)
            return text, [i for i, (c, k) in looks if c in colors and k in kinds]
    return str(rng.choice(ABSENT_WORDS)), []


def _choose_source(
    rng: np.random.Generator, samples: list[Sample], own: int, wanted: list[int]
) -> int:
    """Chooses another image with a shape that looks like a wanted one, or at times any other.

    Returns:
        Its index, or ``own`` where there is none.
    """
    looks = {samples[own].looks[i] for i in wanted}
    others = [i for i in range(len(samples)) if i != own]
    if rng.random() >= ANYWHERE_SHARE:
        others = [i for i in others if looks & set(samples[i].looks)]
    return int(rng.choice(others)) if others else own


def _draw_exemplars(
    rng: np.random.Generator, sample: Sample, source: Sample, text: str, wanted: list[int]
) -> tuple[str, list[int], list[tuple[int, bool]]]:
    """Draws exemplars for shapes that a text means.

    Args:
        rng: Source of every random choice.
        sample: The image to search.
        source: The image with the exemplars, perhaps the same.
        text: The text.
        wanted: Indices of the shapes of ``sample`` that it means.

    Returns:
        The text that goes with the exemplars, the shapes of ``sample`` that both mean, and the
        exemplars, each as the index of a shape of ``source`` and whether it is a positive one.
    """
    # An example of what is unsure in the image has no right answer.
    usable = [i for i in np.flatnonzero(source.is_clear) if source.looks[i] not in sample.unsure]
    meant = _find_looks(source, {sample.looks[i] for i in wanted}, usable)
    if not usable:
        return text, wanted, []
    exemplars: list[tuple[int, bool]] = []
    model = int(rng.choice(meant or usable))
    look = source.looks[model]
    if not meant or rng.random() < 0.5:
        text, wanted = "visual", _find_looks(sample, {look}, range(len(sample.looks)))
        meant = _find_looks(source, {look}, usable)
    if text == "visual" or rng.random() < 0.5:
        exemplars.append((model, True))
        if len(meant) > 1 and rng.random() < 0.3:
            exemplars.append((int(rng.choice([i for i in meant if i != model])), True))
    others = [i for i in usable if source.looks[i] != look]
    if others and (not exemplars or rng.random() < 0.4):
        # A negative one that the text would not have meant anyway teaches little.
        unlike = int(rng.choice([i for i in others if i in meant] or others))
        exemplars.append((unlike, False))
        wanted = [i for i in wanted if sample.looks[i] != source.looks[unlike]]
    return text, wanted, exemplars


def _find_looks(sample: Sample, looks: set[tuple[str, str]], among: Iterable[int]) -> list[int]:
    """Finds the shapes of a sample that have one of the given looks, among some of its shapes."""
    return [int(i) for i in among if sample.looks[i] in looks]


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
