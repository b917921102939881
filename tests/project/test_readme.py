"""The documentation says what the code does: its tables are the code's, its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infer_segment_anything_3 import engine
from infer_segment_anything_3.examples import SCENE
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
    known = set(re.findall(r"`(--[a-z-]+)`", read("docs/cli.md"))) | {
        *("--help", "--install-completion"),
    }
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


def test_every_public_name_of_the_engine_is_in_the_reference() -> None:
    documented = set(re.findall(rf"^::: {NAME}\.engine\.(\w+)$", read("docs/api.md"), re.MULTILINE))
    assert documented == set(engine.__all__) - {"Prompt"}  # only a name for the union of three


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
