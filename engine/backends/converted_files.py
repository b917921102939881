"""Keeps converted models in a folder of the user, bounded in size."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MAX_BYTES = 8 * 1000**3
"""Most bytes of all converted models; those unused for longest go first. One of full size takes
1.8 GB, whatever the precision."""

_MODEL = "model.xml"
_WEIGHTS = "model.bin"
_MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class ConvertedFile:
    """A converted model in the folder.

    Attributes:
        path: Its folder.
        size_bytes: Of all its files.
        description: What it was made from.
    """

    path: Path
    size_bytes: int
    description: str


def get_cache_folder() -> Path:
    """Returns the folder: in ``XDG_CACHE_HOME``, else in ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "infer_segment_anything_3" / "converted"


def find_or_make(
    key: Mapping[str, Any], save: Callable[[Path], None], max_bytes: int | None = None
) -> Path:
    """Finds a converted model, or makes it and removes old ones.

    Args:
        key: What the model depends on: plain values.
        save: Writes the model to the path of an ``.xml`` file that it is given, and its weights
            beside it as ``.bin``.
        max_bytes: Most bytes of the folder; by default :data:`MAX_BYTES`.

    Returns:
        The ``.xml`` file. A damaged one is made again.
    """
    text = json.dumps(dict(key), sort_keys=True)
    folder = get_cache_folder()
    path = folder / hashlib.sha256(text.encode()).hexdigest()[:32]
    if not _is_whole(path):
        folder.mkdir(parents=True, exist_ok=True)
        # Made elsewhere and renamed: no other process meets half of it.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as unfinished:
            made = Path(unfinished) / "made"
            made.mkdir()
            save(made / _MODEL)
            manifest = {
                "key": dict(key),
                "xml_sha256": _hash(made / _MODEL),
                "bin_bytes": (made / _WEIGHTS).stat().st_size,
            }
            (made / _MANIFEST).write_text(json.dumps(manifest))
            shutil.rmtree(path, ignore_errors=True)
            try:
                made.rename(path)
            except OSError:  # another process was faster
                if not _is_whole(path):
                    raise
        _remove_oldest(MAX_BYTES if max_bytes is None else max_bytes, path)
    os.utime(path / _MANIFEST)
    return path / _MODEL


def list_converted() -> list[ConvertedFile]:
    """Lists the converted models, the one used last first."""
    found = []
    for manifest in get_cache_folder().glob(f"*/{_MANIFEST}"):
        key = _read_manifest(manifest.parent).get("key", {})
        size = sum(file.stat().st_size for file in manifest.parent.iterdir())
        text = ", ".join(f"{name} {value}" for name, value in key.items())
        found.append((manifest.stat().st_mtime_ns, ConvertedFile(manifest.parent, size, text)))
    return [file for _, file in sorted(found, key=lambda item: -item[0])]


def clear_converted() -> int:
    """Removes all converted models, unfinished ones as well; returns the bytes they took."""
    folder = get_cache_folder()
    freed = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder, ignore_errors=True)
    return freed


def _is_whole(path: Path) -> bool:
    manifest = _read_manifest(path)
    try:
        return _hash(path / _MODEL) == manifest.get("xml_sha256") and (
            path / _WEIGHTS
        ).stat().st_size == manifest.get("bin_bytes")
    except OSError:
        return False


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / _MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _remove_oldest(max_bytes: int, kept: Path) -> None:
    total = 0
    for file in list_converted():
        total += file.size_bytes
        if total > max_bytes and file.path != kept:
            shutil.rmtree(file.path, ignore_errors=True)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
