"""Builds the folder and the archive that Ikomia HUB ships, and checks them.

``ikcli`` zips whatever lies in a plugin's folder, so it is pointed at a folder that holds
what belongs and nothing else: ``build/infer_segment_anything_3``.
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
from pathlib import Path, PurePosixPath
from typing import Any

NAME = "infer_segment_anything_3"
CHECKOUT = Path(__file__).resolve().parents[1]
MAX_PACKAGE_BYTES = 25_000_000

SHIPPED = frozenset(
    {
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "README.md",
        "__init__.py",
        "__main__.py",
        "adapter",
        "cli",
        "engine",
        "examples",
        "icons",
        "infer_segment_anything_3.py",
        "infer_segment_anything_3_process.py",
        "infer_segment_anything_3_test.py",
        "infer_segment_anything_3_widget.py",
        "py.typed",
        "requirements.txt",
        "studio",
        "version.py",
    }
)
"""Entries of the repository's root that are part of the plugin."""

NOT_SHIPPED = frozenset(
    {
        ".ci",
        ".dockerignore",
        ".gitattributes",
        ".github",
        ".gitignore",
        ".pre-commit-config.yaml",
        "CONTRIBUTING.md",
        "Dockerfile",
        "Makefile",
        "SECURITY.md",
        "benchmarks",
        "docker-compose.yml",
        "mkdocs.yml",
        "docs",
        "labeling",
        "pyproject.toml",
        "requirements-labeling.txt",
        "requirements-openvino.txt",
        "requirements-ray.txt",
        "requirements-serve.txt",
        "serving",
        "tests",
        "tools",
    }
)
"""Entries of the repository's root that are for its developers and readers."""

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
import json, sys
sys.path.insert(0, sys.argv[1])
from PyQt6 import QtCore, QtDBus, QtGui, QtNetwork, QtSql, QtSvg, QtWidgets
from infer_segment_anything_3.infer_segment_anything_3 import IkomiaPlugin
info = IkomiaPlugin().get_process_factory().info
fields = {name: getattr(info, name) for name in sys.argv[3].split(",")}
fields["algo_type"] = str(info.algo_type)
fields["algo_tasks"] = str(info.algo_tasks)
open(sys.argv[2], "w").write(json.dumps(fields))
"""


def list_tracked_files(checkout: Path) -> list[str]:
    """Lists the files of git that exist, relative to the root, with forward slashes.

    Raises:
        RuntimeError: If the folder is not a git checkout.
    """
    listing = subprocess.run(
        ["git", "-C", str(checkout), "ls-files", "-z"], capture_output=True, check=False
    )
    if listing.returncode:
        raise RuntimeError(f"{checkout} is no git checkout: {listing.stderr.decode().strip()}")
    names = listing.stdout.decode().split("\0")
    return sorted(name for name in names if name and (checkout / name).is_file())


def list_shipped_files(tracked: list[str], readme: str) -> list[str]:
    """Lists the files that the HUB ships.

    Args:
        tracked: Every tracked file, relative to the root.
        readme: Text of README.md: the pictures that it shows are shipped with it.

    Returns:
        The files to ship, sorted.

    Raises:
        ValueError: If an entry of the root is on neither list.
    """
    roots = {PurePosixPath(name).parts[0] for name in tracked}
    if undecided := sorted(roots - SHIPPED - NOT_SHIPPED):
        raise ValueError(f"neither SHIPPED nor NOT_SHIPPED names {', '.join(undecided)}")
    pictures = set(re.findall(r"!\[[^]]*\]\(([^)\s]+)\)|<img[^>]*src=\"([^\"]+)\"", readme))
    shown = {PurePosixPath(a or b).as_posix() for a, b in pictures}
    return [name for name in tracked if PurePosixPath(name).parts[0] in SHIPPED or name in shown]


def copy_shipped(checkout: Path, folder: Path) -> list[str]:
    """Copies the shipped files into a new, empty folder.

    Args:
        checkout: Root of the repository.
        folder: Where to; what is there already is replaced.

    Returns:
        The files copied, relative to the folder.
    """
    readme = checkout / "README.md"
    text = readme.read_text("utf-8") if readme.is_file() else ""
    names = list_shipped_files(list_tracked_files(checkout), text)
    shutil.rmtree(folder, ignore_errors=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkout / name, folder / name)
    return names


def find_problems(folder: Path) -> list[str]:
    """Finds what is wrong with a folder of shipped files, without running it.

    Args:
        folder: The folder that would be shipped.

    Returns:
        One sentence for each problem; empty when it may be shipped.
    """
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    found = [f"{name} does not belong" for name in sorted(files) if _UNWANTED.search(name)]
    found += [f"{name} is missing" for name in sorted(_list_needed() - set(files))]
    found += [f"{name} is a link" for name, path in sorted(files.items()) if path.is_symlink()]
    size = sum(path.stat().st_size for path in files.values())
    if size > MAX_PACKAGE_BYTES:
        found.append(f"{size / 1e6:.1f} MB is more than {MAX_PACKAGE_BYTES / 1e6:.0f} MB")
    return found


def _list_needed() -> set[str]:
    files = {name for name in SHIPPED if PurePosixPath(name).suffix or name == "LICENSE"}
    weights = "engine/weights/tiny_shapes"
    return files | {"icons/icon.png", f"{weights}.safetensors", f"{weights}.json"}


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
        arguments = [str(folder.parent), str(answer), ",".join(REQUIRED_INFO)]
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


def find_info_problems(info: dict[str, Any], folder: Path, version: str) -> list[str]:
    """Finds what is wrong with a plugin's metadata.

    Args:
        info: What :func:`read_factory_info` read.
        folder: The staged folder.
        version: The version that pyproject.toml declares.

    Returns:
        One sentence for each problem.
    """
    found = [f"info.{name} is empty" for name in REQUIRED_INFO if not info.get(name)]
    if info.get("name") != NAME:
        found.append(f"info.name is {info.get('name')!r}, Ikomia looks for {NAME!r}")
    if info.get("version") != version:
        found.append(f"info.version is {info.get('version')!r}, pyproject.toml says {version!r}")
    icon = str(info.get("icon_path", ""))
    # Ikomia resolves the icon from its plugin folder, some hosts from the plugin's own.
    if not any((root / icon).is_file() for root in (folder, folder.parent)):
        found.append(f"info.icon_path {icon!r} does not exist in the package")
    for name in ("repository", "original_repository", "article_url", "documentation_link"):
        if info.get(name) and not str(info[name]).startswith("https://"):
            found.append(f"info.{name} is no https address: {info[name]!r}")
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
    parser.add_argument("--folder", type=Path, default=CHECKOUT / "build" / NAME)
    parser.add_argument("--archive", type=Path, default=CHECKOUT / "dist" / f"{NAME}.zip")
    options = parser.parse_args()

    names = copy_shipped(CHECKOUT, options.folder)
    found = find_problems(options.folder)
    if not found:
        version = read_project_version(CHECKOUT)
        found += find_info_problems(read_factory_info(options.folder), options.folder, version)
        found += find_problems(options.folder)
    for sentence in found:
        print(f"Not fit to be shipped: {sentence}.", file=sys.stderr)
    if found:
        return 1
    make_archive(options.folder, options.archive)
    size_mb = options.archive.stat().st_size / 1e6
    print(f"{len(names)} files, {size_mb:.1f} MB: {options.folder} and {options.archive}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
