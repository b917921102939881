"""Shares loaded engines between all callers with the same weights, device and precision."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from .backends.choice import check_backend, use_backend
from .checkpoints.loader import load_model
from .checkpoints.zoo import find_weight_files, get_model_spec, resolve_input_size
from .model.precision import Precision, resolve_precision
from .runtime.memory import BatchLimits, release_memory, retry_on_oom
from .runtime.openmp import fix_thread_teams

E = TypeVar("E")

logger = logging.getLogger("infer_segment_anything_3")


class _KeyedLocks:
    """Keeps one lock for each key: waiting for a download blocks only callers with the same key."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = defaultdict(threading.Lock)

    def __getitem__(self, key: Hashable) -> threading.Lock:
        with self._guard:
            return self._locks[key]


_searches = _KeyedLocks()
_loads = _KeyedLocks()
_engines: weakref.WeakValueDictionary[tuple[Any, ...], Any] = weakref.WeakValueDictionary()


def load_engine(
    engine_class: Callable[..., E],
    model_name: str,
    weight_file: str | Path | None,
    device: str | torch.device | None,
    precision: Precision,
    input_size: int | Literal["auto"],
    backend: str = "torch",
) -> E:
    """Returns the engine that holds a model, or loads it; see :meth:`Engine.load`."""
    side = resolve_input_size(model_name, input_size)
    spec = get_model_spec(model_name)
    where = resolve_device(device)
    check_backend(backend, where)
    resolved = resolve_precision(precision, where)
    with _searches[model_name, str(weight_file)]:
        files = find_weight_files(model_name, weight_file)
    key = (model_name, files.identity, str(where), resolved, side, backend)
    with _loads[key]:
        engine: E | None = _engines.get(key)
        if engine is None:
            started = time.perf_counter()
            logger.info("loading %s from %s on %s", model_name, files, where)
            with fix_thread_teams():
                engine = retry_on_oom(
                    lambda _: engine_class(
                        use_backend(
                            load_model(model_name, files, where, side, resolved),
                            backend,
                            side,
                            resolved,
                            spec.architecture.most_threads,
                        ),
                        side,
                        resolved,
                        weights_name=str(files),
                        vocabulary=spec.vocabulary,
                        most_threads=spec.architecture.most_threads,
                        backend=backend,
                    ),
                    BatchLimits(),
                    release_memory,
                )
            _engines[key] = engine
            logger.info("loaded in %.1f s", time.perf_counter() - started)
    return engine


def resolve_device(device: str | torch.device | None) -> torch.device:
    """Resolves a device to the one name under which it is shared.

    Args:
        device: For instance ``cpu`` or ``cuda``; None for the GPU where there is one.

    Returns:
        ``cpu`` without an index, a GPU with one: ``cpu:0`` is ``cpu``, and ``cuda`` is the
        current GPU.
    """
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if where.type == "cpu":
        return torch.device("cpu")
    if where.index is None and where.type == "cuda" and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return where
