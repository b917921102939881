"""Draws footage for the training of the tracker, and computes the losses of each step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...engine.model.sam3_imports import Sam3Image
from .footage import Footage, FootageSource, find_new_lookalikes
from .rollouts import Rollout, roll_out
from .samples import Seed, keep_at_most
from .stages import Stage
from .tracker_losses import TrainingHeads, compute_look_loss, compute_tracker_losses
from .tracker_steps import FrameFeatures

OBJECTS_PER_CLIP = 4
LEAST_KEPT = 8
"""Fewest samples that a step draws from."""

FRESH_SCATTERED, FRESH_MOVING = 0.3, 0.15
"""Share of the steps that draw a new sample; drawing and following one takes up to 2 s."""

CAPACITY = 100
"""Number of samples kept, of scattered and of moving shapes each."""

_Item = TypeVar("_Item")


class TrackerTraining:
    """Computes the losses of the tracker on scattered and on moving shapes.

    Moving shapes are followed by the tracker itself when their sample is drawn, and it learns
    from the memory that it had then: its own errors are in it.
    """

    def __init__(
        self, model: Sam3Image, heads: TrainingHeads, stage: Stage, seed: Seed, mask_side: int
    ) -> None:
        """Creates empty pools.

        Args:
            model: The model.
            heads: Heads that only the training has.
            stage: Says how many samples a step takes.
            seed: Seed of everything that is drawn.
            mask_side: M, side of the mask grid in cells.
        """
        self._model, self._heads, self._stage = model, heads, stage
        self._rng = np.random.default_rng(seed)
        self._source = FootageSource(model, self._rng, stage.side, mask_side)
        self._scattered: list[Footage] = []
        self._moving: list[tuple[Footage, Rollout]] = []

    def compute_losses(self) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Computes the losses of a step.

        Returns:
            Weighted losses to sum, means over the samples of each kind; and what
            :func:`compute_tracker_losses` reports, by kind.
        """
        stage, rng = self._stage, self._rng
        found: dict[str, list[Tensor]] = defaultdict(list)
        report: dict[str, float] = {}

        def add(kind: str, losses: dict[str, Tensor], answers: dict[str, float]) -> None:
            for name, loss in losses.items():
                found[name].append(loss)
            report.update({f"{kind}_{name}": value for name, value in answers.items()})

        for _ in range(stage.looks):
            footage = self._draw(self._scattered, FRESH_SCATTERED, self._source.draw_scattered)
            features = FrameFeatures(self._model, footage, range(len(footage.trunk)))
            add("looks", {"look": compute_look_loss(self._heads, features, footage)}, {})
        for _ in range(stage.scattered):
            footage = self._draw(self._scattered, FRESH_SCATTERED, self._source.draw_scattered)
            objects = footage.pick_objects(rng, OBJECTS_PER_CLIP)
            last = len(footage.trunk) - 1
            frames = [last - int(rng.integers(1, 3)), last]
            add("scattered", *self._compute(footage, None, objects, frames))
        for _ in range(stage.moving):
            footage, rollout = self._draw(self._moving, FRESH_MOVING, self._follow_new)
            t = self._choose_frame(footage, rollout)
            frames = [t, t + int(rng.integers(1, 3))]
            add("moving", *self._compute(footage, rollout, rollout.objects, frames))
        return {name: torch.stack(values).mean() for name, values in found.items()}, report

    def _compute(
        self,
        footage: Footage,
        rollout: Rollout | None,
        objects: npt.NDArray[np.int64],
        frames: list[int],
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        return compute_tracker_losses(
            self._model, self._heads, footage, rollout, objects, frames, self._rng
        )

    def _choose_frame(self, footage: Footage, rollout: Rollout) -> int:
        """Chooses the frame to which the shapes are followed.

        As often any frame, one after a shape was lost, and one on which a shape has just
        entered that looks the same as a followed one, where there are such frames.
        """
        times = np.arange(1, len(rollout.is_lost) - 2)
        beside_new = find_new_lookalikes(footage.counts, footage.looks)[:, rollout.objects]
        entries = times[beside_new[times].any(axis=1)]
        lost = times[rollout.is_lost[times - 1].any(axis=1)]
        choices = [times, *(chosen for chosen in (lost, entries) if len(chosen))]
        return int(self._rng.choice(choices[int(self._rng.integers(len(choices)))]))

    def _follow_new(self) -> tuple[Footage, Rollout]:
        stage = self._stage
        footage = self._source.draw_moving(
            stage.frames, stage.clip_like_share, stage.entering_share
        )
        objects = footage.pick_objects(self._rng, OBJECTS_PER_CLIP)
        return footage, roll_out(self._model, footage, objects, self._rng)

    def _draw(self, pool: list[_Item], fresh: float, make: Callable[[], _Item]) -> _Item:
        """Draws a sample from a pool, after a new one was perhaps added."""
        if len(pool) < LEAST_KEPT or self._rng.random() < fresh:
            keep_at_most(self._rng, pool, make(), CAPACITY)
        return pool[int(self._rng.integers(len(pool)))]
