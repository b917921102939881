"""The commands ``weights show``, ``weights convert`` and ``weights cache``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import Exit, print_result, run_command, tell

if TYPE_CHECKING:
    from ..engine.checkpoints.zoo import WeightFiles

app = typer.Typer(
    help="Look at weights files, and convert them.", no_args_is_help=True, rich_markup_mode="rich"
)

EXAMPLES = """
[bold]Examples[/bold]

infer-sam3 weights show model.safetensors

infer-sam3 weights show owner/name:sam3_fp16.safetensors

infer-sam3 weights convert "sam3.pt + adapter_folder" --to bfloat16 --out sam3_mine.safetensors
"""

File = Annotated[
    str,
    typer.Argument(
        help="A checkpoint, 'checkpoint + adapter_folder' of a LoRA adapter, or a repository: "
        "owner/name[@revision][:file], modelscope:owner/name."
    ),
]


@app.command("show", epilog=EXAMPLES)
@run_command
def show(file: File) -> Exit:
    """Say what a weights file is, and whether it will work."""
    _show(_find(file))
    return Exit.DONE


@app.command("convert", epilog=EXAMPLES)
@run_command
def convert(
    file: File,
    to: Annotated[str, typer.Option(help="Data type: float32, bfloat16 or float16.")] = "float32",
    out: Annotated[
        Path | None, typer.Option(help="The .safetensors file to write; by default beside it.")
    ] = None,
) -> Exit:
    """Write a weights file in Meta's layout, with an adapter merged into it."""
    from ..engine import validation
    from ..engine.checkpoints.inspection import DTYPES, convert_weights

    validation.check_choice("to", to, tuple(DTYPES))
    files = _find(file)
    model = _show(files)
    out = out or files.base.with_name(f"{files.base.stem}_{to}.safetensors")
    convert_weights(files, model, out, to)
    tell(f"Written: {out}, {out.stat().st_size / 1e9:.2f} GB")
    return Exit.DONE


@app.command("cache")
@run_command
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove them all.")] = False,
) -> Exit:
    """Show the models that were converted for OpenVINO, or remove them."""
    from ..engine.backends.converted_files import (
        MAX_BYTES,
        clear_converted,
        get_cache_folder,
        list_converted,
    )

    if clear:
        print_result(f"{clear_converted() / 1e9:.2f} GB removed from {get_cache_folder()}")
        return Exit.DONE
    for file in list_converted():
        print_result(f"{file.size_bytes / 1e9:.2f} GB  {file.path.name}  {file.description}")
    total = sum(file.size_bytes for file in list_converted())
    print_result(f"{total / 1e9:.2f} of {MAX_BYTES / 1e9:.0f} GB in {get_cache_folder()}")
    return Exit.DONE


def _find(file: str) -> WeightFiles:
    """Finds a file; what names no local one and looks like a repository is fetched from there."""
    from ..engine.checkpoints.repositories import parse_repository
    from ..engine.checkpoints.zoo import find_weight_files

    if not Path(file).expanduser().exists() and parse_repository(file) is not None:
        return find_weight_files(file)
    return find_weight_files("sam3", file)


def _show(files: WeightFiles) -> Any:
    """Prints what the files are; returns the model that they fit."""
    from ..engine.checkpoints.inspection import describe_weights, list_abilities, load_fitting
    from ..engine.wording import count_things

    found = describe_weights(files)
    size = f"{found.size_bytes / 1e9:.2f} GB in {count_things(found.file_count, 'file')}"
    print_result(f"{files}: {size}")
    print_result(f"layout: {found.layout}")
    tensors = sorted(found.tensor_counts.items(), key=lambda item: -item[1])
    print_result("tensors: " + ", ".join(f"{count} {dtype}" for dtype, count in tensors))
    name, model = load_fitting(files)
    abilities = list_abilities(model).items()
    can = ", ".join(f"{kind} {'yes' if has else 'no'}" for kind, has in abilities)
    print_result(f"works as model_name {name}: {can}")
    return model
