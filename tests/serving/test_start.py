"""The real process: it starts, answers, and finishes what it is doing when told to stop."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from infer_segment_anything_3.engine.checkpoints.zoo import MODELS
from infer_segment_anything_3.engine.model.config import TINY_SHAPES
from infer_segment_anything_3.serving.model import load_served_model
from infer_segment_anything_3.serving.settings import Settings, read_settings
from infer_segment_anything_3.tests.multiplex_file import write_multiplex_file


def test_sigterm_finishes_running_requests(scene_source: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "infer_segment_anything_3", "serve"],
        env={**os.environ, "MODEL": "tiny_shapes", "PORT": str(port), "DEVICE": "cpu"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                assert httpx.get(address + "/health").json()["status"] == "UP"
                break
            except httpx.ConnectError:  # the port opens when the model is loaded
                time.sleep(0.1)
        statuses: list[int] = []

        def ask() -> None:
            body = {"image": scene_source, "points_per_side": 24}
            url = address + "/sam3/visual_segment?api_key=s3cret"
            statuses.append(httpx.post(url, json=body, timeout=60).status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        while not httpx.get(address + "/readiness").json()["waiting"] and thread.is_alive():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        thread.join(60)
        assert statuses == [200]
        _, log = process.communicate(timeout=30)
    finally:
        process.kill()
    assert "serving tiny_shapes" in log and f":{port}" in log
    assert "/sam3/visual_segment 200" in log
    assert "s3cret" not in log
    with pytest.raises(httpx.ConnectError):
        httpx.get(address + "/health")


def test_without_weights_the_bundled_model_stands_in(
    network_attempts: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    served = load_served_model(Settings(device="cpu"))
    assert served.name == "tiny_shapes" and served.fallback_reason
    assert [r.levelname for r in caplog.records if "tiny_shapes, which" in r.getMessage()] == [
        "WARNING"
    ]


def test_a_model_that_was_named_is_not_replaced(network_attempts: list[str]) -> None:
    from infer_segment_anything_3.engine.checkpoints.errors import DownloadError

    with pytest.raises(DownloadError):
        load_served_model(Settings(model="sam3", device="cpu"))


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"^DEVICE: "):
        load_served_model(Settings(model="tiny_shapes", device="cuda:99"))


def test_sam_3_1_is_served_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = dataclasses.replace(MODELS["sam3.1"], architecture=TINY_SHAPES, input_sizes=(280,))
    monkeypatch.setitem(MODELS, "sam3.1", spec)
    path = write_multiplex_file(tmp_path, with_tracker=True)
    settings = read_settings({"MODEL": "sam3.1", "SAM3_CHECKPOINT": str(path), "DEVICE": "cpu"})
    served = load_served_model(settings)
    assert served.name == "sam3.1"
    assert served.engine.model.multiplex is not None
