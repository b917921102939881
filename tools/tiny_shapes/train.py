"""Trains the bundled ``tiny_shapes`` checkpoint from nothing.

    python -m infer_segment_anything_3.tools.tiny_shapes.train --out runs/tiny_shapes

Resumable: the same command goes on from the last snapshot. About two hours on two CPU
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

import numpy as np
import torch
from torch import Tensor, nn

from ...engine.architecture import TINY_SHAPES, Architecture, build_model
from ...engine.checkpoints import bpe_vocabulary

from .losses import Targets, concept_loss, object_loss
from .samples import (
    ConceptPrompts,
    ObjectPrompts,
    Sample,
    SamplePool,
    images_tensor,
    random_concepts,
    random_objects,
)

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
    Stage("everything, small", 112, 2600, 16, 8e-4, 0.6, concepts=True),
    Stage("everything, medium", 224, 3000, 8, 6e-4, 0.4, concepts=True),
    Stage("everything, full size", TINY_SHAPES.image_size, 1300, 6, 4e-4, 0.01, concepts=True),
)

CONCEPTS_PER_IMAGE = 2
OBJECTS_PER_IMAGE = 3
REFINED_SHARE = 0.5
"""Share of steps in which object prompts are refined with the mask they gave."""
OBJECT_WEIGHT = 3.0
EMA_DECAY = 0.998
SNAPSHOT_EVERY = 250


def initialise(model: nn.Module) -> None:
    """Sets what the constructors leave uninitialised, and starts hard parts near a solution."""
    text = model.backbone.language_backbone.encoder
    nn.init.normal_(text.positional_embedding, std=0.02)
    nn.init.normal_(text.text_projection, std=0.1)
    # Frozen: a dozen words are told apart as well by random vectors, and the table is half
    # of the model.
    nn.init.normal_(text.token_embedding.weight, std=0.3)
    text.token_embedding.weight.requires_grad_(False)
    for parameter in model.parameters():
        if not torch.isfinite(parameter).all() or parameter.abs().max() > 1e3:
            nn.init.normal_(parameter, std=0.02)
    with torch.no_grad():
        decoder = model.transformer.decoder
        per_side = math.ceil(math.sqrt(decoder.num_queries))
        ticks = (torch.arange(per_side) + 0.5) / per_side
        centres = torch.cartesian_prod(ticks, ticks)[: decoder.num_queries]
        sizes = torch.full_like(centres, 0.2)
        decoder.reference_points.weight.copy_(torch.logit(torch.cat([centres, sizes], dim=1)))
        # A click must first find its own place: begin with queries and keys that compare
        # positions with the same projection.
        two_way = model.inst_interactive_predictor.model.sam_mask_decoder.transformer
        attentions = [two_way.final_attn_token_to_image]
        for layer in two_way.layers:
            attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
        for attention in attentions:
            nn.init.orthogonal_(attention.q_proj.weight, gain=1.5)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.q_proj.bias.zero_()
            attention.k_proj.bias.zero_()


def for_training(architecture: Architecture, device: torch.device) -> nn.Module:
    """Builds the model with the training-only parts of its forward pass switched on.

    Its children stay in eval mode: there is no dropout to switch, and their activation
    checkpointing would only cost time at this size.
    """
    model = build_model(architecture, bpe_vocabulary()).to(device)
    model.training = True
    model.use_act_checkpoint_seg_head = False
    return model


def carried_over(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights that mean the same at another image side: all but the rotary tables."""
    return {name: value for name, value in state.items() if "freqs_cis" not in name}


