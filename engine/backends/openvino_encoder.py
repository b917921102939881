"""Runs the image encoder with OpenVINO on a CPU."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..model.sam3_imports import Sam3Image
from .conversion import FeatureMaps, convert_encoder
from .converted_files import find_or_make

logger = logging.getLogger("infer_segment_anything_3")

CONVERSION = 1
"""Version of the conversion: another number makes all files again."""

HOW_TO_INSTALL = (
    "backend: openvino is not installed: pip install 'infer_segment_anything_3[openvino]', or "
    "-r requirements-openvino.txt"
)


class OpenVinoEncoder(nn.Module):
    """Computes what ``VisionNeck`` computes, in the place of one.

    Attributes:
        propagation_convs: None: the maps of SAM 3.1's tracker are not converted.
        position_encoding: The neck's own positions.
    """

    def __init__(
        self,
        compiled: Any,
        necks: tuple[int, int],
        position_encoding: nn.Module,
        dtype: torch.dtype,
    ) -> None:
        """Wraps a compiled model.

        Args:
            compiled: The ``openvino.CompiledModel`` of :func:`.conversion.convert_encoder`.
            necks: How many maps the neck of concepts and the interactive one give; 0 for none.
            position_encoding: The neck's own positions.
            dtype: Of the maps, as PyTorch's own neck returns them.
        """
        super().__init__()
        self.propagation_convs = None
        self.position_encoding = position_encoding
        self._request = compiled.create_infer_request()
        self._necks = necks
        self._dtype = dtype

    def collect_propagation(self) -> AbstractContextManager[list[Tensor]]:
        """Collects no maps of SAM 3.1's tracker, see ``VisionNeck.collect_propagation``."""
        return contextlib.nullcontext([])

    def forward(self, images: Tensor) -> Any:
        """Computes the feature maps and positions of both necks.

        Args:
            images: (B, 3, H, W), normalized.

        Returns:
            Maps and positions of the neck of concepts, then of the interactive one: lists of
            (B, C, h, w), finest first; None twice where there is no interactive neck.
        """
        rows = [self._infer(image) for image in images.float().split(1)]
        maps = [torch.cat(row) for row in zip(*rows, strict=True)]
        positions = [self.position_encoding(m).to(m.dtype) for m in maps]
        of_concepts, of_objects = self._necks
        if not of_concepts:
            return maps, positions, list(maps), list(positions)
        if not of_objects:
            return maps, positions, None, None
        n = of_concepts
        return maps[:n], positions[:n], maps[n:], positions[n:]

    def _infer(self, image: Tensor) -> list[Tensor]:
        results = self._request.infer([image.contiguous().numpy()], share_inputs=True)
        # Copied: the next image is written to the same buffers.
        return [torch.from_numpy(np.array(value)).to(self._dtype) for value in results.values()]


def check_openvino(device: torch.device) -> None:
    """Checks that the backend can run.

    Raises:
        ValueError: If the device is no CPU.
        ImportError: If OpenVINO is not installed.
    """
    if device.type != "cpu":
        raise ValueError(f"backend: openvino runs on a CPU only, not on {device}; use torch")
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise ImportError(HOW_TO_INSTALL) from error


def replace_encoder(
    model: Sam3Image, image_size: int, precision: Literal["float32", "bfloat16"], threads: int
) -> None:
    """Replaces a model's image encoder by OpenVINO's, converted or from the cache.

    PyTorch's weights of the encoder are let go.

    Args:
        model: The model, with weights, on the CPU.
        image_size: Side of its input, in pixels.
        precision: What matrix products are computed in.
        threads: Threads that it may use.
    """
    import openvino

    backbone = model.backbone
    neck = backbone.vision_backbone
    maps = FeatureMaps(neck, unused=backbone.scalp)
    key = {
        "part": "image encoder",
        "weights": _hash_weights(maps),
        "image_size": image_size,
        "openvino": openvino.__version__,
        "conversion": CONVERSION,
    }
    core = openvino.Core()
    path = find_or_make(key, lambda out: _convert(maps, image_size, out))
    properties = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # a pinned thread waits where another process has its core
    }
    compiled = core.compile_model(core.read_model(path), "CPU", properties)
    of_concepts, of_objects = (
        0 if part is None else len(part) - backbone.scalp for part in (neck.convs, neck.sam2_convs)
    )
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    backbone.vision_backbone = OpenVinoEncoder(
        compiled, (of_concepts, of_objects), neck.position_encoding, dtype
    )
    backbone.scalp = 0  # the unused maps were not converted


def _convert(maps: FeatureMaps, image_size: int, out: Path) -> None:
    import openvino

    logger.warning("Converting the image encoder for OpenVINO, once; it is kept in %s", out.parent)
    started = time.perf_counter()
    openvino.save_model(convert_encoder(maps.float(), image_size), out, compress_to_fp16=False)
    logger.warning("Converted in %.0f s", time.perf_counter() - started)


def _hash_weights(maps: FeatureMaps) -> str:
    """Hashes all weights, so that a merged adapter counts as well."""
    digest = hashlib.sha256()
    for name, tensor in maps.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()[:32]
