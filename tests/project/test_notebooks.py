"""The notebooks of examples/ run, in an empty folder, and show what they find."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "examples" / "notebooks"

SHOWS = {
    "quick_start": [
        "6 circle, 2 star, 2 square, 2 triangle",
        "<td>circle</td>",
        "0 instances of 'elephant'",
        "(6, 9)",
    ],
    "video": ["2 tracks>", "20 [(0, 'circle'), (1, 'star')]", "clip_tracks.json"],
    "data_set": ["| AP | 1.000 | 1.000 |", "| cgF1 | 1.000 | 1.000 |"],
}
"""What each notebook shows, besides pictures."""


def test_every_notebook_is_known_and_stored_without_outputs() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == SHOWS.keys()
    for name in SHOWS:
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        assert not any(cell.get("outputs") for cell in notebook.cells), name


def run_notebook(
    name: str,
    folder: Path,
    python: str | Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> list[nbformat.NotebookNode]:
    """Runs a notebook with a kernel of that Python and returns what it shows."""
    kernel = folder.parent / f"{folder.name}-jupyter" / "kernels" / "user"
    kernel.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": command, "display_name": "user", "language": "python"})
    )
    for variable in ("PYTHONPATH", "MPLBACKEND"):
        monkeypatch.delenv(variable, raising=False)
    jupyter = str(kernel.parents[1])
    own = {"JUPYTER_PATH": jupyter, "JUPYTER_RUNTIME_DIR": jupyter, "IPYTHONDIR": jupyter}
    for variable, value in {**environment, **own}.items():
        monkeypatch.setenv(variable, value)
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="user", resources=where).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def check_outputs(name: str, outputs: list[nbformat.NotebookNode]) -> None:
    data = [output.get("data", {}) for output in outputs]
    assert any("image/png" in kinds for kinds in data), "it shows a picture"
    text = "\n".join(
        [*(output.get("text", "") for output in outputs)]
        + [str(value) for kinds in data for kind, value in kinds.items() if "text" in kind]
    )
    for words in SHOWS[name]:
        assert words in text
    # Warnings of libraries are noise on the first screen that a user sees.
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []


@pytest.mark.parametrize("name", SHOWS)
def test_a_notebook_runs_from_the_wheel(
    name: str,
    tmp_path: Path,
    wheel_python: Path,
    wheel_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outputs = run_notebook(name, tmp_path, wheel_python, wheel_environment, monkeypatch)
    check_outputs(name, outputs)


def test_a_notebook_runs_in_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    outputs = run_notebook("quick_start", tmp_path, sys.executable, environment, monkeypatch)
    check_outputs("quick_start", outputs)
