"""Lists the pretrained models and finds their weights.

Importing this module imports neither PyTorch nor the ``sam3`` package.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from ..model.config import SAM3, TINY_SHAPES, Architecture
from .errors import WeightFileNotFoundError
from .reader import INDEX_FILE, list_shards
from .repositories import REPOSITORY_FORMS, find_repository_file, parse_repository

_FILES_IN_FOLDER = (INDEX_FILE, "model.safetensors", "sam3.pt", "sam3.1_multiplex.pt")
_WITH_ADAPTER = re.compile(r"(?:(.*\S)\s+)?\+\s+(.+)")

CHECKPOINT_VARIABLE = "SAM3_CHECKPOINT"
"""Environment variable with the path of a checkpoint of ``sam3`` or ``sam3.1``."""


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A pretrained model: its sizes and where its weights come from.

    Attributes:
        name: Value of the parameter ``model_name``.
        architecture: Its sizes.
        input_sizes: Sides of the model's input that it can run at, in pixels; the first is its
            own. Each is a whole number of attention windows, but for the first of
            ``tiny_shapes``: a size between would pay for the padding of the last window.
        repo_id: Its repository on the Hugging Face Hub, if it is downloaded from there.
        filename: Name of the weights file in that repository, or of the bundled one.
        other_filenames: Files of the repository that hold the same weights in another layout.
            They are used if they are in the Hugging Face cache, and never downloaded.
        bundled_path: The weights file that comes with this package, if one does.
        license: License of the weights, in a few words.
        vocabulary: The only words that it knows; empty if it knows any.
        has_multiplex: Whether its file has the tracker of SAM 3.1; what a file has is seen by its
            keys.
    """

    name: str
    architecture: Architecture
    input_sizes: tuple[int, ...]
    repo_id: str | None
    filename: str
    other_filenames: tuple[str, ...]
    bundled_path: Path | None
    license: str
    vocabulary: tuple[str, ...] = ()
    has_multiplex: bool = False


MODELS: dict[str, ModelSpec] = {
    model.name: model
    for model in (
        ModelSpec(
            name="sam3",
            architecture=SAM3,
            input_sizes=(1008, 672, 336),
            repo_id="facebook/sam3",
            filename="sam3.pt",
            other_filenames=("model.safetensors", INDEX_FILE),
            bundled_path=None,
            license="SAM License (Meta), gated",
        ),
        ModelSpec(
            name="sam3.1",
            architecture=SAM3,
            input_sizes=(1008, 672, 336),
            repo_id="facebook/sam3.1",
            filename="sam3.1_multiplex.pt",
            other_filenames=(),
            bundled_path=None,
            license="SAM License (Meta), gated",
            has_multiplex=True,
        ),
        ModelSpec(
            name="tiny_shapes",
            architecture=TINY_SHAPES,
            input_sizes=(280, 224, 112),
            repo_id=None,
            filename="tiny_shapes.safetensors",
            other_filenames=(),
            bundled_path=Path(__file__).parents[1] / "weights" / "tiny_shapes.safetensors",
            license="Apache-2.0",
            vocabulary=(
                *("red", "green", "blue", "yellow", "purple", "white", "orange", "black"),
                *("circle", "square", "triangle", "star", "shape"),
            ),
        ),
    )
}
"""Every pretrained model, by name."""


def get_model_spec(model_name: str) -> ModelSpec:
    """Returns the model of that name.

    The name of a repository is one of ``sam3`` whose weights come from there.

    Raises:
        ValueError: If there is none.
    """
    if model_name in MODELS:
        return MODELS[model_name]
    if parse_repository(str(model_name)) is None:
        raise ValueError(
            f"model_name must be one of {', '.join(MODELS)}, or {REPOSITORY_FORMS}, "
            f"got {str(model_name)[:40]!r}."
        )
    return dataclasses.replace(MODELS["sam3"], name=model_name)


def find_weights(model_name: str, weight_file: str | os.PathLike[str] | None = None) -> Path:
    """Finds the weights of a model; downloads them if they are not on this machine.

    The first found wins: ``weight_file``; for ``sam3`` and ``sam3.1`` the environment variable
    ``SAM3_CHECKPOINT``; the bundled file; the cache of the Hugging Face Hub (of ModelScope,
    where the name says so); a download into it.
    Only the download uses the network.

    Args:
        model_name: One of :data:`MODELS`, or the name of a repository.
        weight_file: A local file, the index of a sharded one or the folder that holds it;
            ``~`` allowed. Empty or None: not given.

    Returns:
        The file. One in the Hugging Face cache is used where it lies.

    Raises:
        ValueError: If the model's name is unknown.
        WeightFileNotFoundError: If there is no file at a given path.
        NoFittingFileError: If a repository holds no file that fits, or several.
        DownloadError: If the download failed; the subclass tells the reason.
    """
    model = get_model_spec(model_name)
    if weight_file is not None and os.fspath(weight_file):
        return _check_named_file(weight_file, "model_weight_file")
    if model.repo_id is not None and (named := os.environ.get(CHECKPOINT_VARIABLE)):
        return _check_named_file(named, f"the environment variable {CHECKPOINT_VARIABLE}")
    if repository := parse_repository(model.name):
        return find_repository_file(repository, model.architecture)
    if model.bundled_path is not None:
        return _check_named_file(model.bundled_path, "this package")
    from . import hub

    assert model.repo_id is not None, "a model is either bundled or on the Hub"
    for filename in (model.filename, *model.other_filenames):
        cached = hub.find_cached_file(model.repo_id, filename)
        if cached is not None:
            return cached
    return hub.download(model.repo_id, model.filename)


