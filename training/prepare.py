"""Turns images with annotations into what a training step draws from; encodes them once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..engine.model.config import Architecture
from ..engine.model.sam3_imports import Sam3Image
from ..labeling.coco import CocoAnnotation
from .anchors import AnchorFinder
from .data import Concepts, SourceImage
from .features import FeatureFolder, encode_trunk, hash_pixels
from .images import compute_coverage, resize_image
from .losses import Targets
from .prompts import Answer, TrainingImage


@dataclasses.dataclass(frozen=True)
class Preparation:
    """Holds what images are prepared with.

    Attributes:
        model: The base model.
        architecture: Its sizes.
        folder: Where encoded images lie.
        weights: Identity of the weights.
        device: Where the model is.
        anchors: Asks the base model; None for no anchors and no absent words.
        with_pixels: Whether the image encoder is trained, so that pixels are needed.
        mirror: Whether each image comes mirrored, too.
    """

    model: Sam3Image
    architecture: Architecture
    folder: FeatureFolder
    weights: str
    device: torch.device
    anchors: AnchorFinder | None
    with_pixels: bool
    mirror: bool


def prepare_images(
    images: Sequence[SourceImage],
    concepts: Concepts,
    how: Preparation,
    on_image: Callable[[int, int], None],
) -> list[TrainingImage]:
    """Prepares images for training.

    Args:
        images: The images.
        concepts: What is learned.
        how: The model, and what is asked.
        on_image: Called with the number of images done, and of all.

    Returns:
        Each image, and behind it itself mirrored.
    """
    side = how.architecture.image_size
    copies = 2 if how.mirror else 1
    how.folder.check_space(copies * len(images), how.model, side)
    prepared = []
    for done, image in enumerate(images, 1):
        pixels = resize_image(image.read_pixels(), side)
        own, own_absent = _find_own(image, concepts, how.architecture.mask_side)
        key = _encode(pixels, how)
        anchors, absent = how.anchors.find(key) if how.anchors is not None else ((), ())
        known = {phrase.casefold() for phrase in concepts.phrases.values()}
        plain = TrainingImage(
            key,
            pixels if how.with_pixels else None,
            own,
            own_absent,
            tuple(a for a in anchors if a.text.casefold() not in known),
            tuple(text for text in absent if text.casefold() not in known),
        )
        prepared.append(plain)
        if how.mirror:
            flipped = pixels.flip(-1)
            kept = flipped if how.with_pixels else None
            prepared.append(plain.mirror(_encode(flipped, how), kept))
        on_image(done, len(images))
    return prepared


@torch.no_grad()
def _encode(pixels: Tensor, how: Preparation) -> str:
    key = hash_pixels(pixels, how.weights)
    if not how.folder.has(key):
        how.folder.write(key, encode_trunk(how.model, pixels[None].to(how.device))[0])
    return key


def _find_own(
    image: SourceImage, concepts: Concepts, mask_side: int
) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
    """Finds the user's concepts in an image, and those that are absent."""
    by_concept: dict[int, list[CocoAnnotation]] = {number: [] for number in concepts.phrases}
    crowded = set()
    for annotation in image.annotations:
        if annotation.is_crowd:
            crowded.add(annotation.category_id)
        else:
            by_concept[annotation.category_id].append(annotation)
    unsure = crowded | concepts.not_exhaustive
    own, absent = [], []
    for number, phrase in concepts.phrases.items():
        if by_concept[number]:
            targets = _make_targets(by_concept[number], image.hw, mask_side, number not in unsure)
            own.append(Answer(phrase, targets))
        elif number not in unsure:
            absent.append(phrase)
    return tuple(own), tuple(absent)


def _make_targets(
    annotations: Sequence[CocoAnnotation], hw: tuple[int, int], mask_side: int, exhaustive: bool
) -> Targets:
    xyxy = np.array([a.box_xyxy for a in annotations]) / np.tile(hw[::-1], 2)
    xyxy = xyxy.clip(0, 1)
    cxcywh = np.concatenate([(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], 1)
    masks = np.zeros((len(annotations), mask_side, mask_side), bool)
    for index, annotation in enumerate(annotations):
        if annotation.mask is not None:
            masks[index] = compute_coverage(annotation.decode_mask(hw), mask_side) > 0.5
    return Targets.make(cxcywh.astype(np.float32), masks, exhaustive)
