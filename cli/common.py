"""Options of the model, exit codes and messages of all subcommands."""

from __future__ import annotations

import enum
import functools
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, ParamSpec

import typer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..engine import Engine
    from ..engine.model_options import ModelOptions

P = ParamSpec("P")

PROGRAM = "infer-sam3"
PACKAGE = "infer_segment_anything_3"


class StoppedError(RuntimeError):
    """A command ended before its work was done; the message says why."""


class Exit(enum.IntEnum):
    """Exit codes of the program."""

    DONE = 0
    STOPPED = 1
    BAD_OPTION = 2
    SOME_FAILED = 3
    INTERRUPTED = 130


def run_command(command: Callable[P, Exit | None]) -> Callable[P, None]:
    """Wraps a command: what it returns or raises becomes an exit code, and errors a message.

    Args:
        command: Returns its exit code; None for :attr:`Exit.DONE`.

    Returns:
        The function that typer is given, with the same signature.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        logging.getLogger("infer_segment_anything_3").setLevel(logging.WARNING)
        try:
            code = command(*args, **kwargs) or Exit.DONE
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            code = _fail("Interrupted.", Exit.INTERRUPTED)
        except Exception as error:
            code = _explain(error)
        raise typer.Exit(int(code))

    return run


def _explain(error: Exception) -> Exit:
    """Prints an error that a user can do something about; raises any other one."""
    from ..engine.checkpoints.errors import WeightsError

    if isinstance(error, WeightsError):
        return _fail(f"weights: {error}", Exit.BAD_OPTION)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith(PACKAGE):
        text = "This command is not in Ikomia HUB's package: pip install . in a checkout brings it."
        return _fail(text, Exit.BAD_OPTION)
    if isinstance(error, ImportError):
        return _fail(f"{error}. See {PROGRAM} doctor", Exit.BAD_OPTION)
    if isinstance(error, ValueError):
        return _fail(str(error), Exit.BAD_OPTION)
    if isinstance(error, OSError | MemoryError | StoppedError):
        return _fail(f"Stopped: {error}", Exit.STOPPED)
    raise error


def _fail(message: str, code: Exit) -> Exit:
    tell(message)
    return code


def tell(message: str) -> None:
    """Prints a line for people, on standard error: standard output has results only."""
    typer.echo(message, err=True)


def print_result(text: str) -> None:
    """Prints a result, on standard output."""
    typer.echo(text)


ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        help="sam3 or sam3.1 (Meta's), tiny_shapes (bundled; knows flat colored shapes only), or "
        "owner/name[@revision][:file] of the Hugging Face Hub, modelscope:owner/name.",
        rich_help_panel="Model",
    ),
]
WeightFile = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="A local checkpoint, or 'base + adapter_folder'.",
        rich_help_panel="Model",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="cpu, cuda or cuda:N; by default the GPU where there is one.", rich_help_panel="Model"
    ),
]
PrecisionName = Annotated[
    str,
    typer.Option("--precision", help="auto, float32 or bfloat16.", rich_help_panel="Model"),
]
InputSize = Annotated[
    str,
    typer.Option(
        help="Side of the model's input: auto, or 672 or 336 (sam3), 224 or 112 (tiny_shapes). "
        "Smaller is faster and finds less.",
        rich_help_panel="Model",
    ),
]


Backend = Annotated[
    str,
    typer.Option(
        help="What the image encoder runs with: torch, or openvino (a CPU; installed apart).",
        rich_help_panel="Model",
    ),
]


def choose_model(
    model: str,
    weights: str | None,
    device: str | None,
    precision: str,
    input_size: str,
    backend: str,
) -> ModelOptions:
    """Checks the options of the model before it is loaded, see ``engine.model_options``."""
    from ..engine.model_options import choose_model, set_threads

    set_threads(model)
    return choose_model(model, weights, device, precision, input_size, backend)


def load_engine(options: ModelOptions) -> Engine:
    """Loads the model, with a line about it while it takes time."""
    from rich.console import Console

    with Console(stderr=True).status(f"Loading {options.model_name} …"):
        return options.load()


def parse_numbers(name: str, text: str, counts: Sequence[int], expected: str) -> list[float]:
    """Reads numbers with commas between, as in ``390,250``.

    Args:
        name: What errors call the option.
        text: What the user wrote.
        counts: How many there may be.
        expected: What errors say is expected.

    Returns:
        The numbers.

    Raises:
        ValueError: If one is no number, or there are more or fewer.
    """
    from ..engine.validation import value_error

    try:
        numbers = [float(part) for part in text.strip("[] ").split(",")]
    except ValueError:
        raise value_error(name, expected, text) from None
    if len(numbers) not in counts:
        raise value_error(name, expected, text)
    return numbers


def read_image(path: str) -> npt.NDArray[np.uint8]:
    """Reads an image file as (H, W, 3) uint8, RGB; a ValueError names it."""
    from pathlib import Path

    from ..engine.images import decode_image

    if not Path(path).is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        return decode_image(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
