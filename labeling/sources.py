"""Lists and reads the images of a job: a folder, a glob or a list, local or in a bucket."""

from __future__ import annotations

import dataclasses
import functools
import os
import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..engine.validation import value_error
from .addresses import is_local, resolve_address

IMAGE_SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".jp2", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
)
"""Suffixes of files that are images, in a folder. Globs and lists may name any file."""

_EXPECTED = "a folder, a glob, a .txt list of images, or an address of fsspec"
_GLOB_CHARACTERS = frozenset("*?[")


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """Describes one file to label.

    Attributes:
        name: Path relative to the source, with forward slashes; its name in every result.
        size_bytes: Its size; -1 if it cannot be told.
        version: Time of change or entity tag: another one means another content.
    """

    name: str
    size_bytes: int
    version: str


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """Lists and reads the images of an address.

    Attributes:
        address: As the user wrote it.
    """

    address: str

    def list_files(self, leave_out: str = "") -> tuple[list[SourceFile], int]:
        """Lists the images.

        Args:
            leave_out: Path of a folder whose files do not count: the job's own results.

        Returns:
            The files sorted by name, and how many other files a folder held.

        Raises:
            ValueError: If there is nothing at the address.
        """
        kind = self._kind
        if kind == "list":
            return sorted(self._read_list(), key=lambda file: file.name), 0
        if kind == "glob":
            found = self._fs.glob(self._path, detail=True)
            files = list(_list_glob_files(found, self._root))
        elif kind == "file":
            files = [_to_file(self._fs.info(self._path), posixpath.basename(self._path))]
        elif is_local(self._fs):
            files = list(_list_folder_files(self._path))
        else:
            files = list(_list_glob_files(self._fs.find(self._path, detail=True), self._root))
        kept = [file for file in files if not _is_below(self._join_root(file.name), leave_out)]
        if kind == "glob":
            images = [file for file in kept if not _is_hidden(file.name)]
        else:
            images = kept if kind == "file" else [f for f in kept if _is_image(f.name)]
        return sorted(images, key=lambda file: file.name), len(kept) - len(images)

    def read_bytes(self, name: str) -> bytes:
        """Reads the content of a file of the source.

        Raises:
            OSError: If it cannot be read.
        """
        if self._kind == "list":
            fs, path = resolve_address("images", self._get_entry_address(name))
            return bytes(fs.cat_file(path))
        return bytes(self._fs.cat_file(self._join_root(name)))

    def get_address(self, name: str) -> str | None:
        """Returns the address of a file that is not on this machine, else None."""
        if self.get_local_path(name) is not None:
            return None
        if self._kind == "list":
            return self._get_entry_address(name)
        return str(self._fs.unstrip_protocol(self._join_root(name)))

    def get_local_path(self, name: str) -> str | None:
        """Returns the absolute path of a file of the source if it is on this machine."""
        if self._kind == "list":
            fs, path = resolve_address("images", self._get_entry_address(name))
        else:
            fs, path = self._fs, self._join_root(name)
        return path if is_local(fs) else None

    @property
    def full_address(self) -> str:
        """The address without a dependence on the current folder."""
        return self._path if is_local(self._fs) else self.address

    @functools.cached_property
    def _resolved(self) -> tuple[Any, str]:
        return resolve_address("images", self.address)

    @property
    def _fs(self) -> Any:
        return self._resolved[0]

    @property
    def _path(self) -> str:
        return self._resolved[1]

    @functools.cached_property
    def _kind(self) -> str:
        if self._fs.isdir(self._path):
            return "folder"
        if self._fs.isfile(self._path):
            return "list" if self._path.lower().endswith(".txt") else "file"
        if _GLOB_CHARACTERS & set(self._path):
            return "glob"
        raise value_error("images", f"{_EXPECTED} (there is nothing)", self.address)

    @functools.cached_property
    def _root(self) -> str:
        """The folder that names are relative to."""
        if self._kind == "folder":
            return self._path
        parts = self._path.split("/")
        if self._kind == "glob":
            first = next(i for i, part in enumerate(parts) if _GLOB_CHARACTERS & set(part))
            return "/".join(parts[:first])
        return "/".join(parts[:-1])

    def _join_root(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _get_entry_address(self, entry: str) -> str:
        if "://" in entry or entry.startswith("~") or Path(entry).is_absolute():
            return entry
        return str(self._fs.unstrip_protocol(self._join_root(entry)))

    def _read_list(self) -> Iterator[SourceFile]:
        try:
            text = self._fs.cat_file(self._path).decode("utf-8")
        except UnicodeDecodeError as error:
            raise value_error("images", f"a list in UTF-8 ({error})", self.address) from error
        entries = dict.fromkeys(line.strip() for line in text.splitlines())
        for entry in entries:
            if not entry or entry.startswith("#"):
                continue
            try:
                fs, path = resolve_address("images", self._get_entry_address(entry))
                yield _to_file(fs.info(path), entry)
            except (OSError, ValueError):
                # It becomes a row with its error when it is read.
                yield SourceFile(entry, -1, "")


def _list_folder_files(root: str) -> Iterator[SourceFile]:
    """Lists every file below a local folder, through links to folders but never in a circle."""
    seen = set()

    def fail(error: OSError) -> None:
        expected = f"a folder that can be listed ({error.strerror})"
        raise value_error("images", expected, error.filename)

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=fail):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            path = Path(folder) / name
            relative = path.relative_to(root).as_posix()
            try:
                entry = path.stat()
                yield SourceFile(relative, entry.st_size, str(entry.st_mtime_ns))
            except OSError:  # a link to nowhere: a row with its error
                yield SourceFile(relative, -1, "")


def _list_glob_files(found: dict[str, dict[str, Any]], root: str) -> Iterable[SourceFile]:
    prefix = root.rstrip("/") + "/"
    for path, info in found.items():
        if info.get("type", "file") == "file":
            yield _to_file(info, path.removeprefix(prefix))


def _to_file(info: dict[str, Any], name: str) -> SourceFile:
    for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created"):
        if info.get(key):
            version = str(int(info[key] * 1e9) if key == "mtime" else info[key])
            break
    else:
        version = ""
    size = info.get("size")
    return SourceFile(name, -1 if size is None else int(size), version)


def _is_image(name: str) -> bool:
    return not _is_hidden(name) and posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _is_below(path: str, folder: str) -> bool:
    return bool(folder) and (path + "/").startswith(folder.rstrip("/") + "/")
