"""Opt-in compilation: faster encodings on a GPU, for a wait of about a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine import Engine


def compile_image_encoder(engine: Engine) -> None:
    """Lets ``torch.compile`` translate the image encoder at its next run.

    Worth its wait where hundreds of images follow. Numbers change in their last bits. The
    engine is shared: everybody who holds it gets the compiled encoder.

    Args:
        engine: The engine; its model stays compiled.
    """
    engine.model.backbone.vision_backbone.trunk.compile(dynamic=False)
