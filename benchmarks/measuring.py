"""Clocks, memory and counts."""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

Call = Callable[[], object]

_CLEAR_PEAK = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def seconds(call: Call) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def wait_for(device: str) -> None:
    """Waits until a GPU has done what it was asked for: calls that start it return before."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def in_turns(*calls: Sequence[Call]) -> list[float]:
    """Times several ways to do the same thing, one after the other, again and again.

    Args:
        calls: For each way its calls, one a round; every way has equally many.

    Returns:
        For each way the seconds of its fastest round: the one that the rest of the machine
        disturbed least.
    """
    times: list[list[float]] = [[] for _ in calls]
    for calls_of_round in zip(*calls, strict=True):
        for index, call in enumerate(calls_of_round):
            times[index].append(seconds(call))
    return [min(each) for each in times]


class PeakMemory:
    """The most memory this process had since it was made, above what it had then.

    Pages of mapped files count. Linux only; elsewhere :attr:`bytes` is NaN.
    """

    def __init__(self) -> None:
        self._before = float("nan")
        if _CLEAR_PEAK.exists():
            _CLEAR_PEAK.write_text("5")
            self._before = _status_bytes("VmRSS")

    @property
    def bytes(self) -> float:
        """The peak so far."""
        return _status_bytes("VmHWM") - self._before if _STATUS.exists() else float("nan")


def _status_bytes(field: str) -> int:
    return int(_STATUS.read_text().split(field + ":")[1].split()[0]) * 1024


class Stopwatch:
    """Adds up the time spent in functions, calls among themselves counted once.

    Attributes:
        seconds: The sum so far.
        calls: How often one of them was entered from outside.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0
        self._depth = 0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time counted."""

        @functools.wraps(function, assigned=("__name__", "__doc__"))
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self._depth += 1
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - started
                    self.calls += 1

        return wrapper


@contextlib.contextmanager
def watched(*places: tuple[Any, str]) -> Iterator[Stopwatch]:
    """Times methods of classes or functions of modules while the context lasts.

    Args:
        places: Each a class or module and the name of what to time in it.

    Yields:
        The stopwatch that adds them all up.
    """
    watch = Stopwatch()
    inherited = object()
    before = [(owner, name, vars(owner).get(name, inherited)) for owner, name in places]
    for owner, name in places:
        setattr(owner, name, watch.timed(getattr(owner, name)))
    try:
        yield watch
    finally:
        for owner, name, own in before:
            if own is inherited:
                delattr(owner, name)
            else:
                setattr(owner, name, own)


@contextlib.contextmanager
def counted_parts(model: Any) -> Iterator[dict[str, int]]:
    """Counts the forward passes of the model's parts while the context lasts."""
    parts = {
        "image encoder": model.backbone.vision_backbone.trunk,
        "text encoder": model.backbone.language_backbone,
        "decoder": model.transformer.decoder,
        "mask head": model.segmentation_head,
    }
    counts = dict.fromkeys(parts, 0)

    def count(name: str, *_: Any) -> None:
        counts[name] += 1

    hooks = [
        part.register_forward_hook(functools.partial(count, name)) for name, part in parts.items()
    ]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def machine() -> str:
    """This machine, its software and today, in a line."""
    import torch

    threads = torch.get_num_threads()
    parts = [
        datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        f"{_processor()}, {os.cpu_count()} cores, {threads} threads",
    ]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    parts += [
        f"{platform.system()}, Python {platform.python_version()}",
        f"torch {torch.__version__}",
    ]
    with contextlib.suppress(OSError):
        parts.append(f"load average before {os.getloadavg()[0]:.1f}")
    return "; ".join(parts)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