def resolve_input_size(model_name: str, input_size: int | str = "auto") -> int:
    """Returns the side of the model's input in pixels.

    Args:
        model_name: One of :data:`MODELS`, or the name of a repository.
        input_size: One of its ``input_sizes``, or ``auto`` for its own.

    Raises:
        ValueError: If the model's name is unknown, or it cannot run at that size.
    """
    sizes = get_model_spec(model_name).input_sizes
    if input_size == "auto":
        return sizes[0]
    if isinstance(input_size, bool) or input_size not in sizes:
        allowed = ", ".join(str(size) for size in sizes)
        raise ValueError(
            f"input_size: expected auto, {allowed} with model_name {model_name}, "
            f"got {str(input_size)[:40]!r}"
        )
    return int(input_size)


@dataclasses.dataclass(frozen=True)
class WeightFiles:
    """The files that a model is loaded from.

    Attributes:
        base: The checkpoint, or the index of a sharded one.
        adapter: The folder of a LoRA adapter to merge into it, if one was given.
    """

    base: Path
    adapter: Path | None = None

    def __str__(self) -> str:
        """Returns what was asked for, as in ``model_weight_file``."""
        return str(self.base) if self.adapter is None else f"{self.base} + {self.adapter}"

    @property
    def paths(self) -> list[Path]:
        """Lists all files, the shards of a sharded checkpoint included."""
        return [self.base, *list_shards(self.base), *self._list_adapter_files()]

    def resolve(self) -> WeightFiles:
        """Returns the same files by paths that do not depend on the current folder."""
        return WeightFiles(self.base.resolve(), self.adapter and self.adapter.resolve())

    @property
    def identity(self) -> tuple[tuple[str, int, int], ...]:
        """The identity of every file, see :func:`get_file_identity`."""
        return tuple(get_file_identity(file) for file in (self.base, *self._list_adapter_files()))

    def _list_adapter_files(self) -> list[Path]:
        if self.adapter is None:
            return []
        return sorted(file for file in self.adapter.iterdir() if file.is_file())


def find_weight_files(
    model_name: str, weight_file: str | os.PathLike[str] | None = None
) -> WeightFiles:
    """Finds the weights of a model, and the adapter that is to be merged into them.

    Args:
        model_name: One of :data:`MODELS`, or the name of a repository.
        weight_file: As in :func:`find_weights`; or ``base.pt + adapter_folder``, where the
            base may be left out.

    Returns:
        The files.

    Raises:
        ValueError: If the model's name is unknown.
        WeightFileNotFoundError: If there is nothing at a given path.
        DownloadError: If the download failed; the subclass tells the reason.
    """
    split = _WITH_ADAPTER.fullmatch(os.fspath(weight_file or "").strip())
    if split is None:
        return WeightFiles(find_weights(model_name, weight_file))
    base, named = split.groups()
    adapter = Path(named).expanduser()
    if not adapter.is_dir():
        raise WeightFileNotFoundError(
            f"No adapter at {named[:200]!r}, given by model_weight_file: after ' + ' a folder "
            "with adapter_config.json and adapter_model.safetensors is expected."
        )
    return WeightFiles(find_weights(model_name, base), adapter)


def _check_named_file(named: str | os.PathLike[str], source: str) -> Path:
    reason = "there is no such file"
    try:
        path = Path(named).expanduser()
        if path.is_file():
            return path
        if path.is_dir():
            inside = [path / name for name in _FILES_IN_FOLDER if (path / name).is_file()]
            if inside:
                return inside[0]
            reason = f"the folder holds none of {', '.join(_FILES_IN_FOLDER)}"
    except (OSError, ValueError, RuntimeError):  # too long, a NUL byte, an unknown ~user
        reason = "it is not a usable path"
    shown = str(named)
    shown = repr(shown if len(shown) <= 200 else shown[:200] + "…")
    raise WeightFileNotFoundError(
        f"No weights at {shown}, given by {source}: {reason}. Give the path of a .pt or "
        ".safetensors file with SAM 3 weights, or leave it empty to use the Hugging Face cache."
    )


def get_file_identity(path: Path) -> tuple[str, int, int]:
    """Returns resolved path, size in bytes and modification time in ns of a weights file.

    Of a sharded one, the sum of the sizes and the latest time. Two files, or two versions of
    one file, have different identities.
    """
    files = [file.stat() for file in (path, *list_shards(path))]
    return (
        str(path.resolve()),
        sum(file.st_size for file in files),
        max(file.st_mtime_ns for file in files),
    )
