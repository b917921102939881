"""The command ``score``: a model on a COCO data set."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import (
    Backend,
    Device,
    InputSize,
    ModelName,
    PrecisionName,
    WeightFile,
    choose_model,
    print_result,
    run_command,
    tell,
)
from .progress import Progress

EXAMPLES = """
[bold]Example[/bold]

infer-sam3 score annotations.json photos --out scores
"""


@run_command
def score(
    coco: Annotated[str, typer.Argument(help="A COCO file with the true annotations.")],
    images: Annotated[str, typer.Argument(help="The folder of its images.")],
    out: Annotated[str, typer.Option(help="Folder for scores.json and the pictures.")],
    prompts: Annotated[
        str, typer.Option(help="What the model is asked: text, boxes or click.")
    ] = "text",
    limit: Annotated[int, typer.Option(help="First images only; 0 for all.")] = 0,
    clicked_objects: Annotated[int, typer.Option(help="Objects for the clicks; 0 for none.")] = 200,
    model: ModelName = "sam3",
    weights: WeightFile = None,
    device: Device = None,
    precision: PrecisionName = "auto",
    input_size: InputSize = "auto",
    backend: Backend = "torch",
) -> None:
    """Score a model on a COCO data set: AP, cgF1 and clicks."""
    options = choose_model(model, weights, device, precision, input_size, backend)
    from ..labeling.scoring.run import score_data_set

    with Progress("Scoring", "image") as progress:
        table = score_data_set(
            coco, images, out, options, prompts, limit, clicked_objects, progress.update
        )
    print_result(table.rstrip())
    tell(f"Written: {out}")
