"""Keeps one task's engine, and replaces it only when the parameters need another one."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from .parameters.settings import Settings

if TYPE_CHECKING:
    from ..engine import Engine

logger = logging.getLogger("infer_segment_anything_3")

_EngineKey = tuple[str, str, str, str, int, str]


class ModelHolder:
    """Holds an engine for a task; tasks with the same weights and device share one engine.

    Attributes:
        engine: The engine, or None before the first use.
    """

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self._key: _EngineKey | None = None

    def get(self, settings: Settings) -> Engine:
        """Returns the engine for these settings, and loads it where needed.

        Another model, weight file, precision, input size or device releases the engine held
        so far before the new one is loaded.

        Args:
            settings: The parameters.

        Returns:
            The engine.

        Raises:
            ValueError: If a value is invalid.
            RuntimeError: If the weights cannot be found, downloaded or loaded.
        """
        if self.engine is None or not self.holds(settings):
            self.release()
            self.engine = _load(settings)
            self._key = _make_key(settings)
        return self.engine

    def holds(self, settings: Settings) -> bool:
        """Returns whether the engine held is the one for these settings."""
        return self.engine is not None and self._key == _make_key(settings)

    def release(self) -> None:
        """Releases the engine; its memory is freed when no other task holds it."""
        if self.engine is None:
            return
        self.engine = None
        from ..engine.runtime.memory import release_memory

        release_memory()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.release()


def _make_key(settings: Settings) -> _EngineKey:
    """Names the engine that settings ask for, with ``cuda`` and ``auto`` resolved."""
    import torch

    from ..engine.checkpoints.zoo import resolve_input_size
    from ..engine.model.precision import resolve_precision

    device = _choose_device(settings)
    precision = resolve_precision(settings.precision, torch.device(device))
    size = resolve_input_size(settings.model_name, settings.input_size)
    weights = settings.model_name, settings.model_weight_file
    return *weights, device, precision, size, settings.backend


def _choose_device(settings: Settings) -> str:
    import torch

    return "cuda" if settings.cuda and torch.cuda.is_available() else "cpu"


def _load(settings: Settings) -> Engine:
    # First: it undoes what importing sam3 and torch changes in the process.
    from ..engine import Engine  # isort: skip

    device = _choose_device(settings)
    if settings.cuda and device == "cpu":
        logger.warning("cuda: no GPU that PyTorch can use, running on the CPU")
    return Engine.load(
        settings.model_name,
        settings.model_weight_file or None,
        device,
        settings.precision,
        settings.input_size,
        settings.backend,
    )
