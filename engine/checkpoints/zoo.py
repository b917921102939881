"""Which pretrained models exist, where their weights lie, and how they are loaded.

Importing this module costs nothing: PyTorch and the ``sam3`` package are imported by the
functions that need them.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..model.config import SAM3, TINY_SHAPES, Architecture
from .errors import WeightFileNotFoundError
from .reader import read_state

if TYPE_CHECKING:
    import torch

    from ..model.sam3_imports import Sam3Image

logger = logging.getLogger("infer_segment_anything_3")

CHECKPOINT_VARIABLE = "SAM3_CHECKPOINT"
"""Environment variable with the path of a ``sam3`` checkpoint."""


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A model whose weights can be had.

    Attributes:
        name: Value of the parameter ``model_name``.
        architecture: Its sizes.
        repo_id: Its repository on the Hugging Face Hub, if it is fetched from there.
        filename: Name of the weights file in that repository, or of the bundled one.
        bundled_path: The weights file that comes with this package, if one does.
        licence: Whose terms the weights are under, in a few words.
    """

    name: str
    architecture: Architecture
    repo_id: str | None
    filename: str
    bundled_path: Path | None
    licence: str


MODELS: dict[str, Pretrained] = {
    model.name: model
    for model in (
        Pretrained(
            name="sam3",
            architecture=SAM3,
            repo_id="facebook/sam3",
            filename="sam3.pt",
            bundled_path=None,
            licence="SAM License (Meta), gated",
        ),
        Pretrained(
            name="tiny_shapes",
            architecture=TINY_SHAPES,
            repo_id=None,
            filename="tiny_shapes.safetensors",
            bundled_path=Path(__file__).parents[1] / "weights" / "tiny_shapes.safetensors",
            licence="Apache-2.0",
        ),
    )
}
"""Every pretrained model, by name."""


def pretrained(model_name: str) -> Pretrained:
    """The model of that name.

    Raises:
        ValueError: If there is none.
    """
    if model_name not in MODELS:
        shown = str(model_name)[:40]
        raise ValueError(f"model_name must be one of {', '.join(MODELS)}, got {shown!r}.")
    return MODELS[model_name]


def find_weights(model_name: str, weight_file: str | os.PathLike[str] | None = None) -> Path:
    """Finds the weights of a model, and fetches them if they are nowhere on this machine.

    The first found wins: ``weight_file``; for ``sam3`` the environment variable
    ``SAM3_CHECKPOINT``; the bundled file; the Hugging Face cache; a download into it.
    Nothing but the download touches the network.

    Args:
        model_name: One of :data:`MODELS`.
        weight_file: A local file, ``~`` allowed. Empty or None means none was given.

    Returns:
        The file. One in the Hugging Face cache is used where it lies.

    Raises:
        ValueError: If the model's name is unknown.
        WeightFileNotFoundError: If a place that was named holds no file.
        DownloadError: If the download failed; the subclass says why.
    """
    model = pretrained(model_name)
    if weight_file is not None and os.fspath(weight_file):
        return _named_file(weight_file, "model_weight_file")
    if model.name == "sam3" and (named := os.environ.get(CHECKPOINT_VARIABLE)):
        return _named_file(named, f"the environment variable {CHECKPOINT_VARIABLE}")
    if model.bundled_path is not None:
        return _named_file(model.bundled_path, "this package, which should bring the weights,")
    from . import hub

    assert model.repo_id is not None, "a model is either bundled or on the Hub"
    cached = hub.cached_file(model.repo_id, model.filename)
    return cached or hub.download(model.repo_id, model.filename)


def _named_file(named: str | os.PathLike[str], who: str) -> Path:
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
        f"No weights at {shown}, named by {who}: {reason}. Give the path of a .pt or "
        ".safetensors file with SAM 3 weights, or leave it empty to use the Hugging Face cache."
    )


def weights_identity(path: Path) -> tuple[str, int, int]:
    """What tells one weights file from another: resolved path, bytes, change time in ns."""
    resolved = path.resolve()
    status = resolved.stat()
    return str(resolved), status.st_size, status.st_mtime_ns


def bpe_vocabulary() -> str:
    """Path of CLIP's BPE vocabulary, which ``open_clip_torch`` ships and ``sam3`` does not.

    Raises:
        ImportError: If ``open_clip_torch`` is not installed.
    """
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise ImportError("SAM 3 needs the vocabulary of open_clip_torch: pip install it.")
    return str(Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz")


def load_model(model_name: str, path: Path, device: torch.device | str) -> Sam3Image:
    """Builds a model and gives it the weights of a file.

    The file is mapped and its tensors become the model's parameters as they are, so the
    model costs no more memory than the file. Do not write into a file that is in use:
    replace it by renaming another one onto it.

    Args:
        model_name: One of :data:`MODELS`.
        path: A checkpoint in Meta's layout (``detector.*``, ``tracker.*``) or a fine-tuned
            one: wrapped in ``{"model": …}``, with a ``module.`` prefix, without
            ``detector.``. Half precision is widened to float32.
        device: Where the model is to run.

    Returns:
        The model in eval mode, its parameters frozen. A file without the interactive part
        gives a model without it, see :func:`supports_objects`.

    Raises:
        WeightFileError: If the file cannot be used; the subclass says why.
    """
    import torch

    from ..model.build import build_model_without_weights
    from .loader import assign_weights, page_in

    device = torch.device(device)
    state = read_state(path)
    model = build_model_without_weights(pretrained(model_name).architecture, bpe_vocabulary())
    assign_weights(model, state, path)
    if device.type == "cpu":
        page_in(model.state_dict().values())
    return model.requires_grad_(False).eval().to(device)


def supports_objects(model: Sam3Image) -> bool:
    """Whether the model has the interactive part that points and boxes need."""
    return model.inst_interactive_predictor is not None
