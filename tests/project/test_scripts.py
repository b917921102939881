"""The scripts and notebooks of examples/ run, and find what they say."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.serving.model import ServedModel
from infer_segment_anything_3.serving.settings import Settings
from infer_segment_anything_3.tests.serving.live_server import run_server

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "examples" / "scripts"
NOTEBOOKS = ROOT / "examples" / "notebooks"


@pytest.fixture(scope="module")
def served(tiny_engine: Engine) -> ServedModel:
    return ServedModel(tiny_engine, "tiny_shapes", "0123456789abcdef")


SAYS = {
    "segment_text": ["circle: score 0.", "yellow star: score 0."],
    "click": ["one click: ", "two clicks: "],
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


def make_environment(home: Path, **variables: str) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "MPLBACKEND": "Agg",
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        **variables,
    }


def test_every_script_is_known_and_short() -> None:
    scripts = {path.stem: path for path in SCRIPTS.glob("*.py")}
    assert scripts.keys() == SAYS.keys()
    for path in scripts.values():
        assert len(path.read_text().splitlines()) < 30, path.name


@pytest.mark.parametrize("name", SAYS)
def test_a_script_runs(name: str, tmp_path: Path, ikomia_home: Path, served: ServedModel) -> None:
    with contextlib.ExitStack() as stack:
        variables = {}
        if name == "server_client":
            variables["SERVER"] = stack.enter_context(run_server(served, Settings()))
        done = subprocess.run(
            [sys.executable, "-P", str(SCRIPTS / f"{name}.py")],
            cwd=tmp_path,
            env=make_environment(tmp_path, **variables),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    for words in SAYS[name]:
        assert words in done.stdout


@pytest.mark.parametrize("name", sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")))
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in make_environment(tmp_path).items():
        monkeypatch.setenv(variable, value)
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "stored without outputs"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    kinds = {kind for output in shown for kind in output.get("data", {})}
    assert "image/png" in kinds, "it shows a picture"
    assert not any(output.output_type == "error" for output in shown)


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == {"quick_start", "video", "data_set"}
