"""``pip install .`` gives the package and the program, from a wheel that holds what belongs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

CHECKOUT = Path(__file__).resolve().parents[2]
NAME = "infer_segment_anything_3"
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
FOLDERS = (
    "adapter",
    "agent",
    "cli",
    "engine",
    "examples",
    "labeling",
    "serving",
    "studio",
    "training",
)


def run(python, *arguments, cwd, **variables):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | variables
    return subprocess.run(
        [str(python), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_folder_is_a_package_of_the_wheel():
    folders = {p.parent for name in FOLDERS for p in (CHECKOUT / name).rglob("__init__.py")}
    expected = {".".join((NAME, *p.relative_to(CHECKOUT).parts)) for p in folders}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == expected | {NAME}


def test_the_wheel_holds_what_belongs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    roots = {name.split("/")[1] for name in names if name.startswith(f"{NAME}/")}
    assert {
        "py.typed",
        "version.py",
        "__main__.py",
        f"{NAME}.py",
        *FOLDERS,
    } <= roots
    assert not roots & {"tests", "tools", "benchmarks", "setup.py", "docs", "Makefile"}
    assert f"{NAME}/engine/weights/tiny_shapes.safetensors" in names
    assert f"{NAME}/serving/playground/static/index.html" in names
    assert f"{NAME}/icons/icon.png" in names


def read_requirements(name):
    lines = (CHECKOUT / name).read_text("utf-8").splitlines()
    stripped = [line.partition("#")[0].strip() for line in lines]
    own = {str(Requirement(line)) for line in stripped if line and not line.startswith("-r")}
    return own, [line.removeprefix("-r ") for line in stripped if line.startswith("-r")]


@pytest.mark.parametrize("extra", PROJECT["project"]["optional-dependencies"])
def test_extras_are_the_requirement_files(extra):
    own, files = read_requirements(f"requirements-{extra}.txt")
    listed = {str(Requirement(r)) for r in PROJECT["project"]["optional-dependencies"][extra]}
    others = {f"{NAME}[{f[13:-4]}]" for f in files if f != "requirements.txt"}
    assert listed == own | others
    assert files, "an extra stands on the base requirements"


def test_every_requirement_file_is_an_extra():
    files = {p.name for p in CHECKOUT.glob("requirements-*.txt")}
    extras = PROJECT["project"]["optional-dependencies"]
    assert files == {f"requirements-{name}.txt" for name in extras}


def test_the_program_runs_from_an_empty_folder(wheel_python, tmp_path):
    program = wheel_python.parent / "infer-sam3"
    version = run(program, "--version", cwd=tmp_path)
    assert re.fullmatch(r"infer-sam3 \d+\.\d+\.\d+\n", version.stdout), version.stderr
    same = run(wheel_python, "-m", NAME, "--version", cwd=tmp_path)
    assert same.stdout == version.stdout
    where = run(wheel_python, "-c", f"import {NAME}; print({NAME}.__file__)", cwd=tmp_path)
    assert str(CHECKOUT) not in where.stdout


NO_IKOMIA = "import sys; sys.modules['ikomia'] = None\n"
SEGMENT = (
    "import numpy as np\n"
    f"from {NAME}.engine import ConceptPrompt, Engine\n"
    "image = np.full((240, 240, 3), 128, np.uint8)\n"
    "image[60:160, 60:160] = (220, 40, 40)\n"
    "engine = Engine.load('tiny_shapes', device='cpu')\n"
    "print(len(engine.segment(image, ConceptPrompt(('red square',))).instances))\n"
)


@pytest.mark.parametrize("before", ["", NO_IKOMIA], ids=["with Ikomia", "without Ikomia"])
def test_scripts_run_in_the_folder_of_the_checkout(tmp_path, before):
    # A copy of the one file that hides the package there, and links to the rest.
    for entry in CHECKOUT.iterdir():
        if entry.name not in (".git", ".venv"):
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / f"{NAME}.py").unlink()
    (tmp_path / f"{NAME}.py").write_bytes((CHECKOUT / f"{NAME}.py").read_bytes())
    script = tmp_path / "script.py"
    script.write_text(before + SEGMENT)
    done = run(sys.executable, "script.py", cwd=tmp_path)
    assert done.stdout == "1\n", done.stderr
    inline = run(sys.executable, "-c", before + SEGMENT, cwd=tmp_path)
    assert inline.stdout == "1\n", inline.stderr
    module = run(sys.executable, "-m", NAME, "--version", cwd=tmp_path)
    assert module.stdout.startswith("infer-sam3 "), module.stderr
