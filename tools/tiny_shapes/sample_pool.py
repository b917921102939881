"""Draws training samples as they are needed, and keeps some to use them again."""

from __future__ import annotations

import dataclasses

import numpy as np

from .crowds import draw_crowd
from .frame_samples import FRAMES_PER_CLIP, draw_frame_samples
from .frozen_encoder import FrozenEncoder
from .samples import Sample, Seed, keep_at_most, squeeze
from .scenes import Scene, cut_window, draw_scene

TRAIN_SIDE_RANGE_PX = (200, 640)

CROWDED_SHARE = 0.2
"""Share of scenes that look like a tile of a crowded image: many shapes, some cut off."""

CROWDED_COUNT_RANGE = (8, 24)
CROWDED_EXTENT_RANGE = (0.08, 0.24)
CROWDED_WINDOW = 0.62
"""Side of the tile, as a share of the crowded image's side: its shapes are then as large
beside the tile as those of any other scene."""

LIKE_SHARE = 0.3
"""Share of scenes with several shapes of one color and kind, unless a stage has its own."""

LIKE_COUNT_RANGE = (3, 25)
LIKE_EXTENT_RANGE = (0.07, 0.30)

LEAST_KEPT = 16
"""Fewest scenes, and clips, of which some are used again."""


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
        frame_share: float = 0.0,
        encoder: FrozenEncoder | None = None,
    ) -> None:
        """Creates an empty pool.

        Args:
            seed: Seed of everything this pool draws.
            side: S, side of the model's input in pixels.
            mask_side: M, side of the mask grid in cells.
            capacity: Samples kept.
            fresh: Share of a batch that is newly drawn.
            like_share: Share of scenes with several shapes of one color and kind.
            frame_share: Share of samples that are frames of clips, not scenes. They come in
                pairs from the same clip.
            encoder: Encodes each sample once, with what is not trained.
        """
        self.rng = np.random.default_rng(seed)
        self._side, self._mask_side = side, mask_side
        self._fresh, self._like_share, self._frame_share = fresh, like_share, frame_share
        self.encoder = encoder
        self._scenes: list[tuple[Sample, ...]] = []
        self._clips: list[tuple[Sample, ...]] = []
        self._most_clips = max(1, int(capacity * frame_share / FRAMES_PER_CLIP))
        self._most_scenes = max(1, int(capacity * (1 - frame_share)))

    def batch(self, size: int) -> list[Sample]:
        """Returns ``size`` samples, new ones or some of the pool; frames stand side by side."""
        pairs = int(self.rng.binomial(size // 2, self._frame_share)) if self._frame_share else 0
        samples = [sample for _ in range(pairs) for sample in self._draw_frames()]
        samples += [self._draw_scene() for _ in range(size - len(samples))]
        return [sample if sample.features else self._mirror_some(sample) for sample in samples]

    def _draw_scene(self) -> Sample:
        if self._is_fresh(len(self._scenes)):
            # Everything the held-out scenes have, sizes apart: shapes are as large relative
            # to the model's square in a small image as in a large one, and draw faster.
            sample = squeeze(self._new_scene(), self._side, self._mask_side)
            return self._keep(self._scenes, (sample,), self._most_scenes)[0]
        return self._scenes[int(self.rng.integers(len(self._scenes)))][0]

    def _draw_frames(self) -> list[Sample]:
        """Draws two frames of one clip."""
        if self._is_fresh(len(self._clips), 2 / FRAMES_PER_CLIP):
            drawn = draw_frame_samples(self.rng, self._side, self._mask_side)
            clip = self._keep(self._clips, drawn, self._most_clips)
        else:
            clip = self._clips[int(self.rng.integers(len(self._clips)))]
        chosen = self.rng.choice(len(clip), 2, replace=False)
        return [clip[int(i)] for i in chosen]

    def _is_fresh(self, kept: int, used_share: float = 1.0) -> bool:
        """Decides at random whether to draw a new sample.

        Args:
            kept: Number of samples that are kept.
            used_share: Share of a new sample's images that its batch uses.
        """
        return kept < LEAST_KEPT or self.rng.random() < self._fresh * used_share

    def _keep(
        self, kept: list[tuple[Sample, ...]], drawn: tuple[Sample, ...], most: int
    ) -> tuple[Sample, ...]:
        if self.encoder is not None:
            # What is encoded cannot be mirrored later.
            mirrored = [self._mirror_some(sample) for sample in drawn]
            drawn = tuple(
                dataclasses.replace(sample, features=self.encoder.encode(sample))
                for sample in mirrored
            )
        keep_at_most(self.rng, kept, drawn, most)
        return drawn

    def _mirror_some(self, sample: Sample) -> Sample:
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
