"""Runs SAM 3 on images: text, exemplars, points, boxes in; masks, boxes, scores out.

On videos, :class:`VideoSession` tracks objects from frame to frame. Runs without Ikomia.
Importing this package does not import torch; using :class:`Engine` does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .model.config import AssociationSettings
from .prompts import ConceptPrompt, EverythingPrompt, ObjectPrompt, Prompt, PromptedObject
from .reference_image import ReferenceImage
from .results import Instance, Mask, Result

if TYPE_CHECKING:
    from .engine import Engine
    from .video.clip import VideoTracks, track_video
    from .video.session import VideoSession

__all__ = [
    "AssociationSettings",
    "ConceptPrompt",
    "Engine",
    "EverythingPrompt",
    "Instance",
    "Mask",
    "ObjectPrompt",
    "Prompt",
    "PromptedObject",
    "ReferenceImage",
    "Result",
    "VideoSession",
    "VideoTracks",
    "track_video",
]

_LAZY = {
    "Engine": "engine",
    "VideoSession": "video.session",
    "VideoTracks": "video.clip",
    "track_video": "video.clip",
}
"""The names that need PyTorch, and the module of each."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from .runtime.isolation import import_sam3

        # Before the engine's modules, which import what warns and sets switches.
        import_sam3()
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
