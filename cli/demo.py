"""The commands ``demo``, ``demo-video`` (in a real Ikomia workflow) and ``demo-agent``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import Exit, StoppedError, print_result, run_command, tell

ModelChoice = Annotated[str, typer.Option("--model", help="sam3, tiny_shapes or owner/name.")]


@run_command
def demo(
    image: Annotated[
        str, typer.Option(help="An image file; by default a drawn scene that comes with it.")
    ] = "",
    text: Annotated[str, typer.Option(help="What to look for: 'person, red car'.")] = "",
    model: ModelChoice = "tiny_shapes",
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("output/demo.png"),
) -> Exit:
    """Segment a picture by text, clicks, examples and boxes, in a real Ikomia workflow."""
    _check_model(model)
    from ..examples.demo import run_demo

    if image and model == "tiny_shapes":
        tell(
            "The bundled model tiny_shapes knows flat colored shapes only (circle, square, "
            "triangle, star). For photographs: --model sam3, which needs Meta's weights."
        )
    print_result(str(run_demo(image, text, model, out)))
    return Exit.DONE


@run_command
def demo_video(
    video: Annotated[str, typer.Option(help="A video file; by default a drawn clip.")] = "",
    text: Annotated[str, typer.Option(help="What to follow: 'person, dog'.")] = "",
    model: ModelChoice = "tiny_shapes",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("output"),
) -> Exit:
    """Follow objects through a video, in a real Ikomia workflow."""
    _check_model(model)
    from ..examples.demo_video import run_demo

    for path in run_demo(video, text, model, out):
        print_result(str(path))
    return Exit.DONE


@run_command
def demo_agent(
    image: Annotated[str, typer.Option(help="An image file; by default a drawn scene.")] = "",
    describe: Annotated[
        str, typer.Option(help="What to find: 'the second red circle from the right'.")
    ] = "",
    agent_model: Annotated[
        str, typer.Option(help="Name of the language model, if SAM3_AGENT_URL is set.")
    ] = "",
    model: ModelChoice = "tiny_shapes",
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("output/agent.png"),
) -> Exit:
    """Find what a description means, with a language model or rules in its place."""
    _check_model(model)
    from ..agent import EndpointError
    from ..examples.demo_agent import run_demo

    try:
        print_result(str(run_demo(image, describe, agent_model, model, out)))
    except EndpointError as error:
        raise StoppedError(str(error)) from error
    return Exit.DONE


def _check_model(model: str) -> None:
    from ..engine.checkpoints.repositories import check_model_name
    from ..engine.checkpoints.zoo import MODELS
    from ..engine.model_options import set_threads

    set_threads(check_model_name("model", model, MODELS))
