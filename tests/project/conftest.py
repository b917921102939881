from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's wheel, built from what git tracks, without a network."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        [
            "git",
            "-C",
            str(CHECKOUT),
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (CHECKOUT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(CHECKOUT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "build", "--wheel", "--no-isolation", "-o", str(out), "."],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def wheel_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment in which the wheel is installed, as ``pip install .`` does.

    What the wheel depends on comes from the environment of the tests.
    """
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, symlinks=os.name == "posix", with_pip=False)
    python = root / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    subprocess.run(
        [*pip, "--no-deps", "--no-index", "--no-compile", "-q", str(wheel)],
        check=True,
        capture_output=True,
    )
    # A folder in a .pth file comes last, and its own .pth files are not read: the checkout,
    # which one of them names, is not found.
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture(scope="session")
def wheel_environment(
    wheel_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Variables of a user who has installed the wheel, also into Ikomia, and nothing else."""
    home = tmp_path_factory.mktemp("home")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
    }
    install = [str(wheel_python), "-m", "infer_segment_anything_3", "install"]
    subprocess.run(install, cwd=home, env=environment, check=True, capture_output=True)
    return environment
