"""Measures time and peak memory; describes the machine."""

from __future__ import annotations

import contextlib
import datetime
import multiprocessing
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial, partialmethod
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import psutil

T = TypeVar("T")
GIB = 1024**3


def run_timed(call: Callable[[], T]) -> tuple[T, float]:
    """Calls something; returns its result and its seconds, including its work on a GPU."""
    synchronize()
    started = time.perf_counter()
    result = call()
    synchronize()
    return result, time.perf_counter() - started


def time_call(call: Callable[[], object]) -> float:
    """Measures how many seconds a call takes, including its work on a GPU."""
    return run_timed(call)[1]


def synchronize() -> None:
    """Waits until the GPU, if this process uses one, has finished its work."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def time_in_turns(inputs: Iterable[T], *calls: Callable[[T], object]) -> list[float]:
    """Times several functions on the same inputs, in turns.

    Returns:
        For each function the milliseconds of its fastest round, which the rest of the machine
        disturbed least.
    """
    times = [[time_call(partial(call, value)) for call in calls] for value in inputs]
    return [min(each) * 1e3 for each in zip(*times, strict=True)]


def measure_peak(call: Callable[[], T]) -> tuple[T, float, float]:
    """Calls something; returns its result, its seconds and the peak growth of memory in bytes.

    Counts this process's resident memory, mapped files included. NaN where there is no Linux.
    """
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if reset.exists():
        reset.write_text("5")
    before = psutil.Process().memory_info().rss
    result, seconds = run_timed(call)
    found = re.search(r"VmHWM:\s*(\d+)", status.read_text()) if reset.exists() else None
    return result, seconds, int(found[1]) * 1024 - before if found else float("nan")


def measure_gpu_peak(call: Callable[[], object]) -> float:
    """Calls something; returns the peak growth of allocated GPU memory in bytes."""
    import torch

    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    time_call(call)
    return torch.cuda.max_memory_allocated() - before


@contextlib.contextmanager
def watch_calls(*places: tuple[Any, str]) -> Iterator[list[float]]:
    """Times methods, each given by its class and its name, while the context lasts.

    Yields:
        A list to which each call adds its seconds; calls inside other timed calls add none.
    """
    seconds: list[float] = []
    running: list[object] = []

    def call_timed(instance: Any, method: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        if running:
            return method(instance, *args, **kwargs)
        running.append(method)
        try:
            result, taken = run_timed(partial(method, instance, *args, **kwargs))
        finally:
            running.clear()
        seconds.append(taken)
        return result

    with contextlib.ExitStack() as stack:
        for owner, name in places:
            timed = partialmethod(call_timed, getattr(owner, name))
            stack.enter_context(mock.patch.object(owner, name, timed))
        yield seconds


def call_in_process(function: Callable[..., T], *arguments: Any) -> T:
    """Calls a function in a new Python process, where its module is imported before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def time_plugin_import() -> float:
    """Returns the seconds in which Ikomia imports the plugin; for a process of its own.

    It is in this module because that process must not have imported torch or OpenCV before.
    """
    from ..examples.ikomia_home import fill_home, set_environment

    with tempfile.TemporaryDirectory() as folder:
        plugin = fill_home(Path(folder))
        set_environment(Path(folder))
        from ikomia.dataprocess.registry import ik_registry

        return time_call(lambda: ik_registry.load_python_algorithm(str(plugin)))


def describe_machine() -> str:
    """Describes this machine, its software and the time in one line."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    parts = [
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M UTC}",
        *([torch.cuda.get_device_name()] if torch.cuda.is_available() else []),
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads",
        f"{platform.system()}, Python {platform.python_version()}",
        f"torch {torch.__version__}",
        f"load average before {psutil.getloadavg()[0]:.1f}",
    ]
    return "; ".join(parts)
