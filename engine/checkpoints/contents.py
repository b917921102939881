"""Reads the names of a checkpoint's tensors without reading, or running, anything else of it."""

from __future__ import annotations

import io
import json
import pickletools
import struct
import zipfile
from pathlib import Path
from typing import IO

from .reader import LARGEST_HEADER, is_safetensors, list_shards

_LARGEST_PICKLE = 100_000_000
_STRINGS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE")

Shape = tuple[int, ...] | None


def read_names(file: IO[bytes]) -> dict[str, Shape]:
    """Reads the names of the tensors of a safetensors file or a zipped ``.pt`` file.

    Of a ``.pt`` file the list of strings in its pickle is taken, which is scanned and never
    executed: it holds the names of the tensors among others.

    Args:
        file: The file, seekable; only its header, or directory and pickle, is read.

    Returns:
        The shape of each tensor; None where the format does not tell it. Empty for a file of
        another format, or a damaged one.
    """
    head = file.read(64)
    try:
        if is_safetensors(head):
            return _read_header(file, head)
        if head.startswith(b"PK\x03\x04"):
            return _read_pickle(file)
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, struct.error, EOFError):
        pass
    return {}


def read_local_names(path: Path) -> dict[str, Shape]:
    """Reads the names of a local file's tensors, of all shards where it is an index."""
    names: dict[str, Shape] = {}
    for part in list_shards(path) or [path]:
        with part.open("rb") as file:
            names |= read_names(file)
    return names


def read_index_names(index: bytes) -> dict[str, Shape]:
    """Reads the names of tensors in the index of a sharded checkpoint; empty if it is none."""
    try:
        return dict.fromkeys(json.loads(index)["weight_map"])
    except (ValueError, KeyError, TypeError):
        return {}


def _read_header(file: IO[bytes], head: bytes) -> dict[str, Shape]:
    (size,) = struct.unpack("<Q", head[:8])
    if size > LARGEST_HEADER:
        return {}
    file.seek(8)
    header = json.loads(file.read(size))
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}


def _read_pickle(file: IO[bytes]) -> dict[str, Shape]:
    with zipfile.ZipFile(file) as archive:
        (member,) = (item for item in archive.infolist() if item.filename.endswith("/data.pkl"))
        if member.file_size > _LARGEST_PICKLE:
            return {}
        stream = io.BytesIO(archive.read(member))
    return {
        value: None
        for code, value, _ in pickletools.genops(stream)
        if code.name in _STRINGS and isinstance(value, str) and "." in value
    }
