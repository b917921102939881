"""The real clients, each in a virtual environment of its own: they conflict with the lock.

They are installed once into the folder that ``CLIENTS_HOME`` names, by default
``.cache/clients`` of the checkout (2 GB, several minutes), and used again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

VERSIONS = {"inference-sdk": "1.8.3", "label-studio": "1.23.2"}


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
