"""Finds weights in a repository that the user names, by the contents of its files.

Importing this module imports neither PyTorch nor the ``sam3`` package.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..validation import value_error
from .contents import Shape, read_index_names, read_local_names
from .errors import NoFittingFileError, WeightFileError
from .reader import list_shards

if TYPE_CHECKING:
    from ..model.config import Architecture

META_FILE = "sam3.pt"
"""Meta's own file name: it wins where several files of a repository fit."""

INDEX_SUFFIX = ".index.json"
REPOSITORY_FORMS = "owner/name[@revision][:file] of the Hugging Face Hub, or modelscope:owner/name"

_NAME = re.compile(
    r"(?:(?P<host>modelscope):)?(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)"
    r"(?:@(?P<revision>[\w][\w./-]*))?(?::(?P<file>[\w(][\w ./()+-]*))?",
    re.ASCII,
)
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".safetensors" + INDEX_SUFFIX)
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.\w+$")
_MOST_LISTED = 20


@dataclasses.dataclass(frozen=True)
class RepositoryName:
    """Names a repository of weights, as in ``owner/name@revision:file``.

    Attributes:
        host: ``huggingface`` or ``modelscope``.
        repo_id: ``owner/name``.
        revision: Branch, tag or commit; None for the newest.
        filename: The file in it; None for the one that fits.
    """

    host: str
    repo_id: str
    revision: str | None = None
    filename: str | None = None

    def __str__(self) -> str:
        """Returns the repository and its revision, without the file."""
        host = "modelscope:" if self.host == "modelscope" else ""
        return f"{host}{self.repo_id}" + (f"@{self.revision}" if self.revision else "")


def parse_repository(text: str) -> RepositoryName | None:
    """Parses the name of a repository; None if the text is none."""
    match = _NAME.fullmatch(text)
    if match is None or len(text) > 300 or any(part == ".." for part in re.split("[/:@]", text)):
        return None
    if match["repo"].endswith(_SUFFIXES):  # a relative path, with a folder in front
        return None
    return RepositoryName(
        match["host"] or "huggingface", match["repo"], match["revision"], match["file"]
    )


def check_model_name(name: str, text: str, models: Mapping[str, object]) -> str:
    """Returns the name of a model, if it is a known one or a repository's.

    Args:
        name: What the error calls the value.
        text: The model's name; known ones in any case.
        models: The known models.

    Raises:
        ValueError: If it is neither.
    """
    text = text.strip()
    if text.lower() in models:
        return text.lower()
    if parse_repository(text) is None:
        raise value_error(name, f"{', '.join(models)}, or {REPOSITORY_FORMS}", text)
    return text


class RepositoryHost(Protocol):
    """A place that holds repositories."""

    def list_files(self, name: RepositoryName) -> list[str]:
        """Lists the paths of all files of a repository. Uses the network."""

    def find_cached(self, name: RepositoryName, filename: str) -> Path | None:
        """Finds a file in the host's cache on this machine, without the network."""

    def list_cached(self, name: RepositoryName) -> list[Path]:
        """Lists the cached files of a repository, without the network."""

    def read_names(self, name: RepositoryName, filename: str) -> dict[str, Shape] | None:
        """Reads the names of a file's tensors without a download; None if that cannot be."""

    def download(self, name: RepositoryName, filename: str) -> Path:
        """Downloads a file into the cache and checks its hash."""


def find_repository_file(name: RepositoryName, architecture: Architecture) -> Path:
    """Finds the weights in a repository: in the cache, else by a download.

    Args:
        name: The repository. Without a file in it, the one whose content fits is taken.
        architecture: The sizes that it is to fit.

    Returns:
        The file in the cache; of a sharded checkpoint the index, with all shards beside it.

    Raises:
        NoFittingFileError: If none fits, or several do; the message lists the files.
        DownloadError: If the repository cannot be had; the subclass tells the reason.
    """
    host = _get_host(name)
    filename = name.filename
    if filename is not None:
        cached = host.find_cached(name, filename)
        if cached is not None and _is_complete(cached):
            return cached
    else:
        if found := _find_fitting_cached(name, host, architecture):
            return found
        filename = _find_fitting_file(name, host, architecture)
    path = host.download(name, filename)
    if filename.endswith(INDEX_SUFFIX):
        folder = filename.rpartition("/")[0]
        for shard in sorted(set(read_index_shards(path))):
            host.download(name, f"{folder}/{shard}" if folder else shard)
    return path


