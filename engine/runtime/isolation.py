"""Keeps the host process as it was while the ``sam3`` package is imported and used.

Importing ``sam3`` adds a handler to the root logger, handlers with
``propagate=False`` to loggers of its own, environment variables, and switches TF32
on; it also refuses ``LOG_LEVEL`` values it does not know. OpenCV sets
``LD_LIBRARY_PATH`` and SciPy adds warning filters. The process belongs to the host and
to its other plugins, so every one of these is undone right after the import.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
import threading
import types
import warnings
from collections.abc import Iterator

import numpy as np

_warnings_lock = threading.Lock()
_attention_flags_lock = threading.Lock()

_MODULES = (
    "cv2",
    "scipy.sparse",
    "scipy.special",
    "skimage.measure",
    "sam3.perflib.connected_components",
    "sam3.perflib.nms",
    "sam3.model.sam3_image_processor",
)
"""Modules whose import has side effects; the last one shows that all are imported."""


def import_sam3() -> None:
    """Imports the parts of ``sam3`` that an image model needs, and undoes the side effects.

    Cheap after the first call. Thread-safe.

    Raises:
        ImportError: If ``sam3`` or one of its undeclared dependencies is missing.
    """
    with _warnings_lock:
        if "sam3.model.sam3_image_processor" in sys.modules:
            return
        with (
            _keep_environment(),
            _keep_logging(),
            _keep_torch_flags(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            _compute_float_limits()
            _replace_distance_transform()
            for name in _MODULES:
                importlib.import_module(name)


def _replace_distance_transform() -> None:
    """Puts an empty module in the place of the package's one that cannot do without Triton.

    There is no Triton on a Mac, and without a GPU it is 1 GB of no use. The package's distance
    transform draws simulated clicks in training; no inference calls it.
    """
    if importlib.util.find_spec("triton") is not None:
        return
    module = types.ModuleType("sam3.model.edt")

    def edt_triton(data: object) -> None:
        raise ImportError("edt_triton needs Triton: pip install triton")

    module.edt_triton = edt_triton  # type: ignore[attr-defined]
    sys.modules.setdefault(module.__name__, module)


@contextlib.contextmanager
def suppress_warnings() -> Iterator[None]:
    """Suppresses warnings of the package about itself, which a user cannot act on.

    One thread at a time: filters belong to the process, and of two threads that change them
    by turns one puts back what the other had changed.
    """
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ask_float_limits() -> None:
    """Makes NumPy compute the limits of its floats without its warnings; it keeps them.

    Ikomia's libraries make the processor flush the smallest floats to zero. NumPy reports it
    when something first asks for the limits, for instance matplotlib when it is imported.
    """
    with suppress_warnings():
        _compute_float_limits()


def _compute_float_limits() -> None:
    np.finfo(np.float32), np.finfo(np.float64)


@contextlib.contextmanager
def _keep_environment() -> Iterator[None]:
    before = dict(os.environ)
    os.environ.pop("LOG_LEVEL", None)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _keep_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    known = set(logging.root.manager.loggerDict)
    # ``logging.debug(...)`` at import time calls ``basicConfig`` when the root logger
    # has no handler; a placeholder keeps it from doing so.
    placeholder = logging.NullHandler()
    root.addHandler(placeholder)
    try:
        yield
    finally:
        for handler in list(root.handlers):
            if handler not in handlers:
                root.removeHandler(handler)
        root.setLevel(level)
        for name in set(logging.root.manager.loggerDict) - known:
            if name == "sam3" or name.startswith("sam3."):
                logger = logging.getLogger(name)
                for handler in list(logger.handlers):
                    logger.removeHandler(handler)
                logger.propagate = True
                logger.setLevel(logging.NOTSET)


@contextlib.contextmanager
def _keep_torch_flags() -> Iterator[None]:
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


@contextlib.contextmanager
def keep_attention_flags() -> Iterator[None]:
    """Puts the process-wide choice of attention kernels back as it was.

    Every click of the package switches all three on. One thread at a time: of two, the one
    that came second would take the first one's switches for the host's choice.
    """
    import torch

    cuda = torch.backends.cuda
    with _attention_flags_lock:
        flash, math, efficient = (
            cuda.flash_sdp_enabled(),
            cuda.math_sdp_enabled(),
            cuda.mem_efficient_sdp_enabled(),
        )
        try:
            yield
        finally:
            cuda.enable_flash_sdp(flash)
            cuda.enable_math_sdp(math)
            cuda.enable_mem_efficient_sdp(efficient)
