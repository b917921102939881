"""Lets the tracker follow shapes through footage with its own memory, to learn from it later."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from ...engine.model.patched_modules import TensorsStayOnDevice
from ...engine.model.sam3_imports import Sam3Image
from ...engine.model.video_tracker import ENDLESS, VideoTracker
from .footage import Footage
from .tracker_steps import (
    FIRST_PROMPTS,
    FrameFeatures,
    make_empty_memory,
    make_first_prompt,
    run_tracker,
)

EXCHANGED_SHARE = 0.3
"""Share of the shapes that are remembered as another one in the latest frames."""


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Holds the tracker's outputs for K shapes on T frames.

    Attributes:
        objects: Indices of the shapes, (K,).
        logits: Its masks, (T, K, 1, M, M) float16.
        scores: Object scores, (T, K, 1).
        pointers: Object pointers, (T, K, C).
        quality: What it thinks of each frame, T numbers.
        is_lost: Whether its mask is of something else than the shape, (T, K) bool.
        is_mask_given: Whether the shapes were given as masks on the first frame.
    """

    objects: npt.NDArray[np.int64]
    logits: Tensor
    scores: Tensor
    pointers: Tensor
    quality: list[float]
    is_lost: npt.NDArray[np.bool_]
    is_mask_given: bool

    def choose_remembered(self, tracker: VideoTracker, frame: int) -> list[int]:
        """Chooses the earlier frames that the tracker remembers when it follows to a frame.

        Args:
            tracker: The tracker.
            frame: The frame to follow to.

        Returns:
            Their indices, without that of the first frame.
        """
        stored = {t: {"eff_iou_score": self.quality[t]} for t in range(1, frame)}
        memory = {**make_empty_memory(), "non_cond_frame_outputs": stored}
        chosen = tracker.frame_filter(memory, False, frame, ENDLESS, 1)
        return [t for t in chosen if t]

    def exchange_some(
        self, rng: np.random.Generator, looks: Sequence[tuple[str, str]], before: int
    ) -> Rollout:
        """Gives some shapes the memory of another one that looks different, from some frame on.

        Shapes that look like another one keep theirs: nothing else would tell which one is meant.

        Args:
            rng: Source of every random choice.
            looks: Looks of all shapes of the footage.
            before: The exchange begins after the first frame, on this one at the latest.

        Returns:
            The rollout with exchanged memories.
        """
        whose = np.tile(np.arange(len(self.objects)), (len(self.logits), 1))
        for k, i in enumerate(self.objects):
            others = [j for j, o in enumerate(self.objects) if looks[o] != looks[i]]
            if others and looks.count(looks[i]) == 1 and rng.random() < EXCHANGED_SHARE:
                whose[int(rng.integers(1, before + 1)) :, k] = rng.choice(others)
        times = np.arange(len(whose))[:, None]
        return dataclasses.replace(
            self,
            logits=self.logits[times, whose],
            scores=self.scores[times, whose],
            pointers=self.pointers[times, whose],
        )


@torch.no_grad()
def roll_out(
    model: Sam3Image, footage: Footage, objects: npt.NDArray[np.int64], rng: np.random.Generator
) -> Rollout:
    """Follows shapes from the first frame to the last.

    Args:
        model: The model.
        footage: The frames.
        objects: Indices of K shapes, visible on the first frame.
        rng: Chooses how they are given there.

    Returns:
        What was found.
    """
    tracker = model.inst_interactive_predictor.model
    frames = range(len(footage.trunk))
    features = FrameFeatures(model, footage, frames)
    form = str(rng.choice(FIRST_PROMPTS))
    prompt = make_first_prompt(rng, tracker, footage.coverage[0, objects], form)
    memory = make_empty_memory()
    outs = []
    with TensorsStayOnDevice():
        for t in frames:
            out = run_tracker(tracker, features, t, len(objects), memory, None if t else prompt)
            memory["non_cond_frame_outputs" if t else "cond_frame_outputs"][t] = out
            outs.append(out)
    # A given mask comes back at a size of its own.
    size = footage.coverage.shape[-2:]
    masks = [F.interpolate(out["pred_masks"], size, mode="bilinear") for out in outs]
    logits = torch.stack(masks).half()
    scores = torch.stack([out["object_score_logits"] for out in outs])
    found = (logits[:, :, 0] > 0) & (scores[..., None] > 0)
    return Rollout(
        objects=objects,
        logits=logits,
        scores=scores,
        pointers=torch.stack([out["obj_ptr"] for out in outs]),
        quality=[float(out["eff_iou_score"]) for out in outs],
        is_lost=find_lost(found, footage.coverage[:, objects] > 0.5, footage.counts[:, objects]),
        is_mask_given=form == "mask",
    )


def find_lost(found: Tensor, real: Tensor, counts: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Finds where most of a mask, or of a shape that counts, is not of the other.

    Args:
        found: Masks, (T, K, M, M) bool.
        real: What is visible of the shapes, the same.
        counts: Whether enough of a shape is visible for it to be asked for, (T, K).

    Returns:
        (T, K) bool.
    """
    both, area, truth = (m.sum(dim=(2, 3)).cpu().numpy() for m in (found & real, found, real))
    return (2 * both < area) | ((2 * both < truth) & counts)
