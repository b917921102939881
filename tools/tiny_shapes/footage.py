"""Makes training samples of clips: frames, encoded by the image encoder, and what is on them."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...engine.model.sam3_imports import Sam3Image
from ...training.images import compute_coverage, normalize_images, resize_image
from .clips import CLIP_FRAMES, Clip, Frame, Motion
from .frozen_encoder import encode_for_tracker
from .random_clips import draw_clip

TRAIN_SIDE_RANGE_PX = (320, 480)
CLIP_LIKE_SHARE = 0.75
"""Share of clips with shapes that look the same, unless a stage has its own."""

STRIDES = (1, 1, 1, 2)
"""Steps in frames between two frames of a sample, one of these at random."""

REVERSED_SHARE = 0.5
"""Share of the samples that run backwards."""

SCATTERED_FRAMES = 7
OUTSIDE_SHARE = 0.15
"""Share of the shapes that are outside on a frame of scattered shapes."""

NEW_FRAMES = 6
"""For how many frames after it entered a shape counts as new."""

LEAST_CELLS = 3.0
"""A shape that covers less of the mask grid is in sight, but too small to be asked for."""


@dataclasses.dataclass(frozen=True)
class Footage:
    """Holds T frames of a clip with N shapes, resized to the model's square.

    Attributes:
        fine: Finest map of each frame that the mask decoder reads, (T, C, M, M) float16.
        middle: The middle one, (T, C, M / 2, M / 2) float16.
        trunk: What the trunk of the image encoder gives for each frame, (T, C, h, w) float16.
        coverage: Share of each mask-grid cell that a shape covers, (T, N, M, M) float16.
        counts: Whether enough of a shape is visible for it to be asked for, (T, N) bool.
        gone: Whether a shape is not visible at all, (T, N) bool.
        looks: Color and kind of each shape.
    """

    fine: Tensor
    middle: Tensor
    trunk: Tensor
    coverage: Tensor
    counts: npt.NDArray[np.bool_]
    gone: npt.NDArray[np.bool_]
    looks: tuple[tuple[str, str], ...]

    def pick_objects(self, rng: np.random.Generator, most: int) -> npt.NDArray[np.int64]:
        """Chooses shapes to follow, all visible on the first frame.

        Those that look like another one are preferred, and those that are away for a while.

        Args:
            rng: Source of every random choice.
            most: How many at most.

        Returns:
            Indices of shapes.
        """
        visible = np.flatnonzero(self.counts[0])
        weight = np.array([2.0 if self.looks.count(self.looks[i]) > 1 else 1.0 for i in visible])
        weight *= np.where(self.gone[:, visible].any(axis=0), 2.0, 1.0)
        count = min(most, len(visible))
        return rng.choice(visible, count, replace=False, p=weight / weight.sum())


class FootageSource:
    """Draws random footage for a model and an input size."""

    def __init__(
        self, model: Sam3Image, rng: np.random.Generator, side: int, mask_side: int
    ) -> None:
        """Creates a source.

        Args:
            model: Encodes the frames; but for the tracker's coarsest map its image encoder must
                not be trained meanwhile.
            rng: Source of every random choice.
            side: S, side of the model's input in pixels.
            mask_side: M, side of the mask grid in cells.
        """
        self._model, self._rng = model, rng
        self._side, self._mask_side = side, mask_side

    def draw_moving(
        self, frames: int, like_share: float = CLIP_LIKE_SHARE, entering_share: float = 0.0
    ) -> Footage:
        """Draws frames of a clip, forwards or backwards; the first shows at least one shape.

        Args:
            frames: How many.
            like_share: Share of clips with shapes that look the same.
            entering_share: Share in which one enters that looks the same as one of the first
                frame.

        Returns:
            The frames.
        """
        wants_entry = self._rng.random() < entering_share
        like_share = max(like_share, float(wants_entry))
        while True:
            clip = draw_clip(self._rng, TRAIN_SIDE_RANGE_PX, like_share)
            longest = (CLIP_FRAMES - 1) // max(1, frames - 1)
            stride = int(self._rng.choice([s for s in STRIDES if s <= longest]))
            first = int(self._rng.integers(CLIP_FRAMES - stride * (frames - 1)))
            times = list(range(first, first + stride * frames, stride))
            if self._rng.random() < REVERSED_SHARE:
                times.reverse()
            drawn = [clip.frame_at(time) for time in times]
            if wants_entry and not _shows_entry(drawn, clip):
                continue
            footage = self._encode(drawn, clip)
            if footage.counts[0].any():
                return footage

    def draw_scattered(self) -> Footage:
        """Draws frames on which the same shapes are at random places; no two look the same.

        Nothing but its looks tells which shape is which, so a tracker must learn them.
        """
        while True:
            clip = draw_clip(self._rng, TRAIN_SIDE_RANGE_PX, like_share=0.0)
            frames = [self._draw_scattered_frame(clip) for _ in range(SCATTERED_FRAMES)]
            footage = self._encode(frames, clip)
            if footage.counts[0].any():
                return footage

    def _draw_scattered_frame(self, clip: Clip) -> Frame:
        """Draws a clip's shapes at random places and in random order."""
        order = self._rng.permutation(len(clip.shapes))
        shapes = tuple(
            dataclasses.replace(clip.shapes[i], motion=self._place(clip.shapes[i].motion))
            for i in order
        )
        time = float(self._rng.uniform(0, CLIP_FRAMES))
        frame = dataclasses.replace(clip, shapes=shapes).frame_at(time)
        place = np.argsort(order)
        visible = tuple(frame.visible[i] for i in place)
        return Frame(frame.image, visible, frame.visible_share[place])

    def _place(self, motion: Motion) -> Motion:
        """Replaces a motion by standing still at a random place."""
        least, greatest = motion.bounds_xy
        start = least + self._rng.random(2) * (greatest - least)
        if self._rng.random() < OUTSIDE_SHARE:
            start = np.full(2, -1.0)
        bounds = np.array([[-2.0, -2.0], [4.0, 4.0]])
        return dataclasses.replace(
            motion, start_xy=start, velocity_xy=np.zeros(2), bounds_xy=bounds
        )

    @torch.no_grad()
    def _encode(self, frames: list[Frame], clip: Clip) -> Footage:
        device = next(self._model.parameters()).device
        images = torch.stack([resize_image(f.image, self._side) for f in frames]).to(device)
        fine, middle, trunk = encode_for_tracker(self._model, normalize_images(images))
        shapes = range(len(clip.shapes))
        coverage = np.array(
            [[compute_coverage(f.mask(i), self._mask_side) for i in shapes] for f in frames]
        )
        cells = coverage.sum(axis=(2, 3))
        return Footage(
            fine=fine,
            middle=middle,
            trunk=trunk,
            coverage=torch.from_numpy(coverage).half().to(device),
            counts=np.array([[f.counts(i) for i in shapes] for f in frames])
            & (cells >= LEAST_CELLS),
            gone=cells == 0,
            looks=tuple(shape.look for shape in clip.shapes),
        )


def find_new_lookalikes(
    visible: npt.NDArray[np.bool_], looks: tuple[tuple[str, str], ...]
) -> npt.NDArray[np.bool_]:
    """Finds the frames on which a look-alike of a visible shape has just entered.

    Args:
        visible: Whether N shapes are visible on T frames, (T, N).
        looks: Color and kind of each shape.

    Returns:
        Whether that is so of each visible shape on each frame, (T, N) bool.
    """
    is_new = np.zeros_like(visible)
    for t in range(1, len(visible)):
        is_new[t] = visible[t] & ~visible[max(0, t - NEW_FRAMES) : t].all(axis=0)
    is_alike = np.array([[a == b for b in looks] for a in looks]) & ~np.eye(len(looks), dtype=bool)
    return visible & ((is_new.astype(int) @ is_alike) > 0)


def _shows_entry(frames: list[Frame], clip: Clip) -> bool:
    """Tells whether a shape enters that looks the same as one of the first frame."""
    looks = tuple(shape.look for shape in clip.shapes)
    visible = np.array([[frame.counts(i) for i in range(len(looks))] for frame in frames])
    return bool(find_new_lookalikes(visible, looks)[:, visible[0]].any())
