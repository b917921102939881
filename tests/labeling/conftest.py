from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_3.cli import app
from infer_segment_anything_3.labeling.job import read_images
from infer_segment_anything_3.labeling.output_folder import OutputFolder
from infer_segment_anything_3.labeling.shard_files import LabeledImage
from infer_segment_anything_3.tools.tiny_shapes.scenes import draw_scene

TEXT = "star, red shape:0.4, circle"
MODEL = ("--model", "tiny_shapes", "--device", "cpu", "--precision", "float32")


def save_scene(path: Path, seed: int, **options: Any) -> None:
    scene = draw_scene(np.random.default_rng(seed), side_range_px=(120, 240))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene.image).save(path, **options)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of ten drawn scenes, two of them in a subfolder."""
    folder = tmp_path / "images"
    for seed in range(10):
        save_scene(folder / ("sub" if seed % 5 == 0 else "") / f"{seed}.png", seed)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def label(
    images: Path, out: Path, capsys: pytest.CaptureFixture[str], tiny_engine: object
) -> Callable[..., tuple[int, str]]:
    """Runs the command in this process: ``label("--shard", "4")`` gives (code, printed)."""

    def run(*options: str, source: Path | str = images, text: str = TEXT) -> tuple[int, str]:
        prompt = ("--text", text) if text else ()
        code = app.main(["label", str(source), "--out", str(out), *prompt, *MODEL, *options])
        return code, capsys.readouterr().err

    return run


def listen_to_ctrl_c() -> None:
    """Ends the ignoring of SIGINT that a process in the background of a shell inherits."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start_label(images: Path, out: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the command in a process of its own."""

    def start(*options: str, limit: str = "") -> subprocess.Popen[str]:
        command = [
            *(sys.executable, "-P", "-m", "infer_segment_anything_3"),
            *("label", str(images), "--out", str(out), "--text", TEXT, *MODEL, *options),
        ]
        paths = os.pathsep.join(p for p in sys.path if p)
        environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        if limit:
            command = ["sh", "-c", f'{limit}; exec "$@"', "sh", *command]
        return subprocess.Popen(
            command,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=listen_to_ctrl_c if os.name == "posix" else None,
        )

    return start


def read_rows(out: Path) -> list[LabeledImage]:
    return list(read_images(OutputFolder(str(out))))
