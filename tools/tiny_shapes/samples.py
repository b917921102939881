"""Makes training samples of scenes."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...training.images import compute_coverage, normalize_images, resize_image
from .scenes import Scene

Seed = int | tuple[int, ...]
"""What NumPy takes as a seed."""

_Item = TypeVar("_Item")


@dataclasses.dataclass(frozen=True)
class Sample:
    """Holds a scene resized to the model's square.

    Attributes:
        image: (3, S, S) uint8.
        masks: Visible pixels of each shape, (N, S, S) bool.
        coverage: Share of each mask-grid cell a shape covers, (N, M, M) float32.
        cxcywh: Boxes, normalized to 0..1, (N, 4) float32.
        colors: Color of each shape.
        kinds: Kind of each shape.
        is_clear: Whether enough of each shape is visible for it to be an exemplar, (N,) bool.
        unsure: Looks of further shapes that are hardly visible: a prompt that means one of them
            has no right answer.
        features: The image as the frozen image encoder sees it, if there is one: feature maps,
            each (C, h, w) float16.
    """

    image: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    coverage: npt.NDArray[np.float32]
    cxcywh: npt.NDArray[np.float32]
    colors: tuple[str, ...]
    kinds: tuple[str, ...]
    is_clear: npt.NDArray[np.bool_]
    unsure: frozenset[tuple[str, str]] = frozenset()
    features: tuple[Tensor, ...] | None = None

    @property
    def looks(self) -> tuple[tuple[str, str], ...]:
        """Color and kind of each shape."""
        return tuple(zip(self.colors, self.kinds, strict=True))

    def mirror(self) -> Sample:
        """Returns the same scene, left and right swapped, without features."""
        cxcywh = self.cxcywh.copy()
        cxcywh[:, 0] = 1 - cxcywh[:, 0]
        return dataclasses.replace(
            self,
            image=self.image[..., ::-1],
            masks=self.masks[..., ::-1],
            coverage=self.coverage[..., ::-1],
            cxcywh=cxcywh,
            features=None,
        )


def squeeze(scene: Scene, side: int, mask_side: int) -> Sample:
    """Resizes a scene the way ``Sam3Processor`` does.

    Args:
        scene: A drawn scene.
        side: S, side of the model's input in pixels.
        mask_side: M, side of the mask grid in cells.

    Returns:
        The sample.
    """
    height, width = scene.image.shape[:2]
    masks = [shape.mask for shape in scene.shapes]
    xyxy = np.stack([s.xyxy for s in scene.shapes]) / [width, height, width, height]
    return Sample(
        image=resize_image(scene.image, side).numpy(),
        masks=np.stack([compute_coverage(mask, side) > 0.5 for mask in masks]),
        coverage=np.stack([compute_coverage(mask, mask_side) for mask in masks]),
        cxcywh=np.concatenate(
            [(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], axis=1
        ).astype(np.float32),
        colors=tuple(s.color for s in scene.shapes),
        kinds=tuple(s.kind for s in scene.shapes),
        is_clear=np.ones(len(scene.shapes), bool),
    )


def keep_at_most(rng: np.random.Generator, kept: list[_Item], item: _Item, most: int) -> None:
    """Adds an item to a list; a random one makes room for it where the list has ``most``."""
    if len(kept) < most:
        kept.append(item)
    else:
        kept[int(rng.integers(most))] = item


def make_images_tensor(samples: list[Sample]) -> Tensor:
    """Makes the model's input tensor from samples.

    Args:
        samples: B samples.

    Returns:
        (B, 3, S, S) float32 in -1..1, normalized as in ``Sam3Processor``.
    """
    stacked = torch.from_numpy(np.stack([np.ascontiguousarray(s.image) for s in samples]))
    return normalize_images(stacked)
