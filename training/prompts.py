"""Draws the prompts of a training step: what is learned, what stays known, what is absent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .concept_route import PromptBatch, pack_exemplars
from .losses import Targets, pack_targets

EXEMPLAR_SHARE = 0.15
"""Share of the prompts with objects that get one of them as an exemplar box."""

VISUAL_SHARE = 0.5
"""Share of those that have no text: the model's own word for exemplars alone stands there."""

VISUAL = "visual"
ABSENT_SHARE = 0.5
"""Share of the second prompts of an image that ask for a concept that is not in it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """A phrase with the objects that it means in an image.

    Attributes:
        text: The phrase.
        targets: What it should find.
    """

    text: str
    targets: Targets


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingImage:
    """An image with all that it may be asked.

    Attributes:
        key: Name of its encoded form.
        pixels: (3, S, S) uint8; None where the encoded form is used.
        own: Concepts of the user that are in the image.
        own_absent: Those that are not in it, and would have been labeled.
        anchors: What the base model answered surely.
        absent: Phrases for which it found nothing.
    """

    key: str
    pixels: Tensor | None
    own: tuple[Answer, ...]
    own_absent: tuple[str, ...]
    anchors: tuple[Answer, ...] = ()
    absent: tuple[str, ...] = ()

    def mirror(self, key: str, pixels: Tensor | None) -> TrainingImage:
        """Returns it with left and right swapped."""

        def swap(answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
            return tuple(Answer(a.text, a.targets.mirror()) for a in answers)

        return dataclasses.replace(
            self, key=key, pixels=pixels, own=swap(self.own), anchors=swap(self.anchors)
        )


@dataclasses.dataclass(frozen=True)
class PromptCounts:
    """Bounds the prompts of an image in a step.

    Attributes:
        own: Most that ask for the user's concepts.
        anchors: That ask for what the base model knew.
        negatives: That ask for what is absent.
    """

    own: int = 2
    anchors: int = 1
    negatives: int = 1

    @property
    def total(self) -> int:
        """Most prompts of an image."""
        return self.own + self.anchors + self.negatives


def draw_prompts(
    rng: np.random.Generator, image: TrainingImage, counts: PromptCounts
) -> list[Answer]:
    """Draws the prompts of an image; at least one where it may be asked anything."""

    def pick(values: Sequence[Any], count: int) -> list[Any]:
        chosen = rng.permutation(len(values))[:count]
        return [values[int(i)] for i in chosen]

    side = _find_mask_side(image)
    drawn = pick(image.own, 1)
    for _ in range(counts.own - len(drawn)):
        present = [a for a in image.own if a not in drawn]
        if image.own_absent and (not present or rng.random() < ABSENT_SHARE):
            drawn += [make_absent(text, side) for text in pick(image.own_absent, 1)]
        else:
            drawn += pick(present, 1)
    drawn += pick(image.anchors, counts.anchors)
    absent = [*image.absent, *([] if image.absent else image.own_absent)]
    drawn += [make_absent(text, side) for text in pick(absent, counts.negatives)]
    texts = {a.text: a for a in drawn}
    return list(texts.values())


def _find_mask_side(image: TrainingImage) -> int:
    answers = (*image.own, *image.anchors)
    return int(answers[0].targets.masks.shape[-1]) if answers else 1


def make_absent(text: str, mask_side: int) -> Answer:
    """Makes the answer to a phrase that means nothing in an image."""
    return Answer(
        text,
        Targets(
            np.zeros((0, 4), np.float32),
            np.zeros((0, mask_side, mask_side), bool),
            np.zeros(0, bool),
        ),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Item:
    """An image of a step with its prompts.

    Attributes:
        image: The image.
        prompts: What it is asked.
        exemplars: For each prompt its exemplar boxes, (4,) float32, normalized cxcywh.
    """

    image: TrainingImage
    prompts: list[Answer]
    exemplars: list[list[Any]]


class StepDataSet(Dataset[Item]):
    """Draws item ``i`` of a run from the seed and ``i`` alone, so that a run can be continued.

    Every image comes once in each round over all of them, in an order of its own.
    """

    def __init__(
        self, images: Sequence[TrainingImage], counts: PromptCounts, length: int, seed: int
    ) -> None:
        """Stores what to draw from.

        Args:
            images: The images.
            counts: Bounds of the prompts.
            length: Items of the whole run.
            seed: Of all random choices.
        """
        self.images = [image for image in images if draw_prompts(_seed(0), image, counts)]
        self._counts, self._length, self._seed = counts, length, seed

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Item:
        round_index, place = divmod(index, len(self.images))
        order = _seed(self._seed, 0, round_index).permutation(len(self.images))
        image = self.images[int(order[place])]
        rng = _seed(self._seed, 1, index)
        prompts, exemplars = [], []
        for answer in draw_prompts(rng, image, self._counts):
            boxes = []
            if len(answer.targets.cxcywh) and rng.random() < EXEMPLAR_SHARE:
                box = answer.targets.cxcywh[int(rng.integers(len(answer.targets.cxcywh)))]
                boxes = [(box + rng.normal(0, 0.03, 4) * np.tile(box[2:], 2)).astype(np.float32)]
                if rng.random() < VISUAL_SHARE:
                    answer = dataclasses.replace(answer, text=VISUAL)
            prompts.append(answer)
            exemplars.append(boxes)
        return Item(image, prompts, exemplars)


def _seed(*numbers: int) -> np.random.Generator:
    return np.random.default_rng(numbers)


def collate(items: Sequence[Item], read: Any) -> Mapping[str, Any]:
    """Joins items to what :class:`.task.ConceptTask` takes.

    Args:
        items: B items.
        read: Gives the (C, h, w) features, or the (3, S, S) pixels, of an image.

    Returns:
        ``images`` (B, ...), ``prompts`` and ``targets`` of all prompts, those with masks first,
        then those with boxes alone, then the absent ones; ``masked`` says how many of them get
        masks.
    """
    flat = [
        (index, answer, boxes)
        for index, item in enumerate(items)
        for answer, boxes in zip(item.prompts, item.exemplars, strict=True)
    ]
    flat.sort(key=lambda row: (not row[1].targets.has_mask.any(), not len(row[1].targets.cxcywh)))
    side = max(answer.targets.masks.shape[-1] for _, answer, _ in flat)
    targets = [_fit_empty(answer.targets, side) for _, answer, _ in flat]
    index = torch.tensor([row[0] for row in flat])
    found = sum(bool(len(t.cxcywh)) for t in targets)
    return {
        "images": torch.stack([read(item.image) for item in items]),
        "prompts": PromptBatch(
            image_index=index,
            exemplar_index=index,
            texts=[row[1].text for row in flat],
            **pack_exemplars([row[2] for row in flat], [[True] * len(row[2]) for row in flat]),
        ),
        "targets": pack_targets(targets),
        "masked": found if any(t.has_mask.any() for t in targets) else 0,
    }


def _fit_empty(targets: Targets, side: int) -> Targets:
    """Gives targets without objects the mask grid of the others."""
    if len(targets.cxcywh):
        return targets
    return dataclasses.replace(targets, masks=np.zeros((0, side, side), bool))
