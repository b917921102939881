"""Chooses a model by the words of a command line, checked before it is loaded."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import parsing, validation
from .validation import value_error

if TYPE_CHECKING:
    from .engine import Engine

_FINGERPRINT_BYTES = 1024**2


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Chooses a model, and how it runs.

    Attributes:
        model_name: ``sam3``, ``sam3.1``, ``tiny_shapes`` or a repository, see ``Engine.load``.
        weight_file: A local checkpoint, or ``base + adapter_folder``; wins over the download.
        device: ``cpu``, ``cuda``, ``cuda:1``; None for the GPU where there is one.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        input_size: Side of the model's input in pixels, or ``auto`` for its own.
        backend: ``torch``, or ``openvino`` for the image encoder on a CPU.
    """

    model_name: str = "sam3"
    weight_file: str | None = None
    device: str | None = None
    precision: str = "auto"
    input_size: int | Literal["auto"] = "auto"
    backend: str = "torch"

    def load(self) -> Engine:
        """Loads the engine; the weights are downloaded if they are not on this machine."""
        from . import Engine

        return Engine.load(
            self.model_name,
            self.weight_file,
            self.device,
            self.precision,  # type: ignore[arg-type]
            self.input_size,
            self.backend,
        )

    def describe(self) -> dict[str, Any]:
        """Describes the model as plain data. Finds the weights, does not load them."""
        from .checkpoints.zoo import find_weight_files

        return {
            "model": self.model_name,
            "weights": _hash_ends(find_weight_files(self.model_name, self.weight_file).paths),
            "precision": self.precision,
            "input_size": self.input_size,
            **({} if self.backend == "torch" else {"backend": self.backend}),
        }


def choose_model(
    model: str = "sam3",
    weights: str | None = None,
    device: str | None = None,
    precision: str = "auto",
    input_size: str = "auto",
    backend: str = "torch",
) -> ModelOptions:
    """Checks which model to run, and how.

    Args:
        model: ``sam3``, ``sam3.1``, ``tiny_shapes`` or a repository, see ``Engine.load``.
        weights: A local checkpoint, or ``base + adapter_folder``.
        device: ``cpu``, ``cuda`` or ``cuda:N``; None for the GPU where there is one.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        input_size: Side of the model's input in pixels, or ``auto``.
        backend: ``torch``, or ``openvino`` for the image encoder on a CPU.

    Returns:
        The model.

    Raises:
        WeightsError: If the weights are not there.
        ValueError: If a name is unknown, the device is not there, or the model cannot run at
            that size.
    """
    from .backends.choice import BACKENDS
    from .checkpoints.repositories import check_model_name
    from .checkpoints.zoo import MODELS, find_weight_files, resolve_input_size

    model = check_model_name("model", model, MODELS)
    validation.check_choice("precision", precision, ("auto", "float32", "bfloat16"))
    size = parsing.parse_input_size("input_size", input_size)
    resolve_input_size(model, size)
    validation.check_choice("backend", backend, BACKENDS)
    if weights:
        find_weight_files(model, weights)
    if device:
        import torch

        try:
            kind = torch.device(device).type
        except RuntimeError:
            raise value_error("device", "cpu, cuda or cuda:N", device) from None
        if kind == "cuda" and not torch.cuda.is_available():
            raise value_error("device", "a device of this machine (it has no GPU)", device)
    return ModelOptions(model, weights or None, device or None, precision, size, backend)


def set_threads(model_name: str) -> None:
    """Sets the number of OpenMP threads that suits a model; call it before PyTorch is imported.

    OpenMP reads the variable when PyTorch loads it. Operations of a small model are shorter than
    it takes to wake a second thread: with ``tiny_shapes`` on two cores, a click of the server
    takes 11 ms instead of 19. A number that the user set stays.

    Args:
        model_name: As in ``Engine.load``. An unknown name changes nothing.
    """
    from .checkpoints.zoo import MODELS

    model = MODELS.get(model_name)
    if model is not None and model.architecture.most_threads is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(model.architecture.most_threads))


def _hash_ends(paths: Iterable[Path]) -> str:
    """Hashes the size and the first and last MiB of weights files, in milliseconds."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(str(size).encode())
            digest.update(file.read(_FINGERPRINT_BYTES))
            file.seek(max(0, size - _FINGERPRINT_BYTES))
            digest.update(file.read(_FINGERPRINT_BYTES))
    return digest.hexdigest()[:16]
