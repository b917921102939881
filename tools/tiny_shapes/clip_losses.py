"""Tracks shapes through training clips, and computes the losses.

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

from ...engine.model.patched_modules import TensorsStayOnDevice
from ...engine.model.sam3_imports import Sam3Image, Sam3TrackerBase
from .clip_samples import ClipPool, pick_objects
from .losses import compute_object_losses

OBJECTS_PER_CLIP = 2
FIRST_PROMPTS = ("mask", "mask", "mask", "click", "box")
"""How a shape is given on the first frame, one of these at random."""

SCORE_WEIGHT = 2.0
GONE_WEIGHT = 6.0
"""Weight of the object score on frames where a shape is absent, which are rare."""

VIDEO_WEIGHT = 3.0
FOUND_IOU, LOST_IOU = 0.5, 0.3
"""IoU above which a shape is found, and below which a shape found before is lost."""

RESTORED_FRAMES = 8
"""Frames whose memory is replaced by the truth when a shape was lost."""

TrackerMemory = dict[str, dict[int, dict[str, Any]]]
NO_END = 10**9
"""Number of frames of a video whose length is not known."""


class ClipTracking:
    """Tracks shapes through the clips of a batch, some frames at a time.

    Each part begins with the memory of the parts before, without its gradients: so the tracker
    learns from a memory of many frames, at the cost of a few. A shape that was lost counts in
    no loss, and its memory is restored before the next part.
    """

    def __init__(self, model: Sam3Image, pool: ClipPool, clips: int) -> None:
        """Draws the clips, and the prompts on their first frames.

        Args:
            model: The model.
            pool: Where clips come from.
            clips: How many, with :data:`OBJECTS_PER_CLIP` shapes each.
        """
        self._tracker = model.inst_interactive_predictor.model
        self._device = next(model.parameters()).device
        self._samples = pool.batch(clips)
        chosen = [pick_objects(pool.rng, sample, OBJECTS_PER_CLIP) for sample in self._samples]
        pairs = list(zip(self._samples, chosen, strict=True))
        self._rows = torch.arange(clips).repeat_interleave(OBJECTS_PER_CLIP)
        self._coverage = torch.cat(
            [s.coverage[:, torch.from_numpy(c)].float() for s, c in pairs], dim=1
        ).to(self._device)
        self._counts, self._gone = (
            torch.from_numpy(np.concatenate(columns, axis=1)).to(self._device)
            for columns in (
                [s.counts[:, c] for s, c in pairs],
                [s.gone[:, c] for s, c in pairs],
            )
        )
        form = str(pool.rng.choice(FIRST_PROMPTS))
        self._prompt = _make_first_prompt(pool.rng, self._tracker, self._coverage[0], form)
        self._memory: TrackerMemory = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        self._lost = torch.zeros(len(self._rows), dtype=torch.bool, device=self._device)
        self._was_found = self._lost.clone()
        self._next = 0

    @property
    def is_over(self) -> bool:
        """Whether the last frame was tracked."""
        return self._next >= len(self._coverage)

    def compute_losses(self, frames: int) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Tracks the shapes through the next frames and computes the losses.

        Args:
            frames: How many, at least 2.

        Returns:
            Weighted losses to sum; and the mean IoU of the masks that the tracker picks on
            the first and on the last of these frames, the share of shapes that are lost
            then, and the shares of right answers for visible shapes and for those that are
            gone.
        """
        mask_loss, score_loss = [], []
        ious: list[float] = []
        right: list[float] = []
        gone_right: list[float] = []
        with TensorsStayOnDevice(), _record_masks(self._tracker.sam_mask_decoder) as recorded:
            if self._lost.any():
                self._restore_memory()
            for t in range(self._next, min(self._next + frames, len(self._coverage))):
                self._follow_to(t)
                if t == 0 and self._prompt["mask_inputs"] is not None:
                    continue
                logits, quality, score = (value.float() for value in recorded[-1])
                visible, known = self._counts[t], ~self._lost
                present = visible & known
                each, iou = compute_object_losses(logits, quality, self._coverage[t, :, None])
                mask_loss.append((each * present).sum() / present.sum().clamp(min=1))
                # What is hardly visible may be called either.
                known &= visible | self._gone[t]
                cross_entropy = F.binary_cross_entropy_with_logits(
                    score[:, 0], visible.float(), reduction="none"
                )
                weight = known * torch.where(visible, 1.0, GONE_WEIGHT)
                score_loss.append((cross_entropy * weight).sum() / weight.sum().clamp(min=1))
                picked = iou[:, 1:].gather(1, quality[:, 1:].argmax(1, keepdim=True))[:, 0]
                ious.append(float(picked[present].mean()) if present.any() else float("nan"))
                answer = score[:, 0] > 0
                right.append(float(answer[visible & known].float().mean()))
                gone_right.append(float((~answer)[~visible & known].float().mean()))
                found = visible & (picked >= FOUND_IOU)
                self._was_found |= found
                self._lost |= visible & (picked < LOST_IOU) & self._was_found
                self._lost &= ~found
        self._next += frames
        self._memory = _detach_memory(self._memory)
        losses = {
            "video": VIDEO_WEIGHT * torch.stack(mask_loss).mean(),
            "score": SCORE_WEIGHT * torch.stack(score_loss).mean(),
        }
        report = {
            "early_iou": ious[0],
            "late_iou": ious[-1],
            "lost": float(self._lost.float().mean()),
            "seen_as_there": _mean_of_numbers(right),
            "gone_as_gone": _mean_of_numbers(gone_right),
        }
        return losses, report

    def _follow_to(self, t: int) -> None:
        """Runs the tracker on a frame and keeps its memory."""
        out = self._track(t, self._prompt if t == 0 else {})
        self._memory["non_cond_frame_outputs" if t else "cond_frame_outputs"][t] = out

    @torch.no_grad()
    def _restore_memory(self) -> None:
        """Puts the truth into the memory of the shapes that were lost."""
        size = (self._tracker.input_mask_size,) * 2
        tracked = self._memory["non_cond_frame_outputs"]
        for t in sorted(tracked)[-RESTORED_FRAMES:]:
            grown = F.interpolate(self._coverage[t, :, None], size=size, mode="bilinear")
            truth = self._track(t, {"mask_inputs": grown > 0.5})
            for name in ("maskmem_features", "obj_ptr"):
                lost = self._lost.view(-1, *[1] * (truth[name].ndim - 1))
                tracked[t][name] = torch.where(lost, truth[name], tracked[t][name])
        self._lost[:] = False

    def _track(self, t: int, prompt: dict[str, Any]) -> dict[str, Any]:
        """Runs the tracker on a frame as ``Sam3TrackerPredictor`` does."""
        decoder = self._tracker.sam_mask_decoder
        fine, middle, coarse = (
            torch.stack([s.features[level][t].float() for s in self._samples]).to(self._device)
            for level in range(3)
        )
        maps = [decoder.conv_s0(fine), decoder.conv_s1(middle), coarse]
        maps = [m[self._rows] for m in maps]
        positions = self._samples[0].positions.to(self._device).flatten(2).permute(2, 0, 1)
        out: dict[str, Any] = self._tracker.track_step(
            frame_idx=t,
            is_init_cond_frame=bool(prompt),
            current_vision_feats=[m.flatten(2).permute(2, 0, 1) for m in maps],
            current_vision_pos_embeds=[positions.expand(-1, len(self._rows), -1)],
            feat_sizes=[(m.shape[-2], m.shape[-1]) for m in maps],
            image=None,
            **{"mask_inputs": None, "point_inputs": None, **prompt},
            output_dict=self._memory,
            num_frames=NO_END,
        )
        return out


