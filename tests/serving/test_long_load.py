"""Twenty minutes of load: memory stays, and nothing fails but by a full queue.

``LONG_LOAD_S`` makes it shorter or longer.
"""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import psutil
import pytest

from infer_segment_anything_3.benchmarks.context import draw_image
from infer_segment_anything_3.benchmarks.serving import (
    IMAGE_HW,
    run_load,
    run_server,
    write_images,
)
from infer_segment_anything_3.serving.sessions import MAX_IMAGES

from .conftest import base64_source, to_file

pytestmark = pytest.mark.slow

MAX_GROWTH_BYTES = 30_000_000


def fill_store(address: str) -> None:
    """Embeds as many different images as the server stores."""
    for seed in range(MAX_IMAGES):
        body = {"image": base64_source(to_file(draw_image(seed, IMAGE_HW), "JPEG"))}
        httpx.post(address + "/sam3/embed_image", json=body, timeout=60).raise_for_status()


def test_memory_and_errors_under_load(tmp_path: Path) -> None:
    duration_s = float(os.environ.get("LONG_LOAD_S", 1200))
    write_images(tmp_path)
    with run_server("tiny_shapes", "cpu", None) as (address, pid):
        loads = [run_load(address, "click", tmp_path, 8, duration_s / 8)]
        loads.append(run_load(address, "image", tmp_path, 8, duration_s / 8))
        # The loads leave few images in the store: full at both ends, it cannot hide growth.
        fill_store(address)
        full = psutil.Process(pid).memory_info().rss
        for _ in range(3):
            loads.append(run_load(address, "image", tmp_path, 8, duration_s / 8))
            loads.append(run_load(address, "click", tmp_path, 8, duration_s / 8))
        fill_store(address)
        end = psutil.Process(pid).memory_info().rss
    statuses = {status for load in loads for status in load.statuses}
    assert statuses <= {"200", "503"}
    assert all(load.statuses["200"] > 10 for load in loads)
    assert end - full < MAX_GROWTH_BYTES, f"{(end - full) / 1e6:.1f} MB"
