"""Keeps OpenMP from giving the model fewer threads than its kernels count on.

OpenCV builds with OpenMP, such as the one Ikomia brings, switch on dynamic team sizes for
the thread that imports them. On a busy machine a team is then smaller than asked for, and
oneDNN's bfloat16 kernels, which divide their work beforehand, leave the absent threads'
share undone: garbage, without an error.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
from collections.abc import Iterator

_LIBRARIES = {
    "linux": ("libgomp.so.1", "libiomp5.so", "libomp.so.5", "libomp.so"),
    "win32": ("libiomp5md.dll", "vcomp140.dll"),
}


@contextlib.contextmanager
def fixed_thread_teams() -> Iterator[None]:
    """Gives this thread teams of full size for as long as the context lasts.

    The setting belongs to the calling thread; it is put back afterwards.
    """
    changed = [runtime for runtime in _runtimes() if runtime.omp_get_dynamic()]
    for runtime in changed:
        runtime.omp_set_dynamic(0)
    try:
        yield
    finally:
        for runtime in changed:
            runtime.omp_set_dynamic(1)


@functools.cache
def _runtimes() -> tuple[ctypes.CDLL, ...]:
    """The OpenMP runtimes that this process has loaded; PyTorch must be imported before."""
    found = (_loaded(name) for name in _LIBRARIES.get(sys.platform, ()))
    return tuple(runtime for runtime in found if runtime is not None)


def _loaded(name: str) -> ctypes.CDLL | None:
    try:
        if sys.platform == "win32":
            handle = ctypes.windll.kernel32.GetModuleHandleW(name)
            runtime = ctypes.CDLL(name, handle=handle) if handle else None
        else:
            runtime = ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    except OSError:
        return None
    return runtime if runtime is not None and hasattr(runtime, "omp_get_dynamic") else None
