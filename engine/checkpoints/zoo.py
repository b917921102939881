"""The pretrained models and where their weights are found.

Importing this module imports neither PyTorch nor the ``sam3`` package.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from ..model.config import SAM3, TINY_SHAPES, Architecture
from .errors import WeightFileNotFoundError

CHECKPOINT_VARIABLE = "SAM3_CHECKPOINT"
"""Environment variable with the path of a ``sam3`` checkpoint."""


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A pretrained model: its sizes and where its weights come from.

    Attributes:
        name: Value of the parameter ``model_name``.
        architecture: Its sizes.
        repo_id: Its repository on the Hugging Face Hub, if it is downloaded from there.
        filename: Name of the weights file in that repository, or of the bundled one.
        bundled_path: The weights file that comes with this package, if one does.
        license: License of the weights, in a few words.
    """

    name: str
    architecture: Architecture
    repo_id: str | None
    filename: str
    bundled_path: Path | None
    license: str


MODELS: dict[str, ModelSpec] = {
    model.name: model
    for model in (
        ModelSpec(
            name="sam3",
            architecture=SAM3,
            repo_id="facebook/sam3",
            filename="sam3.pt",
            bundled_path=None,
            license="SAM License (Meta), gated",
        ),
        ModelSpec(
            name="tiny_shapes",
            architecture=TINY_SHAPES,
            repo_id=None,
            filename="tiny_shapes.safetensors",
            bundled_path=Path(__file__).parents[1] / "weights" / "tiny_shapes.safetensors",
            license="Apache-2.0",
        ),
    )
}
"""Every pretrained model, by name."""


def get_model_spec(model_name: str) -> ModelSpec:
    """Returns the model of that name.

    Raises:
        ValueError: If there is none.
    """
    if model_name not in MODELS:
        shown = str(model_name)[:40]
        raise ValueError(f"model_name must be one of {', '.join(MODELS)}, got {shown!r}.")
    return MODELS[model_name]


def find_weights(model_name: str, weight_file: str | os.PathLike[str] | None = None) -> Path:
    """Finds the weights of a model; downloads them if they are not on this machine.

    The first found wins: ``weight_file``; for ``sam3`` the environment variable
    ``SAM3_CHECKPOINT``; the bundled file; the Hugging Face cache; a download into it.
    Only the download uses the network.

    Args:
        model_name: One of :data:`MODELS`.
        weight_file: A local file, ``~`` allowed. Empty or None: not given.

    Returns:
        The file. One in the Hugging Face cache is used where it lies.

    Raises:
        ValueError: If the model's name is unknown.
        WeightFileNotFoundError: If there is no file at a given path.
        DownloadError: If the download failed; the subclass tells the reason.
    """
    model = get_model_spec(model_name)
    if weight_file is not None and os.fspath(weight_file):
        return _check_named_file(weight_file, "model_weight_file")
    if model.name == "sam3" and (named := os.environ.get(CHECKPOINT_VARIABLE)):
        return _check_named_file(named, f"the environment variable {CHECKPOINT_VARIABLE}")
    if model.bundled_path is not None:
        return _check_named_file(model.bundled_path, "this package")
    from . import hub

    assert model.repo_id is not None, "a model is either bundled or on the Hub"
    cached = hub.find_cached_file(model.repo_id, model.filename)
    return cached or hub.download(model.repo_id, model.filename)


def _check_named_file(named: str | os.PathLike[str], source: str) -> Path:
    reason = "there is no such file"
    try:
        path = Path(named).expanduser()
        if path.is_file():
            return path
        if path.is_dir():
            reason = "it is a folder, not a file"
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

    Two files, or two versions of one file, have different identities.
    """
    resolved = path.resolve()
    status = resolved.stat()
    return str(resolved), status.st_size, status.st_mtime_ns
