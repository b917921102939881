"""The README and the guides run as written: in the checkout, and from a wheel elsewhere."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infer_segment_anything_3.examples import CLIP, SCENE

ROOT = Path(__file__).resolve().parents[2]
NAME = "infer_segment_anything_3"
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)

Run = Callable[..., subprocess.CompletedProcess[str]]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.fixture(params=["checkout", "wheel"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a command in a user's folder: the checkout's own, or an empty one with the wheel."""
    home, folder = tmp_path / "home", tmp_path / "folder"
    for path in (home, folder):
        path.mkdir()
    if request.param == "checkout":
        python = Path(sys.executable)
        for entry in ROOT.iterdir():
            if entry.name not in (".git", ".venv", "output"):
                (folder / entry.name).symlink_to(entry)
        # The file that hides the package in the checkout's folder.
        (folder / f"{NAME}.py").unlink()
        shutil.copyfile(ROOT / f"{NAME}.py", folder / f"{NAME}.py")
    else:
        python = request.getfixturevalue("wheel_python")
    for name, source in {"photo.jpg": SCENE, "image.jpg": SCENE, "clip.mp4": CLIP}.items():
        shutil.copyfile(source, folder / name)
    (folder / "images").mkdir()
    shutil.copyfile(SCENE, folder / "images" / "one.png")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "MPLBACKEND": "Agg",
        "IKOMIA_AUTO_COMPLETION": "false",
        "OMP_NUM_THREADS": "1",
    }

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(python), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    call("-m", NAME, "install")
    call.folder = folder  # type: ignore[attr-defined]
    return call


def test_the_readmes_python_runs_as_written(run: Run) -> None:
    pytest.importorskip("ikomia")
    code = "\n".join(PYTHON.findall(read("README.md")))
    script = run.folder / "readme.py"  # type: ignore[attr-defined]
    # What is shown on a screen, and Qt of a version that Ikomia's clashes with, are the test's.
    script.write_text(QT_FIRST + code)
    out = run("readme.py").stdout
    assert "object 0." in out
    assert '"annotations"' in out
    assert "<Result: 630 x 420 px, 2 yellow circle, 1 blue star>" in out
    output_folder = Path(
        next(line for line in out.splitlines() if line.startswith("/") and "Ikomia" in line)
    )
    assert {"clip_overlay.mp4", "clip_tracks.json"} <= {p.name for p in output_folder.iterdir()}
    assert (run.folder / "found.png").is_file()  # type: ignore[attr-defined]


QT_FIRST = """
import contextlib, importlib
with contextlib.suppress(ImportError):
    for module in ("QtCore", "QtDBus", "QtGui", "QtNetwork", "QtSql", "QtSvg", "QtWidgets"):
        importlib.import_module(f"PyQt6.{module}")
"""


def test_the_readmes_commands_run_as_written(run: Run) -> None:
    pytest.importorskip("ikomia")
    lines = [line.partition(" #")[0] for block in SHELL.findall(read("README.md"))
             for line in block.splitlines()]  # fmt: skip
    commands = [shlex.split(line) for line in lines if line.startswith("infer-sam3 ")]
    assert len(commands) >= 3
    for _, name, *arguments in commands:
        own = [] if name == "doctor" else ["--model", "tiny_shapes"]  # for Meta's weights
        known = {"person": "circle", "person, red car": "circle, star"}
        words = [known.get(word, word) for word in arguments]
        run("-m", NAME, name, *words, *own)
    folder = run.folder  # type: ignore[attr-defined]
    assert {"out.png", "out.mp4"} <= {p.name for p in folder.iterdir()}


GUIDES = ("docs/quickstart.md", "docs/prompts.md", "docs/examples.md", "docs/crowds.md")


@pytest.mark.parametrize("run", ["wheel"], indirect=True)
@pytest.mark.parametrize("page", GUIDES)
def test_the_guides_python_runs(page: str, run: Run) -> None:
    pytest.importorskip("ikomia")
    blocks = [b for b in PYTHON.findall(read(page)) if "infer_yolo" not in b]
    assert blocks
    (run.folder / "guide.py").write_text(QT_FIRST + "\n".join(blocks))  # type: ignore[attr-defined]
    done = run("guide.py")
    if page == "docs/crowds.md":
        count, grid = done.stdout.splitlines()[-1].split(maxsplit=1)
        assert 205 <= int(count) <= 225
        assert json.loads(grid) == [6, 9]
