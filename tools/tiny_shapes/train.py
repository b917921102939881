"""Trains the bundled ``tiny_shapes`` checkpoint from nothing.

    python -m infer_segment_anything_3.tools.tiny_shapes.train --out runs/tiny_shapes

Resumable: the same command goes on from the last snapshot. About three hours on two CPU
cores, minutes on a GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...engine.checkpoints.loader import load_model
from ...engine.model.config import TINY_SHAPES
from ...engine.model.sam3_imports import Sam3Image
from .samples import SamplePool, images_tensor
from .training_model import carried_over, for_training, initialise
from .training_terms import concept_terms, object_terms

logger = logging.getLogger("tiny_shapes")


@dataclasses.dataclass(frozen=True)
class Stage:
    """One leg of the training.

    Attributes:
        name: What it is for.
        side: Side of the model's input, in pixels.
        steps: Optimiser steps.
        batch: Images a step.
        learning_rate: Peak, reached after ``warmup`` steps.
        last_rate: Share of the peak at the end of the cosine.
        concepts: Whether the concept route is trained, or the interactive decoder alone.
        warmup: Steps of linear warm-up.
    """

    name: str
    side: int
    steps: int
    batch: int
    learning_rate: float
    last_rate: float
    concepts: bool
    warmup: int = 200


STAGES = (
    # The interactive decoder stays on a plateau for a thousand steps before it learns;
    # alone and small, those steps are cheap.
    Stage("objects, small", 112, 1400, 16, 1e-3, 0.8, concepts=False),
    Stage("everything, small", 112, 2000, 16, 8e-4, 0.6, concepts=True),
    Stage("everything", 224, 1500, 8, 6e-4, 0.4, concepts=True),
    Stage("everything, annealed", 224, 3500, 8, 6e-4, 0.01, concepts=True),
    # A finer grid sharpens every mask at once; the rest has to get used to it.
    Stage("sharper", TINY_SHAPES.image_size, 3000, 6, 3.5e-4, 0.01, concepts=True, warmup=100),
)

EMA_DECAY = 0.998
SNAPSHOT_EVERY = 250


class Training:
    """The state of a run: where it stands, its weights, its snapshots on disk."""

    def __init__(
        self,
        out: Path,
        seed: int,
        device: torch.device,
        speed: float = 1.0,
        first_weights: Path | None = None,
    ) -> None:
        """Starts a run, or goes on with the one in ``out``.

        Args:
            out: Folder of the run.
            seed: Seed of weights and scenes.
            device: Where to train.
            speed: Multiplies every stage's steps (below 1 for a quick look).
            first_weights: Weights to begin the last stage with, instead of beginning the
                first one with random ones.
        """
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.seed, self.device = out, seed, device
        self.stages = [dataclasses.replace(s, steps=max(1, int(s.steps * speed))) for s in STAGES]
        self.stage_index = self.step = 0
        self.weights: dict[str, Tensor] | None = None
        self.average: dict[str, Tensor] = {}
        self.optimiser_state: dict[str, Any] | None = None
        self.snapshot_path = out / "snapshot.pt"
        if self.snapshot_path.exists():
            snapshot = torch.load(self.snapshot_path, map_location="cpu", weights_only=True)
            self.stage_index, self.step = snapshot["stage"], snapshot["step"]
            self.weights, self.average = snapshot["weights"], snapshot["average"]
            self.optimiser_state = snapshot["optimiser"]
            logger.info("resuming at stage %d, step %d", self.stage_index, self.step)
        elif first_weights is not None:
            self.weights = load_model("tiny_shapes", first_weights, "cpu").state_dict()
            self.stage_index = len(self.stages) - 1

    def run(self) -> None:
        """Trains every stage that is left."""
        torch.manual_seed(self.seed)
        while self.stage_index < len(self.stages):
            self._run_stage(self.stages[self.stage_index])
            self.stage_index, self.step, self.optimiser_state = self.stage_index + 1, 0, None
            self._save_snapshot()
        logger.info("done: tools.tiny_shapes.export --snapshot %s", self.snapshot_path)

    def _run_stage(self, stage: Stage) -> None:
        architecture = dataclasses.replace(TINY_SHAPES, image_size=stage.side)
        model = for_training(architecture, self.device)
        initialise(model)
        if self.weights is not None:
            model.load_state_dict(carried_over(self.weights), strict=False)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(
            trained, lr=stage.learning_rate, weight_decay=1e-4, betas=(0.9, 0.98)
        )
        if self.optimiser_state is not None:
            optimiser.load_state_dict(self.optimiser_state)
        pool = SamplePool(
            seed=hash((self.seed, self.stage_index, self.step)) % 2**32,
            side=stage.side,
            mask_side=architecture.mask_side,
            capacity=2000,
            fresh=0.3,
        )
        logger.info("stage %d: %s", self.stage_index, stage)
        seen: dict[str, list[float]] = defaultdict(list)
        started = time.monotonic()
        while self.step < stage.steps:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(stage, self.step)
            for name, value in self._train_step(model, optimiser, trained, pool, stage).items():
                seen[name].append(value)
            self.step += 1
            self._update_average(model)
            if self.step % 50 == 0:
                means = {name: round(float(np.mean(v)), 3) for name, v in seen.items()}
                record = {
                    "stage": self.stage_index,
                    "step": self.step,
                    "seconds": round(time.monotonic() - started),
                    **means,
                }
                logger.info("%s", json.dumps(record))
                seen.clear()
            if self.step % SNAPSHOT_EVERY == 0:
                self._keep(model, optimiser)
        self._keep(model, optimiser)

    def _train_step(
        self,
        model: Sam3Image,
        optimiser: torch.optim.Optimizer,
        trained: list[nn.Parameter],
        pool: SamplePool,
        stage: Stage,
    ) -> dict[str, float]:
        samples = pool.batch(stage.batch)
        with torch.autocast(self.device.type, torch.bfloat16):
            features = model.backbone.forward_image(images_tensor(samples).to(self.device))
            loss, click_iou = object_terms(model, features, samples, pool.rng)
            terms = {"object": loss}
            if stage.concepts:
                terms |= concept_terms(model, features, samples, pool.rng)
        total = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(trained, 1.0)
        if torch.isfinite(norm):
            optimiser.step()
        report = {name: float(value.detach()) for name, value in terms.items()}
        return {"iou": click_iou, "norm": float(norm), **report}

    @torch.no_grad()
    def _update_average(self, model: Sam3Image) -> None:
        # Early weights are soon forgotten: the average is at most as old as the run.
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        for name, value in model.state_dict().items():
            old = self.average.get(name)
            if old is None or old.shape != value.shape or not value.is_floating_point():
                self.average[name] = value.detach().clone()
            else:
                old.lerp_(value, 1 - decay)

    def _keep(self, model: Sam3Image, optimiser: torch.optim.Optimizer) -> None:
        self.weights = {name: v.detach().clone() for name, v in model.state_dict().items()}
        self.optimiser_state = optimiser.state_dict()
        self._save_snapshot()

    def _save_snapshot(self) -> None:
        snapshot = {
            "stage": self.stage_index,
            "step": self.step,
            "weights": self.weights,
            "average": self.average,
            "optimiser": self.optimiser_state,
        }
        partial = self.snapshot_path.with_suffix(".part")
        torch.save(snapshot, partial)
        partial.replace(self.snapshot_path)


def learning_rate(stage: Stage, step: int) -> float:
    """Linear warm-up, then a cosine down to ``last_rate`` of the peak."""
    warm = min(1.0, (step + 1) / stage.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * step / stage.steps))
    return stage.learning_rate * warm * (stage.last_rate + (1 - stage.last_rate) * cosine)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/tiny_shapes"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--speed", type=float, default=1.0, help="multiplies every stage's steps")
    parser.add_argument("--init", type=Path, help="weights to begin the last stage with")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # Denormals appear late in training and are a hundred times slower on a CPU.
    torch.set_flush_denormal(True)
    Training(args.out, args.seed, torch.device(args.device), args.speed, args.init).run()


if __name__ == "__main__":
    main()
