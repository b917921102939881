"""The real clients, each in a virtual environment of its own: they conflict with the lock.

They are installed once into the folder that ``CLIENTS_HOME`` names, by default
``.cache/clients`` of the checkout (2 GB, several minutes), and used again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

VERSIONS = {"inference-sdk": "1.8.3", "inference-cpu": "1.8.3", "label-studio": "1.23.2"}


@pytest.fixture(scope="session")
def clients_home(checkout: Path) -> Path:
    home = Path(os.environ.get("CLIENTS_HOME", checkout / ".cache" / "clients"))
    home.mkdir(parents=True, exist_ok=True)
    return home


def install_client(home: Path, name: str) -> Path:
    """A folder of programs in which the client is installed."""
    folder = home / name
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        requirement = f"{name}=={VERSIONS[name]}"
        subprocess.run(
            [folder / "bin/python", "-m", "pip", "install", "-q", requirement], check=True
        )
        (folder / "installed").touch()
    return folder / "bin"


@pytest.fixture(scope="session")
def inference_sdk(clients_home: Path) -> Path:
    return install_client(clients_home, "inference-sdk")


@pytest.fixture(scope="session")
def label_studio(clients_home: Path) -> Path:
    return install_client(clients_home, "label-studio")


def make_overlay(folder: Path, requirements: list[str]) -> Path:
    """An environment on top of this one: its own packages first, then those that are here.

    PyTorch is not installed twice. Gives the folder of programs.
    """
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        own = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
        below = sysconfig.get_path("purelib")
        (own / "below.pth").write_text(f"import site; site.addsitedir({below!r})\n")
        subprocess.run(
            [folder / "bin/python", "-m", "pip", "install", "-q", *requirements], check=True
        )
        (folder / "installed").touch()
    return folder / "bin"


@pytest.fixture(scope="session")
def workflow_engine(clients_home: Path, checkout: Path) -> Path:
    """The server's packages with Roboflow's workflow engine."""
    requirements = ["-r", str(checkout / "requirements-workflows.txt")]
    return make_overlay(clients_home / "workflows", requirements)


@pytest.fixture(scope="session")
def inference_pipeline(clients_home: Path) -> Path:
    """Roboflow's ``inference`` with its video pipeline, and this project below it."""
    requirement = f"inference-cpu=={VERSIONS['inference-cpu']}"
    return make_overlay(clients_home / "inference-cpu", [requirement])
