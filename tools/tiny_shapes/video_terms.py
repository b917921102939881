"""Follows shapes through clips as the tracker does, and the loss of what it finds.

SAM 2's recipe: a shape is given on the first frame, as a mask, by a click or by a box; the
tracker follows it through the others with its own memory of what it found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ...engine.model.sam3_imports import Sam3Image, Sam3TrackerBase
from .clip_samples import ClipPool, ClipSample, pick_objects
from .losses import object_loss_of_each

OBJECTS_PER_CLIP = 2
FIRST_PROMPTS = ("mask", "mask", "mask", "click", "box")
"""How a shape is given on the first frame, one of these at random."""

SCORE_WEIGHT = 1.0
VIDEO_WEIGHT = 3.0
NO_END = 10**9
"""Number of frames of a video that nobody knows the end of."""


class StayOnDevice(TorchFunctionMode):
    """Makes ``Tensor.cuda`` and ``Tensor.pin_memory`` return their tensor, for this thread.

    The package calls both on what is on the right device already.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in (torch.Tensor.pin_memory, torch.Tensor.cuda):
            return args[0]
        return func(*args, **(kwargs or {}))


def video_terms(
    model: Sam3Image, pool: ClipPool, clips: int
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Loss of shapes followed through clips.

    Args:
        model: The model.
        pool: Where clips come from.
        clips: How many, with :data:`OBJECTS_PER_CLIP` shapes each.

    Returns:
        Weighted terms to sum; and the mean IoU of the mask that the tracker picks on the
        second and on the last frame, and the share of right answers to whether the shape is
        there.
    """
    tracker = model.inst_interactive_predictor.model
    device = next(model.parameters()).device
    rng = pool.rng
    samples = pool.batch(clips)
    chosen = [pick_objects(rng, sample, OBJECTS_PER_CLIP) for sample in samples]
    rows = torch.arange(clips).repeat_interleave(OBJECTS_PER_CLIP)
    coverage = torch.cat(
        [s.coverage[:, torch.from_numpy(c)].float() for s, c in zip(samples, chosen, strict=True)],
        dim=1,
    ).to(device)
    counts, gone = (
        torch.from_numpy(
            np.concatenate(
                [getattr(s, name)[:, c] for s, c in zip(samples, chosen, strict=True)], axis=1
            )
        ).to(device)
        for name in ("counts", "gone")
    )
    prompt = _first_prompt(rng, tracker, coverage[0], str(rng.choice(FIRST_PROMPTS)))
    answers = _follow(tracker, samples, rows, prompt)
    mask_loss, score_loss = [], []
    ious, right = [], []
    for t, (logits, quality, score) in enumerate(answers):
        present = counts[t]
        if t == 0 and prompt["mask_inputs"] is not None:
            continue
        each, iou = object_loss_of_each(logits, quality, coverage[t, :, None])
        mask_loss.append((each * present).sum() / present.sum().clamp(min=1))
        # What is hardly visible may be called either.
        known = present | gone[t]
        cross_entropy = F.binary_cross_entropy_with_logits(
            score[:, 0], present.float(), reduction="none"
        )
        score_loss.append((cross_entropy * known).sum() / known.sum().clamp(min=1))
        picked = iou[:, 1:].gather(1, quality[:, 1:].argmax(1, keepdim=True))[:, 0]
        ious.append(float(picked[present].mean()) if present.any() else float("nan"))
        right.append(float(((score[:, 0] > 0) == present)[known].float().mean()))
    terms = {
        "video": VIDEO_WEIGHT * torch.stack(mask_loss).mean(),
        "score": SCORE_WEIGHT * torch.stack(score_loss).mean(),
    }
    report = {
        "early_iou": ious[1 if len(ious) == len(answers) else 0],
        "late_iou": ious[-1],
        "score_right": float(np.nanmean(right)),
    }
    return terms, report


def _first_prompt(
    rng: np.random.Generator, tracker: Sam3TrackerBase, coverage: Tensor, form: str
) -> dict[str, Any]:
    """What ``track_step`` is given on the first frame.

    Args:
        rng: Source of every random choice.
        tracker: The tracker.
        coverage: Of the shapes on the first frame, (B, M, M).
        form: One of :data:`FIRST_PROMPTS`.

    Returns:
        ``mask_inputs`` and ``point_inputs``.
    """
    if form == "mask":
        size = (tracker.input_mask_size,) * 2
        grown = F.interpolate(coverage[:, None], size=size, mode="bilinear")
        return {"mask_inputs": grown > 0.5, "point_inputs": None}
    cell_px = tracker.image_size / coverage.shape[-1]
    coords = []
    for covered in (coverage > 0.5).cpu().numpy():
        ys, xs = np.nonzero(covered if covered.any() else ~covered)
        if form == "click":
            k = int(rng.integers(len(ys)))
            coords.append([[xs[k] + 0.5, ys[k] + 0.5]])
        else:
            box = np.array([[xs.min(), ys.min()], [xs.max() + 1, ys.max() + 1]])
            coords.append((box + rng.normal(0, 0.03, (2, 2)) * np.ptp(box, axis=0)).tolist())
    labels = [1] if form == "click" else [2, 3]
    device = coverage.device
    points = torch.tensor(np.array(coords), dtype=torch.float32, device=device) * cell_px
    return {
        "mask_inputs": None,
        "point_inputs": {
            "point_coords": points,
            "point_labels": torch.tensor(labels, dtype=torch.int32, device=device).expand(
                len(coords), -1
            ),
        },
    }


def _follow(
    tracker: Sam3TrackerBase, samples: list[ClipSample], rows: Tensor, prompt: dict[str, Any]
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Follows B shapes; for each frame logits (B, 4, M, M), quality (B, 4), score (B, 1)."""
    decoder = tracker.sam_mask_decoder
    device = next(tracker.parameters()).device
    memory: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    positions = samples[0].positions.to(device).flatten(2).permute(2, 0, 1)
    positions = positions.expand(-1, len(rows), -1)
    answers = []
    with StayOnDevice(), _recorded(decoder) as recorded:
        for t in range(len(samples[0].coverage)):
            fine, middle, coarse = (
                torch.stack([s.features[level][t].float() for s in samples]).to(device)
                for level in range(3)
            )
            maps = [decoder.conv_s0(fine), decoder.conv_s1(middle), coarse]
            maps = [m[rows] for m in maps]
            first = t == 0
            out = tracker.track_step(
                frame_idx=t,
                is_init_cond_frame=first,
                current_vision_feats=[m.flatten(2).permute(2, 0, 1) for m in maps],
                current_vision_pos_embeds=[positions],
                feat_sizes=[(m.shape[-2], m.shape[-1]) for m in maps],
                image=None,
                **(prompt if first else {"mask_inputs": None, "point_inputs": None}),
                output_dict=memory,
                num_frames=NO_END,
            )
            memory["cond_frame_outputs" if first else "non_cond_frame_outputs"][t] = out
            logits, quality, _, score = recorded[-1]
            answers.append((logits.float(), quality.float(), score.float()))
    return answers


@contextmanager
def _recorded(decoder: Any) -> Iterator[list[Any]]:
    """Keeps what the mask decoder gives before the tracker empties masks of absent objects."""
    recorded: list[Any] = []
    predict = decoder.predict_masks

    def predict_and_record(**arguments: Any) -> Any:
        answer = predict(**arguments)
        recorded.append(answer)
        return answer

    decoder.predict_masks = predict_and_record
    try:
        yield recorded
    finally:
        del decoder.predict_masks
