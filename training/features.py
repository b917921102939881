"""Encodes images once with the frozen image encoder, and keeps what it gave on the disk."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..engine.model.sam3_imports import Sam3Image
from .images import normalize_images

_FREE_BYTES = 64 * 2**20
"""What the disk must keep free besides."""


def join_levels(levels: list[Tensor], positions: Sequence[Tensor]) -> dict[str, Any]:
    """Joins feature maps as ``SAM3VLBackbone.forward_image`` returns them for the detector.

    Args:
        levels: Maps of the neck, finest first, each (B, C, h, w).
        positions: Their encoded positions, each (1, C, h, w).

    Returns:
        What the detector reads.
    """
    count = len(levels[0])
    return {
        "vision_features": levels[-1],
        "vision_pos_enc": [p.expand(count, -1, -1, -1) for p in positions],
        "backbone_fpn": levels,
    }


def encode_trunk(model: Sam3Image, images: Tensor) -> Tensor:
    """Encodes images up to the neck.

    Args:
        model: The model.
        images: (B, 3, S, S) uint8.

    Returns:
        (B, C, h, w) float32.
    """
    trunk: Tensor = model.backbone.vision_backbone.trunk(normalize_images(images))[-1]
    return trunk.float()


def compute_detector_features(model: Sam3Image, trunk: Tensor) -> dict[str, Any]:
    """Computes the neck's maps for the detector, without those for clicks.

    Args:
        model: The model.
        trunk: (B, C, h, w), from :func:`encode_trunk`.

    Returns:
        What the detector reads of ``SAM3VLBackbone.forward_image``.
    """
    vision = model.backbone.vision_backbone
    used = len(vision.convs) - model.backbone.scalp
    levels = [conv(trunk.float()) for conv in vision.convs[:used]]
    positions = [vision.position_encoding(level[:1]).to(level.dtype) for level in levels]
    return join_levels(levels, positions)


def hash_pixels(image: Tensor, *settings: object) -> str:
    """Hashes a (3, S, S) uint8 image and what else its features depend on, to 32 digits."""
    digest = hashlib.sha256(repr((tuple(image.shape), *settings)).encode())
    digest.update(image.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


class FeatureFolder:
    """Keeps the trunk's output of images in a folder, float16, one file an image.

    A file's name tells the pixels and the weights, so that several jobs may share a folder.
    """

    def __init__(self, folder: Path) -> None:
        """Makes the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def get_path(self, key: str, suffix: str = ".safetensors") -> Path:
        """Returns the path of a file."""
        return self.folder / f"{key}{suffix}"

    def has(self, key: str) -> bool:
        """Tells whether an image was encoded."""
        return self.get_path(key).is_file()

    def check_space(self, count: int, model: Sam3Image, side: int) -> None:
        """Refuses to begin with ``count`` images that the disk has no room for.

        Raises:
            OSError: If there is too little room.
        """
        trunk = model.backbone.vision_backbone.trunk
        cells = (side // trunk.patch_embed.proj.stride[0]) ** 2
        needed = count * cells * trunk.channel_list[-1] * 2
        free = shutil.disk_usage(self.folder).free
        if free < needed + _FREE_BYTES:
            raise OSError(
                f"{self.folder} has {free / 2**30:.1f} GiB free; the encoded images need "
                f"{needed / 2**30:.1f} GiB"
            )

    def write(self, key: str, trunk: Tensor) -> None:
        """Writes the trunk's output of an image, (C, h, w), in full or not at all.

        Values beyond float16 are kept as float32.
        """
        from safetensors.torch import save_file

        half = trunk.half().cpu()
        stored = half if bool(torch.isfinite(half).all()) else trunk.float().cpu()
        path = self.get_path(key)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            save_file({"trunk": stored.contiguous()}, temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, key: str) -> Tensor:
        """Reads the trunk's output of an image, (C, h, w), as it is stored."""
        from safetensors.torch import load_file

        return load_file(self.get_path(key))["trunk"]


class TextCache:
    """Encodes each text once with the frozen text encoder."""

    def __init__(self, model: Sam3Image) -> None:
        """Wraps the text encoder of a model."""
        self._model = model
        self._encoded: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    def encode(self, texts: Iterable[str]) -> dict[str, Tensor]:
        """Encodes texts to what ``SAM3VLBackbone.forward_text`` returns for them."""
        wanted = list(texts)
        missing = [text for text in wanted if text not in self._encoded]
        if missing:
            device = next(self._model.parameters()).device
            with torch.no_grad():
                out = self._model.backbone.forward_text(missing, device=device)
            for i, text in enumerate(missing):
                self._encoded[text] = (
                    out["language_features"][:, i : i + 1],
                    out["language_mask"][i : i + 1],
                    out["language_embeds"][:, i : i + 1],
                )
        parts = [self._encoded[text] for text in wanted]
        return {
            "language_features": torch.cat([part[0] for part in parts], 1),
            "language_mask": torch.cat([part[1] for part in parts], 0),
            "language_embeds": torch.cat([part[2] for part in parts], 1),
        }
