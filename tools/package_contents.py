"""Lists what the package of each Ikomia plugin holds."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

_WEIGHTS = "engine/weights/tiny_shapes"


@dataclasses.dataclass(frozen=True)
class Contents:
    """Describes what a plugin's package holds.

    Attributes:
        name: The plugin's name, also that of its folder.
        shipped: Files and folders of the repository, with forward slashes.
        needed: Files without which it is not shipped.
        renamed: Files of the repository by their place in the package.
        generated: Texts of files by their place in the package.
        requirements: Files whose requirements the package's own one lists.
    """

    name: str
    shipped: frozenset[str]
    needed: frozenset[str]
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    generated: Mapping[str, str] = dataclasses.field(default_factory=dict)
    requirements: tuple[str, ...] = ("requirements.txt",)


def _list_needed(shipped: frozenset[str], *others: str) -> frozenset[str]:
    files = frozenset(n for n in shipped if PurePosixPath(n).suffix or n == "LICENSE")
    return files | {"icons/icon.png", f"{_WEIGHTS}.safetensors", f"{_WEIGHTS}.json", *others}


_SHARED = frozenset(
    {
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "__init__.py",
        "engine",
        "icons",
        "py.typed",
        "requirements.txt",
        "studio",
        "version.py",
    }
)
_OF_INFER = _SHARED | {
    "README.md",
    "__main__.py",
    "adapter",
    "agent",
    "cli",
    "examples",
    "infer_segment_anything_3.py",
    "infer_segment_anything_3_process.py",
    "infer_segment_anything_3_test.py",
    "infer_segment_anything_3_widget.py",
    "requirements-agent.txt",
    "requirements-mcp.txt",
    "requirements-openvino.txt",
}
_OF_TRAIN = _SHARED | {
    "adapter/__init__.py",
    "adapter/parameters",
    "labeling",
    "train_plugin",
    "training",
}

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
        "pyproject.toml",
        "requirements-labeling.txt",
        "requirements-ray.txt",
        "requirements-serve.txt",
        "requirements-train.txt",
        "requirements-workflows.txt",
        "serving",
        "tests",
        "tools",
    }
)
"""Entries of the repository's root that are for its developers and readers."""

INFER = Contents("infer_segment_anything_3", _OF_INFER, _list_needed(_OF_INFER))

_TRAIN = "train_segment_anything_3"
_ENTRY = '''"""{doc}"""

from .train_plugin.{module} import {names}

__all__ = {listed}
'''


def _make_entry(doc: str, module: str, *names: str) -> str:
    listed = "[" + ", ".join(f'"{name}"' for name in names) + "]"
    return _ENTRY.format(doc=doc, module=module, names=", ".join(names), listed=listed)


_GENERATED = {
    f"{_TRAIN}.py": _make_entry("The plugin's entry point.", "plugin", "IkomiaPlugin"),
    f"{_TRAIN}_process.py": _make_entry(
        "The plugin's task.", "process", "TrainFactory", "TrainParamFactory"
    ),
    f"{_TRAIN}_widget.py": _make_entry("The plugin's widget.", "widget", "TrainWidgetFactory"),
}
"""The files that Ikomia looks for by their names."""

TRAIN = Contents(
    _TRAIN,
    _OF_TRAIN,
    _list_needed(_OF_TRAIN, *_GENERATED, "README.md"),
    {"README.md": "train_plugin/README.md"},
    _GENERATED,
    ("requirements.txt", "requirements-labeling.txt", "requirements-train.txt"),
)

PACKAGES = {"infer": INFER, "train": TRAIN}


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


def choose_files(contents: Contents, checkout: Path, tracked: list[str]) -> dict[str, str]:
    """Chooses the files of a package.

    Args:
        contents: What the package holds.
        checkout: Root of the repository.
        tracked: Every tracked file, relative to the root.

    Returns:
        Files of the repository by their place in the package: what the package ships, and the
        pictures that its README shows.

    Raises:
        ValueError: If no package decides about an entry of the root.
    """
    decided = NOT_SHIPPED.union(*(other.shipped for other in PACKAGES.values()))
    roots = {PurePosixPath(name).parts[0] for name in tracked}
    if undecided := sorted(roots - {PurePosixPath(name).parts[0] for name in decided}):
        raise ValueError(f"neither a package nor NOT_SHIPPED names {', '.join(undecided)}")
    readme = checkout / contents.renamed.get("README.md", "README.md")
    text = readme.read_text("utf-8") if readme.is_file() else ""
    shown = list_pictures(text)
    chosen = {name: name for name in tracked if _is_shipped(name, contents) or name in shown}
    return chosen | dict(contents.renamed)


def join_requirements(contents: Contents, checkout: Path) -> str:
    """Joins the requirements of a package in one text, each line once: the HUB reads no ``-r``."""
    lines = (
        line
        for name in contents.requirements
        for line in (checkout / name).read_text("utf-8").splitlines()
        if line and not line.startswith("-r ")
    )
    return "\n".join(dict.fromkeys(lines)) + "\n"


def list_pictures(readme: str) -> set[str]:
    """Lists the paths of the pictures that a README shows."""
    found = re.findall(r"!\[[^]]*\]\(([^)\s]+)\)|<img[^>]*src=\"([^\"]+)\"", readme)
    return {PurePosixPath(a or b).as_posix() for a, b in found}


def _is_shipped(name: str, contents: Contents) -> bool:
    parents = (parent.as_posix() for parent in PurePosixPath(name).parents)
    return name in contents.shipped or any(parent in contents.shipped for parent in parents)