def describe_repository(name: RepositoryName, architecture: Architecture) -> str:
    """Says in one line which file of a repository will be used, without a download of it."""
    host = _get_host(name)
    if name.filename is not None:
        cached = host.find_cached(name, name.filename)
        place = f"{cached}, in the cache" if cached else "downloaded at the first run"
        return f"{name.filename}: {place}"
    if found := _find_fitting_cached(name, host, architecture):
        return f"{found}, in the cache"
    return f"{_find_fitting_file(name, host, architecture)}: downloaded at the first run"


def read_index_shards(path: Path) -> list[str]:
    """Returns the file names in the index of a sharded checkpoint, as they stand there."""
    import json

    try:
        return [str(value) for value in json.loads(path.read_bytes())["weight_map"].values()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightFileError(f"{path} is not the index of a sharded checkpoint.") from error


def _find_fitting_cached(
    name: RepositoryName, host: RepositoryHost, architecture: Architecture
) -> Path | None:
    """Returns the cached file of a repository that fits; None if none does, or several do."""
    fitting = [path for path in host.list_cached(name) if _fits_local(path, architecture)]
    chosen = _choose({str(path): path.name for path in fitting})
    return Path(chosen) if chosen else None


def _find_fitting_file(
    name: RepositoryName, host: RepositoryHost, architecture: Architecture
) -> str:
    """Returns the file of a repository that fits, by the names of its tensors."""
    files = host.list_files(name)
    candidates = [f for f in files if f.endswith(_SUFFIXES) and not _SHARD.search(f)]
    contents = {file: host.read_names(name, file) for file in candidates}
    if any(names is None for names in contents.values()):
        fitting = candidates
    else:
        fitting = [f for f, names in contents.items() if fits(names or {}, architecture)]
    chosen = _choose({file: file.rpartition("/")[2] for file in fitting})
    if chosen is not None:
        return chosen
    if not fitting:
        raise NoFittingFileError(
            f"{name} holds no SAM 3 weights that fit. Its files: {_list(files)}."
        )
    raise NoFittingFileError(
        f"{name} holds several files that may fit: {_list(fitting)}. Name one: {name}:{fitting[0]}"
    )


def fits(names: Mapping[str, Shape], architecture: Architecture) -> bool:
    """Tells whether tensors of these names are weights of the architecture, or of a part of it."""
    from .layouts import find_parts

    try:
        return any(find_parts(names, architecture.vit_width).values())
    except WeightFileError:
        return False


def _fits_local(path: Path, architecture: Architecture) -> bool:
    if not path.name.endswith(_SUFFIXES) or _SHARD.search(path.name) or not _is_complete(path):
        return False
    if path.name.endswith(INDEX_SUFFIX) and not read_index_names(path.read_bytes()):
        return False
    return fits(read_local_names(path), architecture)


def _is_complete(path: Path) -> bool:
    try:
        list_shards(path)
    except WeightFileError:
        return False
    return True


def _choose(names: Mapping[str, str]) -> str | None:
    """Chooses the only file, or the one of Meta's name, by the names of the files."""
    if len(names) == 1:
        return next(iter(names))
    of_meta = [file for file, short in names.items() if short == META_FILE]
    return of_meta[0] if len(of_meta) == 1 else None


def _list(files: list[str]) -> str:
    more = f", and {len(files) - _MOST_LISTED} more" if len(files) > _MOST_LISTED else ""
    return (", ".join(files[:_MOST_LISTED]) or "none") + more


def _get_host(name: RepositoryName) -> RepositoryHost:
    if name.host == "modelscope":
        from .model_scope import ModelScopeHost

        return ModelScopeHost()
    from .hub import HubHost

    return HubHost()
