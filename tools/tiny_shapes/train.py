"""Trains the bundled ``tiny_shapes`` checkpoint from random weights.

    python -m infer_segment_anything_3.tools.tiny_shapes.train --out runs/tiny_shapes

Resumable: the same command continues from the last snapshot. About nine hours on two CPU
cores.
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

from ...engine.checkpoints.layouts import convert_to_model_names, recognize_layout
from ...engine.checkpoints.reader import read_tensors
from ...engine.model.config import TINY_SHAPES
from ...engine.model.sam3_imports import Sam3Image
from ...training.optimizer import has_fast_bfloat16, make_parameter_groups
from .frozen_encoder import DetectorEncoder, FrozenEncoder, TrackerEncoder
from .prompt_losses import compute_concept_losses, compute_object_loss, get_tracker_maps
from .sample_pool import SamplePool
from .samples import make_images_tensor
from .stages import DETECTOR, STAGES, TRACKER_PARTS, Stage
from .tracker_losses import TrainingHeads
from .tracker_training import TrackerTraining
from .training_model import (
    HEADS,
    HEADS_RATE,
    build_training_model,
    choose_part,
    drop_rotary_tables,
    initialize_weights,
    is_memory,
)

logger = logging.getLogger("tiny_shapes")


SAMPLES_KEPT = 1500
"""Samples of scenes and single frames that are kept, of about 3 MB each with their features."""

EMA_DECAY = 0.998
SNAPSHOT_EVERY_S = 240


class Training:
    """Runs the stages of a training; holds its progress, weights and snapshots."""

    def __init__(
        self,
        out: Path,
        seed: int,
        device: torch.device,
        speed: float = 1.0,
        first_weights: Path | None = None,
        first_stage: str | None = None,
    ) -> None:
        """Starts a run, or continues the one in ``out``.

        Args:
            out: Folder of the run.
            seed: Seed of weights and scenes.
            device: Where to train.
            speed: Multiplies every stage's steps (below 1 for a quick look).
            first_weights: Weights to begin ``first_stage`` with, instead of beginning the
                first one with random ones.
            first_stage: Name of a stage; the last one by default.
        """
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.seed, self.device = out, seed, device
        self.stages = [dataclasses.replace(s, steps=max(1, int(s.steps * speed))) for s in STAGES]
        self.stage_index = self.step = 0
        self.weights: dict[str, Tensor] | None = None
        self.average: dict[str, Tensor] = {}
        self.optimizer_state: dict[str, Any] | None = None
        self.snapshot_path = out / "snapshot.pt"
        if self.snapshot_path.exists():
            snapshot = torch.load(self.snapshot_path, map_location="cpu", weights_only=True)
            self.stage_index, self.step = snapshot["stage"], snapshot["step"]
            self.weights, self.average = snapshot["weights"], snapshot["average"]
            self.optimizer_state = snapshot["optimizer"]
            logger.info("resuming at stage %d, step %d", self.stage_index, self.step)
        elif first_weights is not None:
            tensors = read_tensors(first_weights)
            stored = convert_to_model_names(tensors, recognize_layout(tensors, first_weights))
            self.weights = {name: tensor.float() for name, tensor in stored.items()}
            names = [stage.name for stage in self.stages]
            self.stage_index = names.index(first_stage) if first_stage else len(names) - 1

    def run(self) -> None:
        """Trains every stage that is left."""
        torch.manual_seed(self.seed)
        while self.stage_index < len(self.stages):
            stage = self.stages[self.stage_index]
            earlier = [
                (torch.load(self._stage_path(name), weights_only=True), share)
                for name, share in stage.mixed_with
            ]
            self._run_stage(stage)
            self._mix_with(earlier)
            torch.save(self.average, self._stage_path(stage.name))
            self.stage_index, self.step, self.optimizer_state = self.stage_index + 1, 0, None
            self._save_snapshot()
        logger.info("done: tools.tiny_shapes.export --snapshot %s", self.snapshot_path)

    def _run_stage(self, stage: Stage) -> None:
        architecture = dataclasses.replace(TINY_SHAPES, image_size=stage.side)
        model = build_training_model(architecture, self.device)
        initialize_weights(model)
        heads = TrainingHeads(TINY_SHAPES.width).to(self.device)
        model.add_module(HEADS, heads)
        if self.weights is not None:
            reused = drop_rotary_tables(self.weights)
            if stage.new_memory and self.step == 0:
                reused = {name: t for name, t in reused.items() if not is_memory(name)}
            model.load_state_dict(reused, strict=False)
        for name, parameter in model.named_parameters():
            if not name.startswith((*stage.trained, HEADS)):
                parameter.requires_grad_(False)
        rates = {
            "memory": 1.0,
            "heads": HEADS_RATE,
            "neck": stage.neck_rate,
            "known": stage.known_rate,
        }
        groups = make_parameter_groups(model, stage.learning_rate, rates, choose_part)
        optimizer = torch.optim.AdamW(groups, weight_decay=1e-4, betas=(0.9, 0.98))
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
        # Where the image encoder stays, each image is encoded once.
        encoder: FrozenEncoder | None = None
        if stage.trained == DETECTOR and not stage.objects:
            encoder = DetectorEncoder(model)
        elif stage.trained == TRACKER_PARTS and not stage.concepts:
            encoder = TrackerEncoder(model)
        pool = SamplePool(
            seed=(self.seed, self.stage_index, self.step),
            side=stage.side,
            mask_side=architecture.mask_side,
            capacity=SAMPLES_KEPT,
            fresh=0.3,
            like_share=stage.like_share,
            frame_share=stage.frame_share,
            encoder=encoder,
        )
        tracking = TrackerTraining(
            model, heads, stage, (self.seed, self.stage_index, self.step, 1), architecture.mask_side
        )
        logger.info("stage %d: %s", self.stage_index, stage)
        seen: dict[str, list[float]] = defaultdict(list)
        started_s = saved_s = time.monotonic()
        while self.step < stage.steps:
            for group in optimizer.param_groups:
                group["lr"] = compute_learning_rate(stage, self.step) * group["share"]
            for name, value in self._train_step(model, optimizer, pool, tracking, stage).items():
                seen[name].append(value)
            self.step += 1
            self._update_average(model)
            if self.step % 50 == 0:
                means = {name: round(float(np.nanmean(v)), 3) for name, v in seen.items()}
                record = {
                    "stage": self.stage_index,
                    "step": self.step,
                    "seconds": round(time.monotonic() - started_s),
                    **means,
                }
                logger.info("%s", json.dumps(record))
                seen.clear()
            if time.monotonic() - saved_s > SNAPSHOT_EVERY_S:
                self._store_weights(model, optimizer)
                saved_s = time.monotonic()
        self._store_weights(model, optimizer)

    def _train_step(
        self,
        model: Sam3Image,
        optimizer: torch.optim.Optimizer,
        pool: SamplePool,
        tracking: TrackerTraining,
        stage: Stage,
    ) -> dict[str, float]:
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=has_fast_bfloat16(self.device)
        ):
            losses = self._compute_image_losses(model, pool, stage)
        tracking_losses, report = tracking.compute_losses()
        losses |= tracking_losses
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(trained, 1.0)
        if torch.isfinite(norm):
            optimizer.step()
        report |= {name: float(value.detach()) for name, value in losses.items()}
        return {**report, "norm": float(norm)}

    def _compute_image_losses(
        self, model: Sam3Image, pool: SamplePool, stage: Stage
    ) -> dict[str, Tensor]:
        """Computes the losses of prompts on single images."""
        samples = pool.batch(stage.batch)
        if isinstance(pool.encoder, TrackerEncoder):
            maps = pool.encoder.join(samples)
            return {"object": compute_object_loss(model, maps, samples, pool.rng)[0]}
        if pool.encoder is not None:
            features = pool.encoder.join(samples)
        else:
            features = model.backbone.forward_image(make_images_tensor(samples).to(self.device))
        losses: dict[str, Tensor] = {}
        if stage.objects:
            maps = get_tracker_maps(model, features)
            losses["object"], _ = compute_object_loss(model, maps, samples, pool.rng)
        if stage.concepts:
            losses |= compute_concept_losses(
                model, features, samples, pool.rng, stage.exemplar_share, stage.elsewhere_share
            )
        return losses

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

    def _mix_with(self, earlier: list[tuple[dict[str, Tensor], float]]) -> None:
        """Replaces the weights by their mean with those of earlier stages."""
        if not earlier:
            return
        own_share = 1 - sum(share for _, share in earlier)
        for name, value in self.average.items():
            if value.is_floating_point():
                value.mul_(own_share)
                for weights, share in earlier:
                    value.add_(weights[name], alpha=share)
        self.weights = {name: value.clone() for name, value in self.average.items()}

    def _stage_path(self, name: str) -> Path:
        return self.out / f"after {name}.pt"

    def _store_weights(self, model: Sam3Image, optimizer: torch.optim.Optimizer) -> None:
        self.weights = {name: v.detach().clone() for name, v in model.state_dict().items()}
        self.optimizer_state = optimizer.state_dict()
        self._save_snapshot()

    def _save_snapshot(self) -> None:
        snapshot = {
            "stage": self.stage_index,
            "step": self.step,
            "weights": self.weights,
            "average": self.average,
            "optimizer": self.optimizer_state,
        }
        partial = self.snapshot_path.with_suffix(".part")
        torch.save(snapshot, partial)
        partial.replace(self.snapshot_path)


def compute_learning_rate(stage: Stage, step: int) -> float:
    """Computes the rate of a step: linear warm-up, then a cosine down to ``last_rate``."""
    warm = min(1.0, (step + 1) / stage.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * step / stage.steps))
    return stage.learning_rate * warm * (stage.last_rate + (1 - stage.last_rate) * cosine)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/tiny_shapes"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--speed", type=float, default=1.0, help="multiplies every stage's steps")
    parser.add_argument("--init", type=Path, help="weights to begin --stage with")
    parser.add_argument("--stage", choices=[s.name for s in STAGES], help="default: the last")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # Denormals appear late in training and are a hundred times slower on a CPU.
    torch.set_flush_denormal(True)
    Training(
        args.out, args.seed, torch.device(args.device), args.speed, args.init, args.stage
    ).run()


if __name__ == "__main__":
    main()
