"""The documentation says what the code does: its tables are the code's, its examples run."""

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
from infer_segment_anything_3.tools import readme

ROOT = readme.ROOT
NAME = readme.NAME
DOCS = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
PAGES = ["README.md", *DOCS, "CONTRIBUTING.md"]
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)

Run = Callable[..., subprocess.CompletedProcess[str]]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", sorted({page for page, _ in readme.TABLES}))
def test_tables_are_those_of_the_code(page: str) -> None:
    assert readme.update_tables(page) == read(page)


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) < 150


@pytest.mark.parametrize("page", [*PAGES, "SECURITY.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#\s]+)", read(page)):
        assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_every_target_is_in_the_makefile(page: str) -> None:
    for target in re.findall(r"`make ([a-z-]+)", read(page)):
        assert re.search(rf"^{target}:", read("Makefile"), re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_is_the_programs(page: str) -> None:
    known = set(re.findall(r"`(--[a-z-]+)`", read("docs/cli.md"))) | {"--install-completion"}
    commands = set(re.findall(r"^## (.+)$", read("docs/cli.md"), re.MULTILINE))
    for line in re.findall(r"infer-sam3 ([a-z].*)", read(page)):
        words = re.split(r"[`|]|\s#", line)[0].split()
        assert words[0] in commands or " ".join(words[:2]) in commands, line
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert options <= known, line


def test_the_site_is_built_and_every_link_of_it_is_right(tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = subprocess.run(
        ["make", "docs", f"ARGS=--site-dir {site}"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (site / "api" / "index.html").read_text()
    for name in ("Engine", "segment_batch", "track_video", "ConceptPrompt", "run_job"):
        assert f">{name}<" in page or f".{name}" in page, name
    for html in site.rglob("*.html"):
        loaded = re.findall(r"(?:src|href)=\"(https?://[^\"]+\.(?:js|css))", html.read_text())
        assert loaded == [], "nothing is loaded from other servers"


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
    assert "circle 0." in out
    assert '"annotations"' in out
    assert "<Result: 630 x 420 px, 2 red circle, 2 star>" in out
    output_folder = Path(next(line for line in out.splitlines() if "Ikomia/Workflows" in line))
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
        own = [] if name == "demo" else ["--model", "tiny_shapes"]  # for Meta's weights
        words = [
            {"person": "circle", "person, red car": "circle, star"}.get(a, a) for a in arguments
        ]
        run("-m", NAME, name, *words, *own)
    folder = run.folder  # type: ignore[attr-defined]
    assert {"out.png", "out.mp4"} <= {p.name for p in folder.iterdir()}
    assert (folder / "output" / "demo.png").is_file()


GUIDES = ("docs/quickstart.md", "docs/prompts.md", "docs/examples.md", "docs/crowds.md")


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


def test_info_lines_are_shown_as_the_faq_says(tmp_path: Path) -> None:
    pytest.importorskip("ikomia")
    (ask,) = re.findall(r"`(import logging; logging\.basicConfig\([^`]*\))`", read("docs/faq.md"))
    script = tmp_path / "script.py"
    script.write_text(
        "from infer_segment_anything_3.examples.ikomia_home import ikomia_home\n"
        "with ikomia_home():\n"
        f"    {ask}\n"
        "    from ikomia.dataprocess.workflow import Workflow\n"
        "    wf = Workflow()\n"
        f"    algo = wf.add_task(name={NAME!r}, auto_connect=True, public_hub=False)\n"
        "    algo.set_parameters({'model_name': 'tiny_shapes', 'input_text': 'star'})\n"
        "    for _ in range(2):\n"
        f"        wf.run_on(path={str(SCENE)!r})\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-P", str(script)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    runs = re.findall(r"INFO:.*, image (\w+), .* (\d+) ms", done.stderr)
    assert [state for state, _ in runs] == ["encoded", "cached"]
