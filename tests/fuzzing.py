"""Settings of the tests that mutate files, the mutation of bytes, and bounds of time and memory."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

FEW, MANY = 150, 2_000
SECONDS = 20
"""No input may take longer: a bound against hangs, not a measurement."""
_STATUS = Path("/proc/self/status")


def examples(count: int) -> Any:
    """The same examples in every run, unless FUZZ_RANDOM is set."""
    return settings(
        max_examples=count,
        deadline=SECONDS * 1000,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize="FUZZ_RANDOM" not in os.environ,
    )


@st.composite
def mutate_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes with one to three places cut out, replaced or doubled; or cut off."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.sampled_from([0, 1, 1, 2, 8, 64, 10**9])))
        noise = draw(st.one_of(st.binary(max_size=8), st.just(content[start:stop] * 2)))
        content = content[:start] + noise + content[stop:]
    return content


@contextlib.contextmanager
def stop_hang() -> Iterator[None]:
    """Ends the process with its stack if the block takes :data:`SECONDS`, also inside C code."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def bound_memory(megabytes: int) -> Iterator[None]:
    """Fails if the process's peak grows by more than that within the block (Linux alone)."""
    if not _STATUS.exists():
        yield
        return
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _read_peak()
    yield
    assert _read_peak() - before <= megabytes * 2**10


def _read_peak() -> int:
    """Reads the peak of the resident memory in KiB."""
    found = re.search(r"VmHWM:\s*(\d+)", _STATUS.read_text())
    assert found is not None
    return int(found[1])
