"""Sets the size of the OpenMP thread teams that the model runs with.

Two things go wrong without it.

OpenCV builds with OpenMP, such as the one Ikomia brings, switch on dynamic team sizes for the
thread that imports them. On a busy machine a team is then smaller than requested, and oneDNN's
bfloat16 kernels, which divide their work beforehand, leave the share of the missing threads
undone: wrong results without an error. So teams have a fixed size.

A fixed team waits at the end of every parallel loop for its slowest thread. On a busy machine
that thread waits for a core, thousands of times an image: two threads then take ten times as
long as one. So before a step the wait is measured, and where it is long the team has one
thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
import time
from collections.abc import Iterator

_LIBRARIES = {
    "linux": ("libgomp.so.1", "libiomp5.so", "libomp.so.5", "libomp.so"),
    "win32": ("libiomp5md.dll", "vcomp140.dll"),
}

LONG_WAIT_S = 0.5e-3
"""A parallel loop over :data:`PROBE_SIZE` numbers takes 0.02 ms where every thread has a core,
and 4 to 70 ms, time slices of the system, where one waits for a core."""

RECHECK_S = 1.0
"""How long a machine counts as busy before the wait is measured again."""

PROBE_SIZE = 1 << 17
"""Numbers that the measured loop fills."""

busy_until_s = 0.0
"""Until when, on ``time.monotonic()``, the machine counts as busy."""


@contextlib.contextmanager
def fix_thread_teams(most_threads: int | None = None) -> Iterator[None]:
    """Gives the calling thread teams of a fixed size while the context lasts.

    All threads of PyTorch, or one where other work keeps the cores busy. Results of the two
    differ in their last bits. The settings belong to the calling thread; they are restored
    afterwards.

    Args:
        most_threads: Largest size of a team; None for all threads.
    """
    before = [(r, r.omp_get_dynamic(), r.omp_get_max_threads()) for r in find_runtimes()]
    for runtime, _, _ in before:
        runtime.omp_set_dynamic(0)
    try:
        for runtime, _, threads in before:
            runtime.omp_set_num_threads(min(threads, most_threads or threads))
        if any(r.omp_get_max_threads() > 1 for r, _, _ in before) and is_machine_busy():
            for runtime, _, _ in before:
                runtime.omp_set_num_threads(1)
        yield
    finally:
        for runtime, dynamic, threads in before:
            runtime.omp_set_dynamic(dynamic)
            runtime.omp_set_num_threads(threads)


def is_machine_busy() -> bool:
    """Tells whether OpenMP threads have to wait for a core; True is kept for a while."""
    global busy_until_s
    now = time.monotonic()
    if now < busy_until_s:
        return True
    # Twice, because a single wait happens on an idle machine, too.
    if all(measure_team_wait_s() > LONG_WAIT_S for _ in range(2)):
        busy_until_s = time.monotonic() + RECHECK_S
        return True
    return False


def measure_team_wait_s() -> float:
    """Measures how long a short parallel loop takes with the current team, in seconds."""
    import torch

    numbers = torch.empty(PROBE_SIZE)
    started = time.perf_counter()
    numbers.fill_(1.0)
    return time.perf_counter() - started


@functools.cache
def find_runtimes() -> tuple[ctypes.CDLL, ...]:
    """Finds the OpenMP runtimes that this process has loaded; import PyTorch before."""
    found = (_get_loaded(name) for name in _LIBRARIES.get(sys.platform, ()))
    return tuple(runtime for runtime in found if runtime is not None)


def _get_loaded(name: str) -> ctypes.CDLL | None:
    try:
        if sys.platform == "win32":
            handle = ctypes.windll.kernel32.GetModuleHandleW(name)
            runtime = ctypes.CDLL(name, handle=handle) if handle else None
        else:
            runtime = ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    except OSError:
        return None
    return runtime if runtime is not None and hasattr(runtime, "omp_get_dynamic") else None
