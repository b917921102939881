"""The command ``label``: from a folder of images to a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .common import (
    Backend,
    Device,
    Exit,
    InputSize,
    ModelName,
    PrecisionName,
    StoppedError,
    WeightFile,
    choose_model,
    run_command,
    tell,
)
from .description import (
    DEFAULT_REQUESTS,
    AgentModel,
    Describe,
    DescriptionSegmenter,
    MaxRequests,
    make_endpoint,
)
from .progress import Progress

if TYPE_CHECKING:
    from ..engine import Engine
    from ..labeling.run import JobObserver

EXAMPLES = """
[bold]Examples[/bold]

infer-sam3 label photos --text "person, red car:0.4" --out labels

infer-sam3 label photos --reference shelf.jpg --boxes "[[120, 80, 420, 360]]" --out labels

SAM3_AGENT_URL=http://127.0.0.1:8000/v1 infer-sam3 label photos --out labels \\
  --describe "the leftmost person without a helmet" --agent-model qwen2.5-vl

infer-sam3 label photos --text person --out labels --formats "yolo labelstudio" --val 0.2
"""

CONTINUES = "What is finished is kept: the same command continues from there."

PROMPT, RESULTS, JOB, RAY = "What to look for", "Results", "The job", "Several machines"

Formats = Annotated[
    str,
    typer.Option(help='Formats besides COCO: "yolo labelstudio png".', rich_help_panel=RESULTS),
]
ValShare = Annotated[
    float, typer.Option("--val", help="Share of the val split, 0 to 1.", rich_help_panel=RESULTS)
]


@run_command
def label(
    images: Annotated[
        str, typer.Argument(help="A folder, a glob, a .txt list, or an address of fsspec.")
    ],
    out: Annotated[str, typer.Option(help="Folder or address for the results.")],
    text: Annotated[
        str, typer.Option(help='Concepts: "person, red car:0.4".', rich_help_panel=PROMPT)
    ] = "",
    describe: Describe = "",
    agent_model: AgentModel = "",
    max_requests: MaxRequests = DEFAULT_REQUESTS,
    everything: Annotated[
        bool,
        typer.Option("--everything", help="All there is, without a class.", rich_help_panel=PROMPT),
    ] = False,
    boxes: Annotated[
        str,
        typer.Option(
            help="A COCO file whose boxes are the prompts; with --reference boxes in that picture.",
            rich_help_panel=PROMPT,
        ),
    ] = "",
    reference: Annotated[
        str,
        typer.Option(
            help="A picture: find what looks like its --boxes '[[x1, y1, x2, y2], ...]' in all "
            "images, alone or with --text.",
            rich_help_panel=PROMPT,
        ),
    ] = "",
    boxes_as: Annotated[
        str,
        typer.Option(
            help="objects: a mask for each box. exemplars: everything like the boxes of a "
            "category.",
            rich_help_panel=PROMPT,
        ),
    ] = "objects",
    exemplars: Annotated[
        str,
        typer.Option(
            help="Boxes '[[x1, y1, x2, y2], ...]' at the same place in every image (a fixed "
            "camera).",
            rich_help_panel=PROMPT,
        ),
    ] = "",
    exemplar_labels: Annotated[
        str,
        typer.Option(
            help="'[1, 0, ...]' for --exemplars or the boxes of a reference: 1 \"like this\", 0 "
            '"not".',
            rich_help_panel=PROMPT,
        ),
    ] = "",
    threshold: Annotated[
        float, typer.Option(help="Lowest score of a concept.", rich_help_panel=PROMPT)
    ] = 0.5,
    tiles: Annotated[
        str, typer.Option(help="off, auto or N for N x N tiles.", rich_help_panel=PROMPT)
    ] = "off",
    min_area: Annotated[
        int, typer.Option(help="Smallest mask, in pixels.", rich_help_panel=PROMPT)
    ] = 0,
    overlap: Annotated[
        str, typer.Option(help="keep, or best of overlapping instances.", rich_help_panel=PROMPT)
    ] = "keep",
    masks: Annotated[
        bool,
        typer.Option(
            " /--no-masks",
            help="Boxes and scores of concepts only: faster, COCO is the only format.",
            rich_help_panel=PROMPT,
        ),
    ] = True,
    points_per_side: Annotated[
        int, typer.Option(help="Grid of --everything.", rich_help_panel=PROMPT)
    ] = 32,
    formats: Formats = "",
    val: ValShare = 0.0,
    shard: Annotated[int, typer.Option(help="Images a shard.", rich_help_panel=JOB)] = 16,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Label changed files again.", rich_help_panel=JOB)
    ] = False,
    max_bad: Annotated[
        str,
        typer.Option(help="Stop once more images failed: 20, or 1% of all.", rich_help_panel=JOB),
    ] = "100%",
    decoders: Annotated[
        int, typer.Option(help="Threads that read and decode.", rich_help_panel=JOB)
    ] = 2,
    ray: Annotated[
        str,
        typer.Option(
            help="Run one actor a GPU of a Ray cluster: its address, or 'here' for a cluster on "
            "this machine.",
            rich_help_panel=RAY,
        ),
    ] = "",
    ray_actors: Annotated[
        int | None, typer.Option(help="How many; one a GPU by default.", rich_help_panel=RAY)
    ] = None,
    model: ModelName = "sam3",
    weights: WeightFile = None,
    device: Device = None,
    precision: PrecisionName = "auto",
    input_size: InputSize = "auto",
    backend: Backend = "torch",
    input_size_percent: Annotated[
        float, typer.Option(help="Shrink images first (1 to 100).", rich_help_panel="Model")
    ] = 100,
) -> Exit:
    """Label a folder of images into a data set; the same command continues after a stop."""
    from ..engine import validation
    from ..labeling.exports.write import parse_formats
    from ..labeling.job import TooManyBadImagesError
    from ..labeling.options import JobOptions, StopJobError, parse_max_bad
    from ..labeling.prompt_options import PromptOptions, choose_prompts
    from ..labeling.run import run_job

    chosen_formats = parse_formats(formats)
    validation.to_number("val", val, 0, 1)
    if chosen_formats and not masks:
        expected = "none with no_masks: they hold masks"
        raise validation.value_error("formats", expected, chosen_formats[0])
    endpoint = None
    if describe.strip():
        endpoint, limits = make_endpoint(agent_model, max_requests)
    prompts = PromptOptions(
        text=text,
        describe=describe,
        agent_model=endpoint.model if endpoint else "",
        agent_host=endpoint.host if endpoint else "",
        max_requests=max_requests,
        everything=everything,
        boxes=boxes,
        boxes_as=boxes_as,
        exemplars=exemplars,
        exemplar_labels=exemplar_labels,
        reference=reference,
        threshold=threshold,
        tiles=tiles,
        min_area=min_area,
        overlap=overlap,
        masks=masks,
        points_per_side=points_per_side,
    )
    options = JobOptions(
        images=images,
        out=out,
        prompts=choose_prompts(prompts),
        model=choose_model(model, weights, device, precision, input_size, backend),
        input_size_percent=input_size_percent,
        shard_size=shard,
        decoders=decoders,
        refresh=refresh,
        max_bad=parse_max_bad(max_bad),
    )
    observer = make_observer()
    segmenters: list[DescriptionSegmenter] = []

    def wrap_engine(engine: Engine) -> DescriptionSegmenter:
        assert endpoint is not None
        segmenters.append(DescriptionSegmenter(engine, endpoint, limits, StopJobError))
        return segmenters[0]

    try:
        result = run_job(
            options,
            chosen_formats,
            val,
            ray or None,
            ray_actors,
            observer,
            wrap_engine if endpoint else None,
        )
    except KeyboardInterrupt:
        tell(f"Interrupted. {CONTINUES}")
        return Exit.INTERRUPTED
    except (OSError, MemoryError, TooManyBadImagesError, StopJobError) as error:
        raise StoppedError(f"{error}\n{CONTINUES}") from error
    finally:
        for segmenter in segmenters:
            tell(segmenter.describe_price())
    tell("Written: " + ", ".join(result.written))
    return Exit.SOME_FAILED if result.totals.errors else Exit.DONE


def make_observer() -> JobObserver:
    """Makes what shows the progress of a job."""
    from ..labeling.run import JobObserver

    class Observer(JobObserver):
        """Shows a bar with instances and errors."""

        def __init__(self) -> None:
            self._bar: Progress | None = None
            self._instances = self._errors = 0

        def tell(self, sentence: str) -> None:
            tell(sentence)

        def start(self, images: int) -> None:
            self._bar = Progress("Labeling", "image", images).__enter__()

        def advance(self, images: int, instances: int, errors: int) -> None:
            self._instances += instances
            self._errors += errors
            if self._bar is not None:
                note = f"{self._instances} instances"
                self._bar.advance(
                    images, f"{note}, {self._errors} failed" if self._errors else note
                )

        def stop(self) -> None:
            if self._bar is not None:
                self._bar.__exit__(None, None, None)

    return Observer()
