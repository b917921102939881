"""What of a process belongs to the host, as plain values to compare.

Also pasted in front of scripts that tests run in a process of their own: so it stands alone.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

PATCHABLE = ("torch", "torch.nn.functional", "torch.nn.init", "torch.cuda", "torch.backends.cuda")
"""Modules that code around models likes to patch; those of sam3 are looked at too."""


def snapshot() -> dict[str, Any]:
    """The state of this process and this thread."""
    root = logging.getLogger()
    state: dict[str, Any] = {
        # Pytest itself notes there which test is under way.
        "environment": {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"},
        "directory": str(Path.cwd()),
        "warning filters": [str(entry) for entry in warnings.filters],
        "show warning": id(warnings.showwarning),
        "root logger": [root.level, logging.root.manager.disable, *map(repr, root.handlers)],
        "own loggers": {
            name: [logger.level, logger.propagate, *map(repr, logger.handlers)]
            for name, logger in sorted(logging.root.manager.loggerDict.items())
            if name.startswith("infer_segment") and isinstance(logger, logging.Logger)
            if logger.level or logger.handlers or not logger.propagate
        },
        "loggers of sam3": {
            name: [logger.level, logger.propagate, *map(repr, logger.handlers)]
            for name, logger in sorted(logging.root.manager.loggerDict.items())
            if name.startswith("sam3") and isinstance(logger, logging.Logger)
            if logger.level or logger.handlers or not logger.propagate
        },
        "hooks": [id(sys.excepthook), id(threading.excepthook), id(sys.displayhook)],
        "recursion limit": sys.getrecursionlimit(),
    }
    if "numpy" in sys.modules:
        import numpy

        state["numpy errors"] = numpy.geterr()
        state["numpy random"] = _digest(str(numpy.random.get_state()))
    if "torch" in sys.modules:
        state |= _torch_state()
    return state


def functions() -> dict[str, int]:
    """Identity of every function and class of torch and sam3 that somebody might patch."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name in PATCHABLE or name == "sam3" or name.startswith("sam3."):
            owners = {name: module}
            owners |= {
                f"{name}.{key}": value
                for key, value in vars(module).items()
                if isinstance(value, type) and value.__module__ in (name, "torch")
            }
            for owner, holder in owners.items():
                for key, value in list(vars(holder).items()):
                    if callable(value):
                        found[f"{owner}.{key}"] = id(value)
    return found


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What was there before and is another now, down to the entries of dicts."""
    differing: dict[str, Any] = {}
    for key, value in before.items():
        now = after.get(key)
        if isinstance(value, dict) and isinstance(now, dict):
            names = [name for name in {**value, **now} if value.get(name) != now.get(name)]
            differing |= {f"{key}: {name}": (value.get(name), now.get(name)) for name in names}
        elif value != now:
            differing[key] = value, now
    return differing


def _torch_state() -> dict[str, Any]:
    import torch

    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    return {
        "autocast": [
            torch.is_autocast_enabled("cpu"),
            torch.is_autocast_enabled("cuda"),
            torch.is_autocast_cache_enabled(),
            str(torch.get_autocast_dtype("cpu")),
            str(torch.get_autocast_dtype("cuda")),
        ],
        "tf32": [cuda.matmul.allow_tf32, cudnn.allow_tf32, torch.get_float32_matmul_precision()],
        "attention": [
            cuda.flash_sdp_enabled(),
            cuda.math_sdp_enabled(),
            cuda.mem_efficient_sdp_enabled(),
            cuda.cudnn_sdp_enabled(),
        ],
        "deterministic": [
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            cudnn.deterministic,
            cudnn.benchmark,
            cudnn.enabled,
        ],
        "onednn": torch.backends.mkldnn.enabled,
        "defaults": [str(torch.get_default_dtype()), str(torch.get_default_device())],
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "gradients": [torch.is_grad_enabled(), torch.is_inference_mode_enabled()],
        "anomaly": torch.is_anomaly_enabled(),
        "torch random": _digest(torch.get_rng_state().numpy().tobytes()),
        "function modes": len(torch.overrides._get_current_function_mode_stack()),
        "dispatch modes": torch._C._len_torch_dispatch_stack(),
    }


def _digest(value: str | bytes) -> str:
    data = value.encode() if isinstance(value, str) else value
    return hashlib.blake2b(data, digest_size=8).hexdigest()
