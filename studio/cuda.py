"""Finds out whether CUDA can be used, without importing torch (which takes seconds)."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

NO_TORCH = "PyTorch is not installed."
NO_BUILD = "This PyTorch build ({version}) has no CUDA: runs use the CPU."
NO_DRIVER = "No NVIDIA driver was found: runs use the CPU."
NO_DEVICE = "No CUDA device is available: runs use the CPU."


def explain_missing_cuda() -> str | None:
    """Explains why CUDA cannot be used here.

    Returns:
        None where it can be used, else one sentence for the user.
    """
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "cuda"):
        if torch.cuda.is_available():
            return None
        return (
            NO_BUILD.format(version=torch.__version__)
            if not _was_built_with_cuda(torch)
            else NO_DEVICE
        )
    spec = importlib.util.find_spec("torch")
    if spec is None:
        return NO_TORCH
    version = _load_version(spec)
    if version is not None and not _was_built_with_cuda(version):
        return NO_BUILD.format(version=getattr(version, "__version__", "?"))
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return NO_DEVICE
    return None if _has_driver() else NO_DRIVER


def _was_built_with_cuda(module: ModuleType) -> bool:
    version = getattr(module, "version", module)
    return bool(getattr(version, "cuda", None) or getattr(version, "hip", None))


def _load_version(torch_spec: ModuleSpec) -> ModuleType | None:
    """Runs the build's ``torch/version.py`` by itself; it imports nothing of torch."""
    if torch_spec.origin is None:
        return None
    path = Path(torch_spec.origin).with_name("version.py")
    spec = importlib.util.spec_from_file_location("_torch_version", path)
    if spec is None or spec.loader is None or not path.is_file():
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _has_driver() -> bool:
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32/nvcuda.dll").is_file()
    return any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))
