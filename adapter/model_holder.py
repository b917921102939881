"""Keeps one task's engine, and changes it only when the parameters ask for another."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from .parameters.settings import Settings

if TYPE_CHECKING:
    from ..engine import Engine

logger = logging.getLogger("infer_segment_anything_3")


class ModelHolder:
    """Holds an engine for a task; engines are shared between tasks that ask for the same.

    Attributes:
        engine: The engine, or None before the first use.
    """

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self._wanted: tuple[str, str, str, bool] | None = None

    def get(self, settings: Settings) -> Engine:
        """The engine for these settings.

        Another model, weight file, precision or device frees the engine held so far before
        the new one is loaded.

        Args:
            settings: The parameters.

        Returns:
            The engine, loaded or as it was.

        Raises:
            ValueError: If a value is wrong.
            RuntimeError: If the weights cannot be had or do not fit.
        """
        if self.engine is None or not self.holds(settings):
            self.release()
            self.engine = _load(settings)
            self._wanted = _wanted(settings)
        return self.engine

    def holds(self, settings: Settings) -> bool:
        """Whether the engine held is the one for these settings."""
        return self.engine is not None and self._wanted == _wanted(settings)

    def release(self) -> None:
        """Lets go of the engine; its memory is free when no other task holds it."""
        if self.engine is None:
            return
        self.engine = None
        from ..engine.runtime.memory import release_memory

        release_memory()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.release()


def _wanted(settings: Settings) -> tuple[str, str, str, bool]:
    return settings.model_name, settings.model_weight_file, settings.precision, settings.cuda


def _load(settings: Settings) -> Engine:
    # First: it undoes what importing it all changes in the process.
    from ..engine import Engine  # isort: skip
    import torch

    device = "cuda" if settings.cuda and torch.cuda.is_available() else "cpu"
    if settings.cuda and device == "cpu":
        logger.warning("cuda: no GPU that PyTorch can use, running on the CPU")
    return Engine.load(
        settings.model_name, settings.model_weight_file or None, device, settings.precision
    )
