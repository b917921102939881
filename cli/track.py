"""The command ``track``: objects through a video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .common import (
    Backend,
    Device,
    Exit,
    InputSize,
    ModelName,
    PrecisionName,
    WeightFile,
    choose_model,
    load_engine,
    print_result,
    run_command,
    tell,
)
from .progress import Progress
from .segment import Boxes, Examples, Points, Text, Threshold, make_prompt

EXAMPLES = """
[bold]Examples[/bold]

infer-sam3 track clip.mp4 --text person --save out.mp4

infer-sam3 track clip.mp4 --box 120,80,260,300 --save out.mp4 --save tracks.json

infer-sam3 track clip.mp4 --text "person, dog" --json > tracks.json
"""


@run_command
def track(
    video: Annotated[str, typer.Argument(help="A video file.")],
    text: Text = "",
    points: Points = None,
    boxes: Boxes = None,
    examples: Examples = None,
    save: Annotated[
        list[str] | None,
        typer.Option(
            help="An .mp4 with masks, ids and trails, or a .json with the tracks in YouTube-VIS's "
            "terms. Repeat it for both.",
            rich_help_panel="Output",
        ),
    ] = None,
    threshold: Threshold = 0.5,
    max_frames: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many frames.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the tracks as JSON.", rich_help_panel="Output"),
    ] = False,
    model: ModelName = "sam3",
    weights: WeightFile = None,
    device: Device = None,
    precision: PrecisionName = "auto",
    input_size: InputSize = "auto",
    backend: Backend = "torch",
) -> Exit:
    """Follow objects through a video; each keeps its id.

    Points, boxes and examples are those of the first frame.
    """
    targets = [_check_target(name) for name in save or ()]
    prompt = make_prompt(text, points, boxes, examples, threshold)
    options = choose_model(model, weights, device, precision, input_size, backend)
    from ..engine import track_video
    from ..engine.video_files import VideoReader
    from ..engine.wording import count_things

    reader = VideoReader(video)
    engine = load_engine(options)
    with Progress("Tracking", "frame", min(reader.count, max_frames or reader.count)) as progress:
        tracks = track_video(
            engine,
            video,
            prompt,  # type: ignore[arg-type]  # it is never "everything" here
            max_frames=max_frames,
            on_frame=progress.update,
        )
    for target in targets:
        if target.suffix.lower() == ".json":
            tracks.save(target)
            continue
        with Progress("Writing", "frame", len(tracks)) as progress:
            tracks.save_video(target, on_frame=progress.update)
    if as_json:
        print_result(json.dumps(tracks.to_youtube_vis()))
    else:
        from .tables import print_tracks

        print_tracks(tracks)
    frames = count_things(len(tracks), "frame")
    tell(f"{frames}, {count_things(len(tracks.track_ids), 'track')}.")
    for target in targets:
        tell(f"Written: {target}")
    return Exit.DONE


def _check_target(name: str) -> Path:
    path = Path(name).expanduser()
    if path.suffix.lower() not in (".mp4", ".json"):
        raise ValueError(f"save: expected a name that ends in .mp4 or .json, got {name!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
