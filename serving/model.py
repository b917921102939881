"""Loads the model that the server answers with."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from pathlib import Path

from ..engine import Engine
from ..engine.checkpoints.errors import DownloadError
from ..engine.checkpoints.zoo import find_weights
from .settings import Settings

logger = logging.getLogger("infer_segment_anything_3.serving")

_SAMPLES = 64
_SAMPLE_BYTES = 64 * 1024


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """Holds a loaded model and its name.

    Attributes:
        engine: The engine.
        name: ``sam3``, ``tiny_shapes`` or a repository.
        weights_digest: Tells weights apart, wherever the file lies.
        fallback_reason: Why the bundled model stands in for ``sam3``; empty if it does not.
    """

    engine: Engine
    name: str
    weights_digest: str
    fallback_reason: str = ""

    @property
    def version(self) -> str:
        """Version of the answers: it changes with weights, precision and backend."""
        backend = "" if self.engine.backend == "torch" else f"-{self.engine.backend}"
        return f"{self.name}-{self.weights_digest[:12]}-{self.engine.precision}{backend}"


def load_served_model(settings: Settings) -> ServedModel:
    """Loads the model that the settings name.

    Args:
        settings: The settings. Without a model's name and a checkpoint, ``tiny_shapes`` stands
            in where the weights of ``sam3`` cannot be had.

    Returns:
        The model, ready.

    Raises:
        ValueError: If the device is not there; the message begins with ``DEVICE``.
        WeightsError: If the weights cannot be had, or do not fit.
    """
    device = _check_device(settings.device)
    name, reason = settings.model or "sam3", ""
    checkpoint = None if name == "tiny_shapes" else settings.checkpoint
    try:
        path = find_weights(name, checkpoint)
    except DownloadError as error:
        if settings.model is not None:
            raise
        name, reason = "tiny_shapes", str(error)
        path = find_weights(name)
        logger.warning(
            "No weights of sam3: answering with tiny_shapes, which knows flat colored shapes "
            "only. Set MODEL=sam3 to stop instead. %s",
            reason,
        )
    engine = Engine.load(name, path, device, backend=settings.backend)
    return ServedModel(engine, name, compute_file_digest(path), reason)


def compute_file_digest(path: Path) -> str:
    """Computes a digest of a large file from its size and samples of it, in hexadecimal.

    Reading all of a checkpoint would take seconds; weights that differ do so everywhere.
    """
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        for sample in range(_SAMPLES):
            file.seek(max(0, size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _check_device(device: str) -> str | None:
    import torch

    if device == "auto":
        return None
    if device.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(device.partition(":")[2] or 0) >= count:
            raise ValueError(
                f"DEVICE: expected a GPU that PyTorch can use, got {device} of {count}"
            )
    return device
