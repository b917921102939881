"""What a job holds in memory: images that wait for the thread that writes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infer_segment_anything_3.labeling.labeler import MAX_PENDING_IMAGES, ShardLabeler


def test_segmenting_waits_for_a_slow_encoder(
    images: Path, label: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for copy in range(10):
        shutil.copy(images / "1.png", images / f"copy-{copy}.png")
    segment, encode = ShardLabeler._segment, ShardLabeler._encode
    segmented: list[str] = []
    is_full, is_beyond = threading.Event(), threading.Event()

    def count(self: ShardLabeler, file: Any) -> Any:
        segmented.append(file.name)
        if len(segmented) > MAX_PENDING_IMAGES:
            is_full.set()
        if len(segmented) > MAX_PENDING_IMAGES + 1:
            is_beyond.set()
        return segment(self, file)

    def wait(self: ShardLabeler, *row: Any) -> Any:
        if not is_full.is_set():  # the first one
            assert is_full.wait(30)
            assert not is_beyond.wait(0.5), "segmented while nothing was encoded"
        return encode(self, *row)

    monkeypatch.setattr(ShardLabeler, "_segment", count)
    monkeypatch.setattr(ShardLabeler, "_encode", wait)
    code, _ = label("--shard", "20")
    assert code == 0 and len(segmented) == 20
