"""Computes the tracker's losses on single frames, each with a memory of frames before it.

No gradient passes through time: masks in the memory are the truth of any earlier frames, or
what the tracker found there itself, encoded anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...engine.model.patched_modules import TensorsStayOnDevice
from ...engine.model.sam3_imports import Sam3Image, Sam3TrackerBase
from ...engine.model.video_tracker import VideoTracker
from .footage import Footage
from .losses import compute_object_losses
from .rollouts import Rollout
from .scenes import COLORS, KINDS
from .tracker_steps import (
    Decoded,
    FrameFeatures,
    TrackerMemory,
    make_empty_memory,
    make_first_prompt,
    record_decoding,
    run_tracker,
)

MASK_WEIGHT = 2.0
SCORE_WEIGHT = 2.0
GONE_WEIGHT = 2.0
"""Weight of the object score on frames where a shape is absent, which are rare."""

PLACE_WEIGHT = 3.0
INSIDE_WEIGHT = 4.0
"""Weight of cells that a shape covers in the loss of its place."""

LEAST_OBJECTS = 4
"""The losses of a step are divided by its objects, and by no fewer than these."""

MOST_SCATTERED = 2
"""Most frames remembered beside the first where shapes are scattered."""

RECENT_FRAMES = (1, 2, 3, 15)
"""How many of the latest frames are remembered, one of these at random: fewer cost less."""

SPATIAL_FRAMES = 6
"""Frames of which the tracker remembers maps, beside the first."""

GIVEN_LOGIT, GIVEN_SCORE = 10.0, 5.0
"""Logit and object score of what is true."""

NO_COLOR = 0


class TrainingHeads(nn.Module):
    """Reads from the tracker's features what they should hold; only the training has it."""

    def __init__(self, width: int) -> None:
        """Creates untrained heads for maps of ``width`` channels."""
        super().__init__()
        self.place = nn.Conv2d(width, 1, 1)
        self.color = nn.Conv2d(width, 1 + len(COLORS), 1)
        self.kind = nn.Conv2d(width, len(KINDS), 1)


def compute_look_loss(heads: TrainingHeads, features: FrameFeatures, footage: Footage) -> Tensor:
    """Computes the loss of predicting color and kind in each cell of the tracker's features.

    Clicks alone teach its neck little more than edges.
    """
    frames = list(features.coarse)
    maps = torch.stack([features.coarse[t] for t in frames])
    covered = F.interpolate(footage.coverage[frames].float(), maps.shape[-2:], mode="area")
    most, owner = covered.max(dim=1)
    inside, empty = most > 0.5, covered.sum(dim=1) < 0.02
    colors, kinds = list(COLORS), list(KINDS)
    color = torch.tensor([1 + colors.index(c) for c, _ in footage.looks], device=maps.device)
    kind = torch.tensor([kinds.index(k) for _, k in footage.looks], device=maps.device)
    wanted = torch.where(empty, NO_COLOR, color[owner])
    color_loss = F.cross_entropy(heads.color(maps), wanted, reduction="none")
    kind_loss = F.cross_entropy(heads.kind(maps), kind[owner], reduction="none")
    weight = inside + 0.1 * empty
    return (color_loss * weight).sum() / weight.sum() + 0.5 * (
        (kind_loss * inside).sum() / inside.sum().clamp(min=1)
    )


