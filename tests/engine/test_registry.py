"""Sharing of loaded engines: one for each device, and nobody waits for another's download."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from infer_segment_anything_3.engine import Engine, registry


def test_names_of_the_same_device_share_one_engine() -> None:
    one = Engine.load("tiny_shapes", device="cpu", precision="float32")
    assert Engine.load("tiny_shapes", device="cpu:0", precision="float32") is one


def test_a_download_holds_up_nobody_who_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    find_weight_files, downloading, finish = (
        registry.find_weight_files,
        threading.Event(),
        threading.Event(),
    )

    def find(model_name: str, weight_file: str | Path | None) -> Any:
        if model_name == "sam3":
            downloading.set()
            finish.wait(60)
            raise ConnectionError("injected")
        return find_weight_files(model_name, weight_file)

    def download() -> None:
        with pytest.raises(ConnectionError):
            Engine.load("sam3", device="cpu")

    monkeypatch.setattr(registry, "find_weight_files", find)
    thread = threading.Thread(target=download)
    thread.start()
    assert downloading.wait(60)
    loaded: list[Engine] = []
    other = threading.Thread(
        target=lambda: loaded.append(Engine.load("tiny_shapes", device="cpu", precision="float32"))
    )
    other.start()
    other.join(60)
    finish.set()
    thread.join(60)
    assert loaded, "it waited for the download"
