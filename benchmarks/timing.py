"""Measures time, calls and peak memory; describes the machine."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

Call = Callable[[], object]
T = TypeVar("T")

_CLEAR_PEAK = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def time_call(call: Call) -> float:
    """Returns the seconds that a call takes, the work of a GPU included."""
    synchronize()
    started = time.perf_counter()
    call()
    synchronize()
    return time.perf_counter() - started


def synchronize() -> None:
    """Waits until the GPU, if this process uses one, has finished its work."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def time_in_turns(inputs: Iterable[T], *calls: Callable[[T], object]) -> list[float]:
    """Times several ways to do the same thing, in turns.

    Args:
        inputs: What each way is called with, one value a round.
        calls: The ways.

    Returns:
        For each way the milliseconds of its fastest round, which the rest of the machine
        disturbed least.
    """
    times = [[time_call(partial(call, value)) for call in calls] for value in inputs]
    return [min(each) * 1e3 for each in zip(*times, strict=True)]


class PeakMemory:
    """Measures the peak growth of this process's resident memory since the object was made.

    Pages of mapped files count. Linux only; elsewhere :attr:`bytes` is NaN.
    """

    def __init__(self) -> None:
        self._before = float("nan")
        if _CLEAR_PEAK.exists():
            _CLEAR_PEAK.write_text("5")
            self._before = _read_status_bytes("VmRSS")

    @property
    def bytes(self) -> float:
        """The peak so far."""
        return _read_status_bytes("VmHWM") - self._before if _STATUS.exists() else float("nan")


def _read_status_bytes(field: str) -> int:
    return int(_STATUS.read_text().split(field + ":")[1].split()[0]) * 1024


class Stopwatch:
    """Adds up the time spent in functions; calls inside other watched calls count once.

    Attributes:
        seconds: The sum so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the function with its time counted."""

        @functools.wraps(function, assigned=("__name__", "__doc__"))
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self._depth += 1
            if self._depth == 1:
                synchronize()
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._depth -= 1
                if not self._depth:
                    synchronize()
                    self.seconds += time.perf_counter() - started

        return wrapper


@contextlib.contextmanager
def watch_calls(*places: tuple[Any, str]) -> Iterator[Stopwatch]:
    """Times methods of classes while the context lasts.

    Args:
        places: Each a class and the name of the method to time.

    Yields:
        One stopwatch for all of them.
    """
    watch = Stopwatch()
    with contextlib.ExitStack() as stack:
        for owner, name in places:
            if name in vars(owner):
                stack.callback(setattr, owner, name, vars(owner)[name])
            else:
                stack.callback(delattr, owner, name)
            setattr(owner, name, watch.wrap(getattr(owner, name)))
        yield watch


def run_python(arguments: list[str]) -> str:
    """Runs a Python process with this one's module path; returns what it prints.

    Raises:
        RuntimeError: With its error output, if it fails.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    finished = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(finished.stderr)
    return finished.stdout


def call_in_process(function: Callable[..., T], *arguments: str | int) -> T:
    """Calls a function of a module in a Python process of its own.

    Args:
        function: Returns plain data. What it imports is imported before, with ``sam3``.
        arguments: Its arguments.

    Returns:
        What it returns.
    """
    code = (
        "import importlib, json; "
        f"module = importlib.import_module({function.__module__!r}); "
        "importlib.import_module('infer_segment_anything_3.engine').Engine; "
        f"print(json.dumps(module.{function.__name__}(*{arguments!r})))"
    )
    result: T = json.loads(run_python(["-c", code]).splitlines()[-1])
    return result


def describe_machine() -> str:
    """Describes this machine, its software and the time in one line."""
    import torch

    parts = [
        datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        f"{_find_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        f"{platform.system()}, Python {platform.python_version()}",
        f"torch {torch.__version__}",
    ]
    if torch.cuda.is_available():
        parts.insert(1, torch.cuda.get_device_name())
    with contextlib.suppress(OSError):
        parts.append(f"load average before {os.getloadavg()[0]:.1f}")
    return "; ".join(parts)


def _find_processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
