"""Declares the current frame and its tracks, which the parts of a session share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Frame:
    """Holds the features of one frame for the tracker.

    Attributes:
        index: Index of the frame, from 0.
        hw: Height and width of the frame, in pixels.
        features: The interactive features of an encoded image (``sam2_backbone_out``).
        propagation: The maps of SAM 3.1's tracker, finest first; empty where there is none.
    """

    index: int
    hw: tuple[int, int]
    features: dict[str, Any]
    propagation: Sequence[Tensor] = ()

    def fill(self, cache: dict[Any, Any]) -> None:
        """Makes this the only frame of a feature cache, in the package's layout."""
        levels = self.features["backbone_fpn"]
        placeholder = torch.zeros(1, 3, 1, 1)  # the tracker only expands the image itself
        cache.clear()
        cache[self.index] = (
            placeholder,
            {
                "tracker_backbone_out": {
                    "vision_features": levels[-1],
                    "vision_pos_enc": self.features["vision_pos_enc"],
                    "backbone_fpn": levels,
                }
            },
        )


@dataclasses.dataclass(frozen=True)
class Track:
    """Describes one object on the current frame.

    Attributes:
        track_id: Its id.
        logits: (g, g) float32 mask logits.
        score: Concept: its latest detection score; object: its object score. 0..1.
        object_score: The tracker's probability that it is visible, 0..1.
        is_visible: Whether its mask has a pixel.
        is_hidden: Whether it is not shown because it was long not detected.
        is_confirmed: Whether it was detected often enough to be shown.
    """

    track_id: int
    logits: Tensor
    score: float
    object_score: float
    is_visible: bool
    is_hidden: bool = False
    is_confirmed: bool = True

    @property
    def is_shown(self) -> bool:
        """Whether it is an instance of the frame."""
        return self.is_visible and self.is_confirmed and not self.is_hidden


def find_visible(logits: Tensor) -> list[bool]:
    """Tells which masks have a cell above 0, of (N, g, g) logits."""
    found: list[bool] = (logits > 0).flatten(1).any(1).tolist()
    return found