def concept_outputs(
    model: nn.Module, features: dict, prompts: ConceptPrompts, with_masks: Tensor
) -> dict:
    """Runs the concept route as ``Sam3Image.forward_grounding`` does, masks for some prompts.

    Args:
        model: The model.
        features: What ``forward_image`` and ``forward_text`` gave.
        prompts: P prompts.
        with_masks: Indices of the prompts to predict masks for.

    Returns:
        The decoder's outputs, with ``mask_prompts``.
    """
    from sam3.model.data_misc import FindStage
    from sam3.model.geometry_encoders import Prompt

    device = with_masks.device
    texts = sorted(set(prompts.texts))
    features = {**features, **model.backbone.forward_text(texts, device=device)}
    find = FindStage(
        img_ids=prompts.image_index.to(device),
        text_ids=torch.tensor([texts.index(t) for t in prompts.texts], device=device),
        input_boxes=None,
        input_boxes_mask=None,
        input_boxes_label=None,
        input_points=None,
        input_points_mask=None,
    )
    exemplars = Prompt(
        box_embeddings=prompts.exemplars.to(device),
        box_labels=prompts.exemplar_labels.long().to(device),
        box_mask=prompts.exemplar_padding.to(device),
    )
    prompt, prompt_mask, features = model._encode_prompt(features, find, exemplars)
    features, encoded, _ = model._run_encoder(features, find, prompt, prompt_mask)
    memory = encoded["encoder_hidden_states"]
    outputs, queries = model._run_decoder(
        memory=memory,
        pos_embed=encoded["pos_embed"],
        src_mask=encoded["padding_mask"],
        out={},
        prompt=prompt,
        prompt_mask=prompt_mask,
        encoder_out=encoded,
    )
    if len(with_masks):
        model._run_segmentation_heads(
            out=outputs,
            backbone_out=features,
            img_ids=find.img_ids[with_masks],
            vis_feat_sizes=encoded["vis_feat_sizes"],
            encoder_hidden_states=memory[:, with_masks],
            prompt=prompt[:, with_masks],
            prompt_mask=prompt_mask[with_masks],
            hs=queries[:, with_masks],
        )
    outputs["mask_prompts"] = with_masks
    return outputs


def concept_terms(
    model: nn.Module, features: dict, samples: list[Sample], rng: np.random.Generator
) -> dict[str, Tensor]:
    """Loss of random concept prompts."""
    device = features["vision_features"].device
    prompts = random_concepts(rng, samples, CONCEPTS_PER_IMAGE)
    present = [p for p, wanted in enumerate(prompts.wanted) if wanted]
    # The mask head is half of the work: one prompt an image is enough to teach it.
    chosen = rng.permutation(present)[: len(samples)] if present else []
    with_masks = torch.as_tensor(np.sort(chosen), dtype=torch.long, device=device)
    outputs = concept_outputs(model, features, prompts, with_masks)
    images = prompts.image_index.tolist()
    boxes = [samples[i].cxcywh[w] for i, w in zip(images, prompts.wanted, strict=True)]
    coverage = [samples[i].coverage[w] for i, w in zip(images, prompts.wanted, strict=True)]
    targets = Targets(
        cxcywh=torch.from_numpy(np.concatenate(boxes)).to(device),
        coverage=torch.from_numpy(np.concatenate(coverage)).to(device),
        counts=[len(w) for w in prompts.wanted],
    )
    return concept_loss(outputs, targets)


def object_terms(
    model: nn.Module, features: dict, samples: list[Sample], rng: np.random.Generator
) -> tuple[Tensor, float]:
    """Loss of random object prompts, and the mean IoU of the single mask."""
    tracker = model.inst_interactive_predictor.model
    device = features["vision_features"].device
    fpn = features["sam2_backbone_out"]["backbone_fpn"]
    decoder = tracker.sam_mask_decoder
    high_res = [decoder.conv_s0(fpn[0]), decoder.conv_s1(fpn[1])]
    embedding = fpn[2] + tracker.no_mem_embed.view(1, -1, 1, 1)
    prompts = random_objects(rng, samples, OBJECTS_PER_IMAGE)
    index = prompts.image_index.to(device)
    coverage = prompts.coverage.to(device)

    def decode(coords: Tensor, labels: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor]:
        sparse, dense = tracker.sam_prompt_encoder(
            points=(coords.to(device), labels.to(device)), boxes=None, masks=masks
        )
        logits, quality = decoder.predict_masks(
            image_embeddings=embedding[index],
            image_pe=tracker.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            repeat_image=False,
            high_res_features=[f[index] for f in high_res],
        )[:2]
        return logits.float(), quality.float()

    logits, quality = decode(prompts.coords, prompts.labels, None)
    loss, iou = object_loss(logits, quality, coverage)
    if rng.random() < REFINED_SHARE:
        previous = logits[:, :1].detach().clamp(-32, 32)
        coords, labels = corrected(rng, prompts, previous, side=samples[0].image.shape[-1])
        refined = decode(coords, labels, previous)
        loss = loss + object_loss(*refined, coverage)[0]
    return OBJECT_WEIGHT * loss, float(iou[:, 0].mean())


