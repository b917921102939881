"""Makes training samples of scenes, and a pool to draw batches from."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.transforms import v2

from .crowds import draw_crowd
from .scenes import Scene, cut_window, draw_scene

TRAIN_SIDE_RANGE_PX = (200, 640)

CROWDED_SHARE = 0.2
"""Share of scenes that look like a tile of a crowded image: many shapes, some cut off."""

CROWDED_COUNT_RANGE = (8, 24)
CROWDED_EXTENT_RANGE = (0.08, 0.24)
CROWDED_WINDOW = 0.62
"""Side of the tile, as a share of the crowded image's side: its shapes are then as large
beside the tile as those of any other scene."""


Seed = int | tuple[int, ...]
"""What NumPy takes as a seed."""

LIKE_SHARE = 0.3
"""Share of scenes with several shapes of one color and kind, unless a stage has its own."""

LIKE_COUNT_RANGE = (3, 25)
LIKE_EXTENT_RANGE = (0.07, 0.30)


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
    """

    image: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    coverage: npt.NDArray[np.float32]
    cxcywh: npt.NDArray[np.float32]
    colors: tuple[str, ...]
    kinds: tuple[str, ...]

    def mirror(self) -> Sample:
        """Returns the same scene, left and right swapped."""
        cxcywh = self.cxcywh.copy()
        cxcywh[:, 0] = 1 - cxcywh[:, 0]
        return dataclasses.replace(
            self,
            image=self.image[..., ::-1],
            masks=self.masks[..., ::-1],
            coverage=self.coverage[..., ::-1],
            cxcywh=cxcywh,
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
    image = v2.functional.resize(
        torch.from_numpy(scene.image).permute(2, 0, 1), [side, side]
    ).numpy()
    resized = [
        tuple(
            cv2.resize(shape.mask.astype(np.float32), (n, n), interpolation=cv2.INTER_AREA)
            for n in (side, mask_side)
        )
        for shape in scene.shapes
    ]
    xyxy = np.stack([s.xyxy for s in scene.shapes]) / [width, height, width, height]
    return Sample(
        image=image,
        masks=np.stack([r[0] > 0.5 for r in resized]),
        coverage=np.stack([r[1] for r in resized]),
        cxcywh=np.concatenate(
            [(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], axis=1
        ).astype(np.float32),
        colors=tuple(s.color for s in scene.shapes),
        kinds=tuple(s.kind for s in scene.shapes),
    )


class SamplePool:
    """Draws samples as they are needed; uses each a few times before it is dropped."""

    def __init__(
        self,
        seed: Seed,
        side: int,
        mask_side: int,
        capacity: int,
        fresh: float,
        like_share: float = LIKE_SHARE,
    ) -> None:
        """Creates an empty pool.

        Args:
            seed: Seed of everything this pool draws.
            side: S, side of the model's input in pixels.
            mask_side: M, side of the mask grid in cells.
            capacity: Samples kept.
            fresh: Share of a batch that is newly drawn.
            like_share: Share of scenes with several shapes of one color and kind.
        """
        self.rng = np.random.default_rng(seed)
        self._side, self._mask_side = side, mask_side
        self._capacity, self._fresh, self._like_share = capacity, fresh, like_share
        self._kept: list[Sample] = []

    def batch(self, size: int) -> list[Sample]:
        """Returns ``size`` samples, new ones or some of the pool."""
        return [self._draw() for _ in range(size)]

    def _draw(self) -> Sample:
        if len(self._kept) < 16 or self.rng.random() < self._fresh:
            # Everything the held-out scenes have, sizes apart: shapes are as large relative
            # to the model's square in a small image as in a large one, and draw faster.
            sample = squeeze(self._new_scene(), self._side, self._mask_side)
            if len(self._kept) < self._capacity:
                self._kept.append(sample)
            else:
                self._kept[int(self.rng.integers(self._capacity))] = sample
        else:
            sample = self._kept[int(self.rng.integers(len(self._kept)))]
        return sample.mirror() if self.rng.random() < 0.5 else sample

    def _new_scene(self) -> Scene:
        if self.rng.random() < self._like_share:
            most = LIKE_COUNT_RANGE[1] if self.rng.random() < 0.4 else 8
            count_range = LIKE_COUNT_RANGE[0], most
            return draw_crowd(self.rng, count_range, TRAIN_SIDE_RANGE_PX, LIKE_EXTENT_RANGE)
        if self.rng.random() < CROWDED_SHARE:
            return _draw_crowded(self.rng)
        return draw_scene(self.rng, TRAIN_SIDE_RANGE_PX)


def _draw_crowded(rng: np.random.Generator) -> Scene:
    """Draws a part of a scene with many shapes; its border cuts some of them."""
    while True:
        scene = draw_scene(
            rng, TRAIN_SIDE_RANGE_PX, CROWDED_COUNT_RANGE, extent_range=CROWDED_EXTENT_RANGE
        )
        hw = np.array(scene.image.shape[:2])
        size = np.ceil(hw * CROWDED_WINDOW).astype(int)
        top, left = rng.integers(0, hw - size + 1).tolist()
        part = cut_window(scene, (left, top, left + int(size[1]), top + int(size[0])))
        if part.shapes:
            return part


def make_images_tensor(samples: list[Sample]) -> Tensor:
    """Makes the model's input tensor from samples.

    Args:
        samples: B samples.

    Returns:
        (B, 3, S, S) float32 in -1..1, normalized as in ``Sam3Processor``.
    """
    stacked = torch.from_numpy(np.stack([np.ascontiguousarray(s.image) for s in samples]))
    return stacked.float().div_(127.5).sub_(1)