def compute_tracker_losses(
    model: Sam3Image,
    heads: TrainingHeads,
    footage: Footage,
    rollout: Rollout | None,
    objects: npt.NDArray[np.int64],
    frames: list[int],
    rng: np.random.Generator,
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Computes the losses of following shapes to some frames.

    Args:
        model: The model.
        heads: Heads that only the training has.
        footage: The frames.
        rollout: What the tracker remembers; None for the truth of random earlier frames, in
            footage of scattered shapes.
        objects: Indices of K shapes, those of the rollout where there is one.
        frames: The frames to follow to.
        rng: Source of every random choice.

    In a share of the shapes the latest memories are of another shape: the tracker must learn to
    believe what the shape looked like on the first frame.

    Returns:
        Weighted losses to sum; and the mean IoU of the masks that the tracker picks, and the
        shares of right object scores for visible shapes and for those that are gone.
    """
    tracker = model.inst_interactive_predictor.model
    if rollout is not None:
        rollout = rollout.exchange_some(rng, footage.looks, min(frames))
    past = {t: _choose_past(tracker, rollout, t, rng) for t in frames}
    spatial = sorted({0, *(s for chosen in past.values() for s in chosen[-SPATIAL_FRAMES:])})
    features = FrameFeatures(model, footage, sorted({*spatial, *frames}))
    terms: dict[str, list[Tensor]] = {"video": [], "score": [], "place": []}
    answers: dict[str, list[float]] = {"iou": [], "seen_as_there": [], "gone_as_gone": []}
    with TensorsStayOnDevice(), record_decoding(tracker) as decoded:
        entries = _remember(tracker, features, footage, rollout, objects, spatial)
        if rollout is None or rollout.is_mask_given:
            first = make_first_prompt(rng, tracker, footage.coverage[0, objects], "mask")
            out = run_tracker(
                tracker, features, 0, len(objects), make_empty_memory(), first, remembered=False
            )
            entries[0]["obj_ptr"] = out["obj_ptr"]
        else:
            entries[0]["obj_ptr"] = rollout.pointers[0]
        for t in frames:
            memory = _arrange_memory(tracker, footage, rollout, objects, entries, past[t], t)
            run_tracker(tracker, features, t, len(objects), memory, remembered=False)
            _add_losses(heads, decoded, footage, objects, t, terms, answers)
    weights = {"video": MASK_WEIGHT, "score": SCORE_WEIGHT, "place": PLACE_WEIGHT}
    losses = {
        name: weights[name] * torch.cat(parts).sum() / max(LEAST_OBJECTS, sum(map(len, parts)))
        for name, parts in terms.items()
    }
    losses["look"] = compute_look_loss(heads, features, footage)
    return losses, {k: float(np.mean(v)) if v else float("nan") for k, v in answers.items()}


def _choose_past(
    tracker: VideoTracker, rollout: Rollout | None, frame: int, rng: np.random.Generator
) -> list[int]:
    """Chooses the frames that are remembered beside the first."""
    if rollout is None:
        count = int(rng.integers(0, min(MOST_SCATTERED, frame - 1) + 1))
        return sorted((1 + rng.permutation(frame - 1)[:count]).tolist())
    chosen = rollout.choose_remembered(tracker, frame)
    return chosen[-int(rng.choice(RECENT_FRAMES)) :]


def _remember(
    tracker: Sam3TrackerBase,
    features: FrameFeatures,
    footage: Footage,
    rollout: Rollout | None,
    objects: npt.NDArray[np.int64],
    frames: list[int],
) -> dict[int, dict[str, Any]]:
    """Encodes what is remembered of some frames, the first among them, in one call."""
    count = len(objects)
    if rollout is None:
        truth = footage.coverage[frames][:, objects, None] > 0.5
        logits = GIVEN_LOGIT * (2 * truth.float() - 1)
        gone = torch.from_numpy(footage.gone[frames][:, objects, None]).to(logits.device)
        scores = torch.where(gone, -GIVEN_SCORE, GIVEN_SCORE)
    else:
        logits, scores = rollout.logits[frames].float(), rollout.scores[frames]
    size = (tracker.image_size,) * 2
    masks = F.interpolate(logits.flatten(0, 1), size, mode="bilinear")
    if rollout is not None and not rollout.is_mask_given:
        # The package writes masks of clicks into the memory as zeros and ones.
        masks = torch.cat([torch.where(masks[:count] > 0, 100.0, -100.0), masks[count:]])
    maps = torch.stack([features.coarse[t] for t in frames]).repeat_interleave(count, dim=0)
    encoded, positions = tracker._encode_new_memory(
        image=None,
        current_vision_feats=[maps.flatten(2).permute(2, 0, 1)],
        feat_sizes=[maps.shape[-2:]],
        pred_masks_high_res=masks,
        object_score_logits=scores.flatten(0, 1),
        is_mask_from_pts=False,
    )
    return {
        t: {"maskmem_features": part, "maskmem_pos_enc": [p[:count] for p in positions]}
        for t, part in zip(frames, encoded.split(count), strict=True)
    }


def _arrange_memory(
    tracker: Sam3TrackerBase,
    footage: Footage,
    rollout: Rollout | None,
    objects: npt.NDArray[np.int64],
    entries: dict[int, dict[str, Any]],
    past: list[int],
    frame: int,
) -> TrackerMemory:
    """Arranges what is remembered as ``track_step`` wants it."""
    first = entries[0]
    remembered = {}
    for place, t in enumerate(past):
        entry = {**entries.get(t, {}), "eff_iou_score": 1.0}
        if rollout is not None:
            remembered[t] = {**entry, "obj_ptr": rollout.pointers[t]}
            continue
        # A pointer of each true mask would take a decoder call.
        gone = torch.from_numpy(footage.gone[t, objects, None]).to(first["obj_ptr"].device)
        pointer = torch.where(gone, tracker.no_obj_ptr, first["obj_ptr"])
        remembered[frame - len(past) + place] = {**entry, "obj_ptr": pointer}
    return {"cond_frame_outputs": {0: first}, "non_cond_frame_outputs": remembered}


def _add_losses(
    heads: TrainingHeads,
    decoded: Decoded,
    footage: Footage,
    objects: npt.NDArray[np.int64],
    frame: int,
    terms: dict[str, list[Tensor]],
    answers: dict[str, list[float]],
) -> None:
    """Adds the losses of a frame; a hardly visible shape may be called visible or not."""
    coverage = footage.coverage[frame, objects].float()
    visible, gone = (
        torch.from_numpy(table[frame, objects]).to(coverage.device)
        for table in (footage.counts, footage.gone)
    )
    known = visible | gone
    others = _cover_by_others(footage, objects, frame)
    each, iou = compute_object_losses(decoded.logits, decoded.quality, coverage[:, None], others)
    terms["video"].append(each[visible])
    cross_entropy = F.binary_cross_entropy_with_logits(
        decoded.scores[:, 0], visible.float(), reduction="none"
    )
    terms["score"].append((cross_entropy * torch.where(visible, 1.0, GONE_WEIGHT))[known])
    covered = F.interpolate(coverage[:, None], decoded.fused.shape[-2:], mode="area")
    place = F.binary_cross_entropy_with_logits(
        heads.place(decoded.fused),
        covered,
        reduction="none",
        pos_weight=torch.tensor(INSIDE_WEIGHT, device=covered.device),
    )
    terms["place"].append(place.mean(dim=(1, 2, 3))[known])
    best = decoded.quality[:, 1:].argmax(dim=1, keepdim=True)
    picked = iou[:, 1:].gather(1, best)[:, 0]
    there = decoded.scores[:, 0] > 0
    answers["iou"] += picked[visible].tolist()
    answers["seen_as_there"] += there[visible].float().tolist()
    answers["gone_as_gone"] += (~there)[gone].float().tolist()


def _cover_by_others(footage: Footage, objects: npt.NDArray[np.int64], frame: int) -> Tensor:
    """Computes the share of each cell that other shapes cover, for K shapes, (K, 1, M, M)."""
    every = footage.coverage[frame].float()
    return torch.stack([every.sum(dim=0) - every[i] for i in objects])[:, None].clamp(0, 1)