def _mean_of_numbers(values: list[float]) -> float:
    """Computes the mean of the values that are not NaN; NaN if all are."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")


def _detach_memory(memory: TrackerMemory) -> TrackerMemory:
    """Copies the part of a memory that later frames read, without gradients."""
    return {
        kind: {
            t: {
                "maskmem_features": out["maskmem_features"].detach(),
                "maskmem_pos_enc": out["maskmem_pos_enc"],
                "obj_ptr": out["obj_ptr"].detach(),
                "eff_iou_score": out["eff_iou_score"].detach(),
            }
            for t, out in frames.items()
        }
        for kind, frames in memory.items()
    }


def _make_first_prompt(
    rng: np.random.Generator, tracker: Sam3TrackerBase, coverage: Tensor, form: str
) -> dict[str, Any]:
    """Makes the prompt of ``track_step`` on the first frame.

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


@contextmanager
def _record_masks(decoder: Any) -> Iterator[list[tuple[Tensor, Tensor, Tensor]]]:
    """Records the mask decoder's output, before the tracker empties masks of absent objects.

    Logits (B, 4, M, M), quality (B, 4) and object score (B, 1), by call.
    """
    recorded: list[tuple[Tensor, Tensor, Tensor]] = []
    predict = decoder.predict_masks

    def predict_and_record(**arguments: Any) -> Any:
        answer = predict(**arguments)
        logits, quality, _, score = answer
        recorded.append((logits, quality, score))
        return answer

    decoder.predict_masks = predict_and_record
    try:
        yield recorded
    finally:
        del decoder.predict_masks
