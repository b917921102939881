"""Real processes: one that is killed and goes on, and two that train together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.slow


def make_command(scenes: Path, out: Path, *launcher: str) -> list[str]:
    return [
        *(launcher or (sys.executable, "-P")),
        *("-m", "infer_segment_anything_3", "finetune", str(scenes / "annotations.json")),
        *(str(scenes), "--out", str(out), "--model", "tiny_shapes", "--device", "cpu"),
        *("--steps", "8", "--score-every", "2", "--no-mirror"),
        *("--words", str(scenes / "words.txt")),
    ]


def get_environment() -> dict[str, str]:
    paths = [p for p in sys.path if p.endswith("Plugins/Python")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=get_environment(), capture_output=True, text=True, timeout=1800, check=False
    )


def read(out: Path) -> dict[str, object]:
    return dict(load_file(out / "adapter" / "adapter_model.safetensors"))


def test_killed_training_goes_on_to_the_same_adapter(scenes: Path, tmp_path: Path) -> None:
    done = run(make_command(scenes, tmp_path / "whole"))
    assert done.returncode == 0, done.stderr
    killed = make_command(scenes, tmp_path / "killed")
    process = subprocess.Popen(
        killed, env=get_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    checkpoint = tmp_path / "killed" / "checkpoints" / "checkpoint-4" / "complete"
    deadline = time.monotonic() + 1200
    while not checkpoint.exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "adapter").exists()
    done = run(killed)
    assert done.returncode == 0, done.stderr
    expected = read(tmp_path / "whole")
    for name, tensor in read(tmp_path / "killed").items():
        assert (tensor - expected[name]).abs().max() < 1e-5, name


def test_two_processes_train_one_adapter(scenes: Path, tmp_path: Path) -> None:
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    command = make_command(scenes, tmp_path / "out", *launcher, "--nproc-per-node", "2")
    done = run(command)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "8 steps of 8 images" in done.stderr
    assert any(
        bool(tensor.any()) for name, tensor in read(tmp_path / "out").items() if "_B" in name
    )
