"""Makes training samples of clips: frames with the image encoder's features."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.transforms import v2

from ...engine.model.sam3_imports import Sam3Image
from .clips import CLIP_FRAMES, Frame
from .random_clips import draw_clip
from .samples import Seed

TRAIN_SIDE_RANGE_PX = (320, 480)
TRAIN_LIKE_SHARE = 0.8
STRIDES = (1, 1, 1, 2, 2, 3)
"""Frames from one frame of a sample to the next."""

LEAST_KEPT = 8
"""Fewest samples that a batch is drawn from."""

LEAST_CELLS = 3.0
"""A shape that covers less of the mask grid is in sight, but too small to be asked for."""


@dataclasses.dataclass(frozen=True)
class ClipSample:
    """Holds T frames of a clip, resized to the model's square.

    Attributes:
        features: What the tracker's neck gives for each frame, finest first, each
            (T, C, h, w) float16.
        positions: Encoding of the positions of the coarsest, (1, C, h, w).
        coverage: Share of each mask-grid cell that a shape covers, (T, N, M, M) float16.
        counts: Whether enough of a shape is visible for it to be asked for, (T, N) bool.
        gone: Whether a shape is not visible at all, (T, N) bool.
        looks: Color and kind of each shape.
    """

    features: tuple[Tensor, ...]
    positions: Tensor
    coverage: Tensor
    counts: npt.NDArray[np.bool_]
    gone: npt.NDArray[np.bool_]
    looks: tuple[tuple[str, str], ...]


class ClipPool:
    """Draws clips as they are needed; uses each several times before it is dropped."""

    def __init__(
        self, model: Sam3Image, seed: Seed, side: int, mask_side: int, frames: int, capacity: int
    ) -> None:
        """Creates an empty pool.

        Args:
            model: Its image encoder gives the features; it must not be trained meanwhile.
            seed: Seed of everything this pool draws.
            side: S, side of the model's input in pixels.
            mask_side: M, side of the mask grid in cells.
            frames: T, frames of a sample.
            capacity: Samples kept.
        """
        self.rng = np.random.default_rng(seed)
        self._model, self._side, self._mask_side = model, side, mask_side
        self._frames, self._capacity = frames, capacity
        self._kept: list[ClipSample] = []

    def batch(self, size: int, fresh: int = 1) -> list[ClipSample]:
        """Returns ``size`` random samples, after ``fresh`` new ones were added."""
        for _ in range(max(fresh, LEAST_KEPT - len(self._kept))):
            sample = self._add_sample()
            if len(self._kept) < self._capacity:
                self._kept.append(sample)
            else:
                self._kept[int(self.rng.integers(self._capacity))] = sample
        return [self._kept[int(self.rng.integers(len(self._kept)))] for _ in range(size)]

    def _add_sample(self) -> ClipSample:
        clip = draw_clip(self.rng, TRAIN_SIDE_RANGE_PX, TRAIN_LIKE_SHARE)
        longest = (CLIP_FRAMES - 1) // max(1, self._frames - 1)
        stride = int(self.rng.choice([s for s in STRIDES if s <= longest]))
        first = int(self.rng.integers(CLIP_FRAMES - stride * (self._frames - 1)))
        frames = [clip.frame_at(first + stride * k) for k in range(self._frames)]
        if not any(frames[0].counts(i) for i in range(len(clip.shapes))):
            return self._add_sample()
        return self._draw_sample(frames, tuple(shape.look for shape in clip.shapes))

    @torch.no_grad()
    def _draw_sample(self, frames: list[Frame], looks: tuple[tuple[str, str], ...]) -> ClipSample:
        side, mask_side = self._side, self._mask_side
        device = next(self._model.parameters()).device
        stacked = torch.from_numpy(np.stack([f.image for f in frames])).permute(0, 3, 1, 2)
        images = v2.functional.resize(stacked, [side, side]).to(device)
        encoded = self._model.backbone.forward_image(images.float().div_(127.5).sub_(1))
        neck = encoded["sam2_backbone_out"]
        shapes = range(len(looks))
        coverage = [
            [
                cv2.resize(
                    f.mask(i).astype(np.float32), (mask_side,) * 2, interpolation=cv2.INTER_AREA
                )
                for i in shapes
            ]
            for f in frames
        ]
        cells = np.array(coverage).sum(axis=(2, 3))
        return ClipSample(
            features=tuple(level.half() for level in neck["backbone_fpn"]),
            positions=neck["vision_pos_enc"][-1][:1],
            coverage=torch.from_numpy(np.array(coverage)).half(),
            counts=np.array([[f.counts(i) for i in shapes] for f in frames])
            & (cells >= LEAST_CELLS),
            gone=cells == 0,
            looks=looks,
        )


def pick_objects(rng: np.random.Generator, sample: ClipSample, most: int) -> npt.NDArray[np.int64]:
    """Chooses shapes of a sample to follow, all visible on its first frame.

    Those that look like another one are preferred, and those that are away for a while.

    Args:
        rng: Source of every random choice.
        sample: A sample.
        most: How many at most, with the same one more than once where there are fewer.

    Returns:
        Indices of shapes, (most,).
    """
    visible = np.flatnonzero(sample.counts[0])
    looks = [sample.looks[i] for i in visible]
    weight = np.array([3.0 if sample.looks.count(look) > 1 else 1.0 for look in looks])
    weight *= np.where(sample.gone[:, visible].any(axis=0), 3.0, 1.0)
    replace = len(visible) < most
    return rng.choice(visible, most, replace=replace, p=weight / weight.sum())
