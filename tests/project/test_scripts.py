"""The scripts of examples/ run, in an empty folder, and find what they say."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.serving.model import ServedModel
from infer_segment_anything_3.serving.settings import Settings
from infer_segment_anything_3.tests.serving.live_server import run_server

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "examples" / "scripts"


@pytest.fixture(scope="module")
def served(tiny_engine: Engine) -> ServedModel:
    return ServedModel(tiny_engine, "tiny_shapes", "0123456789abcdef")


SAYS = {
    "segment_text": ["circle: score 0.", "blue star: score 0."],
    "click_object": ["one click: ", "two clicks: "],
    "exemplars": ["4 exemplar"],
    "crowd_tiles": ["(6, 9) tiles"],
    "everything": [" object>"],
    "track_video": ["2 tracks>", "11 [0, 1]"],
    "live_stream": ["10 0 ("],
    "batch_folder": ["scene.png {'circle': 6, 'square': 2}"],
    "coco_export": ["2 (420, 630)"],
    "supervision_export": ["4 ['star' 'star' 'square' 'square']"],
    "ikomia_workflow": ["circle 0.", "note: 0 instances of 'dog'", "(420, 630, 3)"],
    "server_client": ["star 2 0.", "dog 0 0."],
}
"""What each script prints."""


def test_every_script_is_known_and_short() -> None:
    scripts = {path.stem: path for path in SCRIPTS.glob("*.py")}
    assert scripts.keys() == SAYS.keys()
    for path in scripts.values():
        assert len(path.read_text().splitlines()) < 30, path.name


def run_script(python: str | Path, name: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [str(python), str(SCRIPTS / f"{name}.py")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SAYS)
def test_a_script_runs_from_the_wheel(
    name: str,
    tmp_path: Path,
    wheel_python: Path,
    wheel_environment: dict[str, str],
    served: ServedModel,
) -> None:
    if name == "ikomia_workflow":
        pytest.importorskip("ikomia")
    with contextlib.ExitStack() as stack:
        variables = dict(wheel_environment)
        if name == "server_client":
            variables["SERVER"] = stack.enter_context(run_server(served, Settings()))
        out = run_script(wheel_python, name, tmp_path, variables)
    for words in SAYS[name]:
        assert words in out


# How the package is found differs, not what it does: one script of each kind is enough.
@pytest.mark.parametrize("name", ["segment_text", "ikomia_workflow"])
def test_a_script_runs_in_the_checkout(name: str, tmp_path: Path, ikomia_home: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    out = run_script(sys.executable, name, tmp_path, environment)
    for words in SAYS[name]:
        assert words in out
