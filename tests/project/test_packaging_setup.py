"""`make` sets a machine up with nothing but a suitable Python, and says what it does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PLUGIN = Path("Ikomia/Plugins/Python/infer_segment_anything_3")
TARGETS = (
    *("demo", "test", "test-slow", "test-gpu", "test-network", "lint", "format", "install"),
    *("package", "bench", "heldout", "train", "audit", "lock", "clean"),
)

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def bare(tmp_path) -> Path:
    """A checkout with a difficult name that holds the set-up and nothing else."""
    root = tmp_path / "odd name.v2"
    (root / "tools" / "lock").mkdir(parents=True)
    for name in ("Makefile", "tools/venv.sh", "tools/lock/dev.txt"):
        shutil.copyfile(CHECKOUT / name, root / name)
    return root


def make(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # A make that runs these tests must not hand its own settings on.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "-C", str(root), *arguments],
        env=inherited | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def write_script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_help_lists_every_target():
    lines = make(CHECKOUT, "help").stdout.splitlines()
    listed = {line.split()[1] for line in lines if line.startswith("  make ")}
    assert listed >= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_targets_can_be_planned(target):
    run = make(CHECKOUT, "--dry-run", target)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("arguments", "workers"),
    [
        ("", "logical"),
        ("-x --durations=15", "logical"),
        ("-x -k 'one or two'", "0"),
        ("tests/tools/test_clips.py", "0"),
    ],
)
def test_only_a_selection_of_tests_runs_in_one_process(arguments, workers):
    plan = make(CHECKOUT, "--dry-run", "test", f"ARGS={arguments}").stdout
    assert f"pytest --numprocesses {workers} " in plan
    assert arguments in plan


def test_demo_passes_the_user_s_words_on():
    plan = make(CHECKOUT, "--dry-run", "demo", "IMAGE=my photo.jpg", "TEXT=red car", "MODEL=sam3")
    assert '--image "my photo.jpg"' in plan.stdout
    assert '--text "red car"' in plan.stdout
    assert '--model "sam3"' in plan.stdout


def test_unsuitable_python_is_refused(bare, tmp_path):
    write_script(tmp_path / "python", "exit 1")
    run = make(bare, "venv", f"PYTHON={tmp_path / 'python'}")
    assert run.returncode != 0
    assert "is not a 64-bit CPython 3.11, 3.12 or 3.13" in run.stderr


def test_no_suitable_python_is_explained(bare, tmp_path):
    for name in ("python3.11", "python3.12", "python3.13", "python3", "python"):
        write_script(tmp_path / "bin" / name, "echo not installed >&2; exit 127")
    run = make(bare, "venv", PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert run.returncode != 0
    assert "No suitable Python" in run.stderr
    assert "apt install" in run.stderr


def test_first_python_that_runs_is_taken_and_named(bare, tmp_path):
    # The way of a version manager: a command that is there and only prints an error.
    write_script(tmp_path / "bin" / "python3.11", "echo not installed >&2; exit 127")
    answer = 'case "$2" in *platform*) echo 3.12.9;; *ensurepip*) exit 1;; esac'
    write_script(tmp_path / "bin" / "python3.12", answer)
    run = make(bare, "venv", PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert "Using python3.12 (Python 3.12.9)" in run.stdout
    assert "wheels for CPython 3.11, 3.12 and 3.13 only" in run.stdout
    assert "apt install python3.12-venv" in run.stderr


def test_finished_environment_is_left_alone(bare):
    write_script(bare / ".venv" / "bin" / "python", "exit 0")
    shutil.copyfile(bare / "tools" / "lock" / "dev.txt", bare / ".venv" / "installed.txt")
    run = make(bare, "venv", "PYTHON=/nowhere")
    assert (run.returncode, run.stdout.count("Using")) == (0, 0)


def test_changed_lock_is_installed_anew(bare):
    write_script(bare / ".venv" / "bin" / "python", "exit 0")
    (bare / ".venv" / "installed.txt").write_text("torch==1.0\n")
    assert make(bare, "venv", "PYTHON=/nowhere").returncode != 0


def test_install_links_the_checkout(bare, tmp_path):
    home = tmp_path / "my home"
    for _ in range(2):
        run = make(bare, "install", HOME=str(home))
        assert run.returncode == 0, run.stderr
        assert (home / PLUGIN).resolve() == bare
    assert "requirements.txt" in run.stdout


def test_install_replaces_no_folder(bare, tmp_path):
    (tmp_path / PLUGIN).mkdir(parents=True)
    (tmp_path / PLUGIN / "mine.py").touch()
    run = make(bare, "install", HOME=str(tmp_path))
    assert run.returncode != 0
    assert "move it away first" in run.stderr
    assert (tmp_path / PLUGIN / "mine.py").exists()