def corrected(
    rng: np.random.Generator, prompts: ObjectPrompts, previous: Tensor, side: int
) -> tuple[Tensor, Tensor]:
    """Adds to each prompt a click where the mask it gave is wrong.

    Args:
        rng: Source of every random choice.
        prompts: P prompts.
        previous: Logits they gave, (P, 1, M, M).
        side: Side of the model's input, in pixels.

    Returns:
        Coordinates (P, K + 1, 2) and labels (P, K + 1).
    """
    found = (previous[:, 0] > 0).cpu().numpy()
    real = (prompts.coverage[:, 0] > 0.5).numpy()
    cell_px = side / found.shape[-1]
    clicks, labels = [], []
    for f, r in zip(found, real, strict=True):
        wrong = np.flatnonzero(f != r)
        cell = int(rng.choice(wrong if len(wrong) else np.arange(f.size)))
        y, x = divmod(cell, f.shape[1])
        clicks.append([(x + 0.5) * cell_px - 0.5, (y + 0.5) * cell_px - 0.5])
        labels.append(int(r[y, x]))
    return (
        torch.cat([prompts.coords, torch.tensor(clicks).float()[:, None]], dim=1),
        torch.cat([prompts.labels, torch.tensor(labels, dtype=torch.int32)[:, None]], dim=1),
    )


class Training:
    """The state of a run: where it stands, its weights, its snapshots on disk."""

    def __init__(self, out: Path, seed: int, device: torch.device, speed: float) -> None:
        """Starts a run, or goes on with the one in ``out``.

        Args:
            out: Folder of the run.
            seed: Seed of weights and scenes.
            device: Where to train.
            speed: Multiplies every stage's steps (below 1 for a quick look).
        """
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.seed, self.device = out, seed, device
        self.stages = [dataclasses.replace(s, steps=max(1, int(s.steps * speed))) for s in STAGES]
        self.stage_index = self.step = 0
        self.weights: dict[str, Tensor] | None = None
        self.average: dict[str, Tensor] = {}
        self.optimiser_state: dict | None = None
        self.snapshot_path = out / "snapshot.pt"
        if self.snapshot_path.exists():
            snapshot = torch.load(self.snapshot_path, map_location="cpu", weights_only=True)
            self.stage_index, self.step = snapshot["stage"], snapshot["step"]
            self.weights, self.average = snapshot["weights"], snapshot["average"]
            self.optimiser_state = snapshot["optimiser"]
            logger.info("resuming at stage %d, step %d", self.stage_index, self.step)

    def run(self) -> None:
        """Trains every stage that is left and writes ``final.pt``."""
        torch.manual_seed(self.seed)
        while self.stage_index < len(self.stages):
            self._run_stage(self.stages[self.stage_index])
            self.stage_index, self.step, self.optimiser_state = self.stage_index + 1, 0, None
            self._save_snapshot()
        torch.save({"model": self.average, "seed": self.seed}, self.out / "final.pt")
        logger.info("done")

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
        model: nn.Module,
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
    def _update_average(self, model: nn.Module) -> None:
        # Early weights are soon forgotten: the average is at most as old as the run.
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        for name, value in model.state_dict().items():
            old = self.average.get(name)
            if old is None or old.shape != value.shape or not value.is_floating_point():
                self.average[name] = value.detach().clone()
            else:
                old.lerp_(value, 1 - decay)

    def _keep(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
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
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # Denormals appear late in training and are a hundred times slower on a CPU.
    torch.set_flush_denormal(True)
    Training(args.out, args.seed, torch.device(args.device), args.speed).run()


if __name__ == "__main__":
    main()
