"""Memory that large images leave in the heaps goes back to the system."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

import psutil
import pytest
from starlette.testclient import TestClient

from infer_segment_anything_3.serving import heap

BLOCK_BYTES = 100_000  # larger ones may be mapped, and unmapped when they are freed
BLOCKS = 3000


def resident_bytes() -> int:
    return psutil.Process().memory_info().rss


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries cannot trim")
def test_freed_blocks_go_back_to_the_system(
    make_client: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [b"\1" * BLOCK_BYTES for _ in range(BLOCKS)]
    last = blocks[-1]  # keeps the end of the heap in use
    full = resident_bytes()
    del blocks
    assert resident_bytes() > full - BLOCKS * BLOCK_BYTES / 2, "freeing alone returned them"
    monkeypatch.setattr(heap, "TRIM_PERIOD_S", 0.05)
    client = make_client()
    expected = full - BLOCKS * BLOCK_BYTES / 2
    deadline = time.monotonic() + 20
    while resident_bytes() > expected and time.monotonic() < deadline:
        time.sleep(0.05)
    assert resident_bytes() <= expected
    assert client.get("/healthz").status_code == 200
    assert last[0] == 1
