"""The README says what the code does: its tables are the code's, its calls run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infer_segment_anything_3.tools import readme

PAGES = ["README.md", *(f"docs/{path.name}" for path in (readme.ROOT / "docs").glob("*.md"))]
TEXT = (readme.ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SHAPES = "docs/images/shapes.png"


@pytest.mark.parametrize("page", sorted({page for page, _ in readme.TABLES}))
def test_tables_are_those_of_the_code(page: str) -> None:
    assert readme.update_tables(page) == (readme.ROOT / page).read_text()


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "SECURITY.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    path = readme.ROOT / page
    for target in re.findall(r"\]\((?!https?://)([^)#\s]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md"])
def test_every_target_is_in_the_makefile(page: str) -> None:
    makefile = (readme.ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)", (readme.ROOT / page).read_text()):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_info_lines_are_shown_as_the_readme_says(tmp_path: Path) -> None:
    pytest.importorskip("ikomia")
    (ask,) = re.findall(r"`(import logging; logging\.basicConfig\([^`]*\))`", TEXT)
    script = tmp_path / "script.py"
    script.write_text(
        "from infer_segment_anything_3.examples.ikomia_home import ikomia_home\n"
        "with ikomia_home():\n"
        f"    {ask}\n"
        "    from ikomia.dataprocess.workflow import Workflow\n"
        "    wf = Workflow()\n"
        f"    algo = wf.add_task(name={readme.NAME!r}, auto_connect=True, public_hub=False)\n"
        "    algo.set_parameters({'model_name': 'tiny_shapes', 'input_text': 'star'})\n"
        "    for _ in range(2):\n"
        f"        wf.run_on(path={str(readme.ROOT / SHAPES)!r})\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-P", str(script)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    runs = re.findall(r"INFO:.*, image (\w+), .* (\d+) ms", done.stderr)
    assert [state for state, _ in runs] == ["encoded", "cached"]


class TestExamples:
    """The Python examples, one after another, with the bundled model."""

    @pytest.fixture
    def folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """A working folder with the files that the examples name."""
        for name in (SHAPES, "image.jpg", "images/one.png", "images/two.png"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(readme.ROOT / SHAPES, tmp_path / name)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    @pytest.fixture
    def found(self, monkeypatch: pytest.MonkeyPatch, ikomia_home: Path) -> list[list[str]]:
        """Class names of the instances of each run on the drawn shapes."""
        from ikomia.dataprocess.workflow import Workflow

        runs: list[list[str]] = []
        run_on = Workflow.run_on

        def record(workflow: Any, **source: Any) -> None:
            run_on(workflow, **source)
            if source.get("path") == SHAPES or "array" in source:
                [task] = [t for t in workflow.get_tasks() if t.name == readme.NAME]
                runs.append([o.label for o in task.get_output(2).get_objects()])

        monkeypatch.setattr(Workflow, "run_on", record)
        return runs

    def test_they_run_and_find_what_they_say(
        self,
        folder: Path,
        found: list[list[str]],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        from ikomia.utils import displayIO

        displayed: list[Any] = []
        monkeypatch.setattr(displayIO, "display", displayed.append)
        names: dict[str, Any] = {}
        for block in BLOCKS:
            if "infer_yolo" in block:  # another plugin; tests/plugin has a detector of its own
                continue
            code = block.replace('"model_name": "sam3"', '"model_name": "tiny_shapes"')
            exec(compile(code, "README.md", "exec"), names)
        assert [image.shape for image in displayed] == [(624, 869, 3)]
        assert found[:2] == [
            ["circle", "circle", "circle", "orange square", "star"],
            ["star", "red circle"],
        ]
        one_object, two_objects, like_the_first_box, everything = found[2:6]
        assert len(one_object) == 1
        assert len(two_objects) == 2
        assert len(like_the_first_box) == 1
        assert len(everything) >= 6
        assert len(names["detections"]) == 1
        assert len(list(Path(names["saved"].get_last_run_folder()).rglob("*.json"))) == 2
        assert '"annotations"' in capsys.readouterr().out
