"""Builds the folder and the archive of each plugin that Ikomia HUB ships, and checks them.

``ikcli`` zips whatever lies in a plugin's folder, so it is pointed at a folder that holds
what belongs and nothing else: ``build/infer_segment_anything_3``, or
``build/train_segment_anything_3``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from .package_contents import (
    INFER,
    PACKAGES,
    Contents,
    choose_files,
    join_requirements,
    list_tracked_files,
)

CHECKOUT = Path(__file__).resolve().parents[1]
MAX_PACKAGE_BYTES = 25_000_000

REQUIRED_INFO = (
    "name",
    "short_description",
    "authors",
    "icon_path",
    "version",
    "keywords",
    "min_ikomia_version",
    "min_python_version",
    "repository",
    "original_repository",
    "article",
    "article_url",
    "journal",
    "year",
    "license",
    "documentation_link",
)
"""Fields of the factory's ``info`` that the HUB shows; none may be empty."""

_UNWANTED = re.compile(
    r"(^|/)(__pycache__|\.[^/]+|[^/]*\.(py[cod]|pt|pth|ckpt|log|tmp|orig|rej|egg-info))(/|$)"
)
_INFO_SCRIPT = """
import importlib, json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder.parent))
from PyQt6 import QtCore, QtDBus, QtGui, QtNetwork, QtSql, QtSvg, QtWidgets
entry = importlib.import_module(f"{folder.name}.{folder.name}")
info = entry.IkomiaPlugin().get_process_factory().info
fields = {name: getattr(info, name) for name in sys.argv[3].split(",")}
fields["algo_type"] = str(info.algo_type)
fields["algo_tasks"] = str(info.algo_tasks)
open(sys.argv[2], "w").write(json.dumps(fields))
"""


def stage_package(checkout: Path, folder: Path, contents: Contents = INFER) -> list[str]:
    """Copies the shipped files into a new, empty folder, and writes the generated ones.

    Args:
        checkout: Root of the repository.
        folder: Where to; what is there already is replaced.
        contents: What the package holds.

    Returns:
        The files in the folder, relative to it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    files = choose_files(contents, checkout, list_tracked_files(checkout))
    for place, source in files.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkout / source, folder / place)
    texts = {"requirements.txt": join_requirements(contents, checkout), **contents.generated}
    for place, text in texts.items():
        (folder / place).write_text(text, "utf-8")
    return sorted({*files, *texts})


def find_problems(folder: Path, contents: Contents = INFER) -> list[str]:
    """Finds what is wrong with a folder of shipped files, without running it.

    Args:
        folder: The folder that would be shipped.
        contents: What the package holds.

    Returns:
        One sentence for each problem; empty when it may be shipped.
    """
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    found = [f"{name} does not belong" for name in sorted(files) if _UNWANTED.search(name)]
    found += [f"{name} is missing" for name in sorted(contents.needed - set(files))]
    found += [f"{name} is a link" for name, path in sorted(files.items()) if path.is_symlink()]
    size = sum(path.stat().st_size for path in files.values())
    if size > MAX_PACKAGE_BYTES:
        found.append(f"{size / 1e6:.1f} MB is more than {MAX_PACKAGE_BYTES / 1e6:.0f} MB")
    return found


def read_factory_info(folder: Path) -> dict[str, Any]:
    """Reads the metadata of a copied plugin, in a process and a home of its own.

    Args:
        folder: The staged folder, named as the plugin.

    Returns:
        The values of ``REQUIRED_INFO``, ``algo_type`` and ``algo_tasks``.

    Raises:
        RuntimeError: If the plugin cannot be imported.
    """
    with tempfile.TemporaryDirectory() as home:
        answer = Path(home) / "info.json"
        arguments = [str(folder), str(answer), ",".join(REQUIRED_INFO)]
        run = subprocess.run(
            [sys.executable, "-P", "-B", "-c", _INFO_SCRIPT, *arguments],
            env=os.environ
            | {"HOME": home, "IKOMIA_AUTO_COMPLETION": "false", "QT_QPA_PLATFORM": "offscreen"},
            capture_output=True,
            text=True,
            check=False,
        )
        if not answer.is_file():
            raise RuntimeError(f"the staged plugin cannot be imported:\n{run.stderr}")
        info: dict[str, Any] = json.loads(answer.read_text())
    return info


def find_info_problems(
    info: dict[str, Any], folder: Path, version: str, name: str = INFER.name
) -> list[str]:
    """Finds what is wrong with a plugin's metadata.

    Args:
        info: What :func:`read_factory_info` read.
        folder: The staged folder.
        version: The version that pyproject.toml declares.
        name: The plugin's name.

    Returns:
        One sentence for each problem.
    """
    found = [f"info.{field} is empty" for field in REQUIRED_INFO if not info.get(field)]
    if info.get("name") != name:
        found.append(f"info.name is {info.get('name')!r}, Ikomia looks for {name!r}")
    if info.get("version") != version:
        found.append(f"info.version is {info.get('version')!r}, pyproject.toml says {version!r}")
    icon = str(info.get("icon_path", ""))
    # Ikomia resolves the icon from its plugin folder, some hosts from the plugin's own.
    if not any((root / icon).is_file() for root in (folder, folder.parent)):
        found.append(f"info.icon_path {icon!r} does not exist in the package")
    for field in ("repository", "original_repository", "article_url", "documentation_link"):
        if info.get(field) and not str(info[field]).startswith("https://"):
            found.append(f"info.{field} is no https address: {info[field]!r}")
    return found


def make_archive(folder: Path, path: Path) -> None:
    """Zips a folder; the same files give the same bytes.

    Args:
        folder: The staged folder.
        path: The archive to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = f"{folder.name}/{file.relative_to(folder).as_posix()}"
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            package.writestr(entry, file.read_bytes())


def read_project_version(checkout: Path) -> str:
    """Reads the version that version.py declares."""
    text = (checkout / "version.py").read_text("utf-8")
    return re.findall(r'^VERSION = "(.*)"$', text, re.MULTILINE)[0]


def main() -> int:
    """Copies, checks and zips the plugin; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plugin", choices=list(PACKAGES), default="infer")
    parser.add_argument("--folder", type=Path, help="where to stage it; build/<name> by default")
    parser.add_argument("--archive", type=Path, help="the archive; dist/<name>.zip by default")
    options = parser.parse_args()
    contents = PACKAGES[options.plugin]
    folder = options.folder or CHECKOUT / "build" / contents.name
    archive = options.archive or CHECKOUT / "dist" / f"{contents.name}.zip"

    names = stage_package(CHECKOUT, folder, contents)
    found = find_problems(folder, contents)
    if not found:
        version = read_project_version(CHECKOUT)
        info = read_factory_info(folder)
        found += find_info_problems(info, folder, version, contents.name)
        found += find_problems(folder, contents)
    for sentence in found:
        print(f"Not fit to be shipped: {sentence}.", file=sys.stderr)
    if found:
        return 1
    make_archive(folder, archive)
    size_mb = archive.stat().st_size / 1e6
    print(f"{len(names)} files, {size_mb:.1f} MB: {folder} and {archive}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
