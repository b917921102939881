"""The package that Ikomia HUB ships holds what belongs, and works by itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infer_segment_anything_3.tools import package
from infer_segment_anything_3.tools.package_contents import INFER, TRAIN, choose_files

CHECKOUT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    not (CHECKOUT / ".git").exists(), reason="the package is made of what git tracks"
)

RUN_THE_PACKAGE = """
import json, sys
from PyQt6 import QtCore, QtDBus, QtGui, QtNetwork, QtSql, QtSvg, QtWidgets
import numpy as np
from ikomia.dataprocess.workflow import Workflow
workflow = Workflow()
task = workflow.add_task(name="infer_segment_anything_3", auto_connect=True, public_hub=False)
task.set_parameters({"model_name": "tiny_shapes", "cuda": "False", "input_point": "[60, 60]"})
image = np.full((240, 240, 3), 128, np.uint8)
image[20:100, 20:100] = (220, 40, 40)
workflow.run_on(array=image)
mask = np.zeros((240, 240), bool)
for instance in task.get_output(2).get_objects():
    mask |= instance.mask.astype(bool)
square = np.zeros((240, 240), bool)
square[20:100, 20:100] = True
own = [m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "infer_segment_anything_3"]
json.dump(
    {"iou": float((mask & square).sum() / (mask | square).sum()), "files": own,
     "mlflow": "mlflow" in sys.modules},
    open(sys.argv[1], "w"),
)
"""


@pytest.fixture(scope="module")
def staged(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("package") / INFER.name
    package.stage_package(CHECKOUT, folder)
    return folder


@pytest.fixture
def copy(staged, tmp_path) -> Path:
    return Path(shutil.copytree(staged, tmp_path / INFER.name))


def new_problems(folder: Path, before: Path) -> list[str]:
    return sorted(set(package.find_problems(folder)) - set(package.find_problems(before)))


def test_package_holds_what_belongs_and_nothing_else(staged):
    assert package.find_problems(staged) == []


def test_package_leaves_out_what_is_for_developers(staged):
    assert not {p.name for p in staged.iterdir()} & {"tests", "tools", "benchmarks", "Makefile"}


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (["segment", "SCENE", "--text", "star", "--model", "tiny_shapes"], 0, "2 star"),
        (["doctor"], 0, "tiny_shapes"),
        (["export", "labels"], 2, "This command is not in Ikomia HUB's package"),
    ],
)
def test_the_program_runs_from_the_package(staged, tmp_path, arguments, code, shown):
    scene = str(staged / "examples" / "scene.png")
    run = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            INFER.name,
            *(scene if a == "SCENE" else a for a in arguments),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(staged.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == code, run.stderr
    assert shown in run.stdout + run.stderr


@pytest.mark.parametrize(
    "junk",
    [
        ".venv/bin/python",
        ".git/config",
        "engine/__pycache__/engine.cpython-311.pyc",
        "run.log",
        "engine/weights/last.pt",
        ".DS_Store",
        "infer.egg-info/PKG-INFO",
    ],
)
def test_junk_is_found(staged, copy, junk):
    (copy / junk).parent.mkdir(parents=True, exist_ok=True)
    (copy / junk).write_text("")
    assert new_problems(copy, staged) == [f"{junk} does not belong"]


def test_missing_files_are_found(staged, copy):
    (copy / "requirements.txt").unlink()
    assert new_problems(copy, staged) == ["requirements.txt is missing"]


def test_size_is_limited(staged, copy):
    with (copy / "engine" / "more.bin").open("wb") as file:
        file.truncate(package.MAX_PACKAGE_BYTES)
    (sentence,) = new_problems(copy, staged)
    assert "is more than 25 MB" in sentence


def test_new_entries_of_the_root_must_be_decided(tmp_path):
    with pytest.raises(ValueError, match="names notes"):
        choose_files(INFER, tmp_path, ["README.md", "notes/today.md"])


def test_pictures_of_the_readme_are_shipped(tmp_path):
    readme = 'See ![the demo](docs/images/demo.png) and <img src="docs/images/widget.png">.'
    (tmp_path / "README.md").write_text(readme)
    tracked = ["README.md", "docs/images/demo.png", "docs/images/widget.png", "docs/contract.md"]
    assert list(choose_files(INFER, tmp_path, tracked)) == tracked[:3]


def test_metadata_is_complete(staged, ikomia_home):
    info = package.read_factory_info(staged)
    assert package.find_info_problems(info, staged, package.read_project_version(CHECKOUT)) == []


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("license", "", "info.license is empty"),
        ("name", "sam3", "info.name is 'sam3', Ikomia looks for 'infer_segment_anything_3'"),
        ("version", "1.0.0", "info.version is '1.0.0', pyproject.toml says '2.0.0'"),
        ("icon_path", "no.png", "info.icon_path 'no.png' does not exist in the package"),
        ("repository", "a/b", "info.repository is no https address: 'a/b'"),
    ],
)
def test_wrong_metadata_is_found(tmp_path, field, value, sentence):
    (tmp_path / "icon.png").touch()
    good = dict.fromkeys(package.REQUIRED_INFO, "https://a") | {
        "name": INFER.name,
        "version": "2.0.0",
        "icon_path": "icon.png",
    }
    assert package.find_info_problems(good, tmp_path, "2.0.0") == []
    assert package.find_info_problems(good | {field: value}, tmp_path, "2.0.0") == [sentence]


def test_the_training_plugin_is_complete(tmp_path, ikomia_home):
    folder = tmp_path / TRAIN.name
    package.stage_package(CHECKOUT, folder, TRAIN)
    assert package.find_problems(folder, TRAIN) == []
    info = package.read_factory_info(folder)
    version = package.read_project_version(CHECKOUT)
    assert package.find_info_problems(info, folder, version, TRAIN.name) == []
    assert info["algo_type"].endswith("TRAIN")
    requirements = (folder / "requirements.txt").read_text()
    assert "peft" in requirements and "sam3==" in requirements and "-r " not in requirements


def test_archive_is_reproducible(copy, tmp_path):
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    package.make_archive(copy, first)
    for path in copy.rglob("*"):
        os.utime(path, (0, 0))
    package.make_archive(copy, second)
    assert first.read_bytes() == second.read_bytes()
    assert all(name.startswith(f"{INFER.name}/") for name in zipfile.ZipFile(first).namelist())


def test_package_runs_from_an_empty_ikomia_home(staged, ikomia_home, tmp_path):
    plugins = tmp_path / "Ikomia" / "Plugins" / "Python"
    package.make_archive(staged, tmp_path / "package.zip")
    zipfile.ZipFile(tmp_path / "package.zip").extractall(plugins)
    answer = tmp_path / "answer.json"
    run = subprocess.run(
        [sys.executable, "-P", "-c", RUN_THE_PACKAGE, str(answer)],
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(answer.read_text())
    assert found["iou"] > 0.85
    # The base class of Ikomia's training tasks would start its server.
    assert not found["mlflow"]
    assert all(Path(file).is_relative_to(plugins) for file in found["files"])
