"""The command ``doctor``: what is installed, which weights are found, what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import Exit, run_command

if TYPE_CHECKING:
    from rich.table import Table

REQUIRED = ("torch", "torchvision", "sam3", "huggingface_hub", "safetensors", "numpy", "scipy")
REQUIRED_MODULES = {"opencv-python-headless": "cv2", "open_clip_torch": "open_clip"}

EXTRA = "pip install 'infer_segment_anything_3[{0}]', or -r requirements-{0}.txt"
EXTRAS = {
    "ikomia": (("ikomia",), "the Ikomia plugin", "pip install ikomia"),
    "serve": (("fastapi", "uvicorn", "httpx", "pydantic", "defusedxml"), "the server", EXTRA),
    "agent": (("httpx",), "descriptions by a language model", EXTRA),
    "labeling": (("fsspec", "pyarrow", "matplotlib"), "label, export and score", EXTRA),
    "mcp": (("mcp",), "tools for an agent", EXTRA),
    "openvino": (("openvino",), "the backend openvino, on a CPU", EXTRA),
    "ray": (("ray",), "labeling on several machines", EXTRA),
}
"""Optional parts: the modules that each needs, what it is for, and how it is installed."""

GOOD, BAD, NEUTRAL = "[green]✓[/green]", "[red]✗[/red]", "[dim]–[/dim]"


@run_command
def doctor(
    model: Annotated[
        str | None,
        typer.Argument(help="A weights file, or a repository such as owner/name, to look at, too."),
    ] = None,
) -> Exit:
    """Show what is installed, which weights are found and how, and what is missing."""
    from rich import box
    from rich.table import Table

    from ..version import VERSION
    from .tables import make_console

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    advice: list[str] = []
    missing = _add_packages(table, advice)
    if not missing:
        _add_device(table)
        _add_weights(table, advice, model)
    _add_extras(table, advice)
    console = make_console()
    console.print(
        f"[bold]infer_segment_anything_3 {VERSION}[/bold], Python {platform.python_version()} "
        f"on {platform.system()} {platform.machine()}"
    )
    console.print(table)
    for line in advice:
        console.print(f"• {line}", markup=False)
    if not advice:
        console.print("Nothing is missing.")
    return Exit.STOPPED if missing else Exit.DONE


def _add_packages(table: Table, advice: list[str]) -> list[str]:
    missing = []
    versions = []
    for name in (*REQUIRED, *REQUIRED_MODULES):
        if importlib.util.find_spec(REQUIRED_MODULES.get(name, name)) is None:
            missing.append(name)
        else:
            versions.append(f"{name} {_find_version(name)}")
    table.add_row(BAD if missing else GOOD, "packages", ", ".join(versions) or "none")
    if missing:
        advice.append(
            f"Missing: {', '.join(missing)}. Run: {sys.executable} -m pip install -r "
            "requirements.txt"
        )
    return missing


def _find_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def _add_device(table: Table) -> None:
    import torch

    from ..engine.model.precision import resolve_precision

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = resolve_precision("auto", device)
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(0)
        memory = f"{gpu.total_memory / 1e9:.0f} GB"
        table.add_row(GOOD, "GPU", f"{gpu.name}, {memory}, precision auto is {precision}")
        return
    threads = f"{torch.get_num_threads()} threads"
    table.add_row(
        NEUTRAL, "GPU", f"none that PyTorch can use: the CPU runs it ({threads}, {precision})"
    )


def _add_weights(table: Table, advice: list[str], model: str | None) -> None:
    for mark, name, text in _find_weights(advice):
        table.add_row(mark, name, text)
    if model:
        mark, text = _look_at(model)
        table.add_row(mark, model, text)


def _look_at(model: str) -> tuple[str, str]:
    """Says what a file or a repository holds; no file is downloaded for it."""
    from ..engine.checkpoints.errors import WeightsError
    from ..engine.checkpoints.repositories import describe_repository, parse_repository
    from ..engine.checkpoints.zoo import MODELS, find_weights

    repository = parse_repository(model)
    try:
        if repository is None or Path(model).expanduser().exists():
            path = find_weights("sam3", model)
            return GOOD, f"{path}: {_describe_abilities(path)}"
        return GOOD, describe_repository(repository, MODELS["sam3"].architecture)
    except (WeightsError, ImportError) as error:
        return BAD, str(error)


def _describe_abilities(path: Path) -> str:
    """Says what a local file is and what will work with it; a WeightsError why nothing will."""
    from ..engine.checkpoints.inspection import describe_weights
    from ..engine.checkpoints.zoo import WeightFiles

    found = describe_weights(WeightFiles(path))
    works = [kind for kind, has in found.abilities.items() if has]
    return f"{found.layout}; " + (", ".join(works) or "nothing works with it")


def _find_weights(advice: list[str]) -> Iterator[tuple[str, str, str]]:
    from ..engine.checkpoints.zoo import find_weights

    yield GOOD, "tiny_shapes", f"bundled: {find_weights('tiny_shapes')}"
    for name in ("sam3", "sam3.1"):
        yield from _find_gated_weights(name, advice)


def _find_gated_weights(name: str, advice: list[str]) -> Iterator[tuple[str, str, str]]:
    from ..engine.checkpoints import hub
    from ..engine.checkpoints.errors import WeightsError
    from ..engine.checkpoints.zoo import CHECKPOINT_VARIABLE, MODELS, find_weights

    spec = MODELS[name]
    assert spec.repo_id is not None
    if os.environ.get(CHECKPOINT_VARIABLE):
        shown = ""
        try:
            found = find_weights(name)
            shown = f"{found}, by the environment variable {CHECKPOINT_VARIABLE}: "
            yield GOOD, name, shown + _describe_abilities(found)
        except WeightsError as error:
            yield BAD, name, shown + str(error)
            _advise(advice, f"Correct or unset {CHECKPOINT_VARIABLE}.")
        return
    for filename in (spec.filename, *spec.other_filenames):
        cached = hub.find_cached_file(spec.repo_id, filename)
        if cached is not None:
            try:
                what = _describe_abilities(cached)
                yield GOOD, name, f"{cached}, in the Hugging Face cache: {what}"
            except WeightsError as error:
                yield BAD, name, str(error)
            return
    from huggingface_hub import get_token

    yield NEUTRAL, name, f"not on this machine; downloaded from {spec.repo_id} at the first run"
    if get_token() is None:
        _advise(
            advice,
            "Meta's weights are gated: ask for access on https://huggingface.co/facebook/sam3 or "
            "https://huggingface.co/facebook/sam3.1, then run `hf auth login` or set HF_TOKEN. A "
            f"file that you have needs neither: name it in {CHECKPOINT_VARIABLE}; a copy in a "
            "repository is model_name owner/name.",
        )


def _advise(advice: list[str], text: str) -> None:
    if text not in advice:
        advice.append(text)


def _add_extras(table: Table, advice: list[str]) -> None:
    for name, (modules, purpose, how) in EXTRAS.items():
        missing = [m for m in modules if importlib.util.find_spec(m) is None]
        if missing:
            table.add_row(NEUTRAL, name, f"{purpose}: needs {', '.join(missing)}")
            advice.append(f"For {purpose}: {how.format(name)}")
        else:
            table.add_row(GOOD, name, purpose)
