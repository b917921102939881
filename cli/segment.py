"""The command ``segment``: images, folders and globs."""

from __future__ import annotations

import dataclasses
import glob
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    parse_numbers,
    print_result,
    read_image,
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
    from ..engine import ConceptPrompt, EverythingPrompt, ObjectPrompt, PromptedObject, Result

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")

EXAMPLES = """
[bold]Examples[/bold]

infer-sam3 segment photo.jpg --text "person, red car" --save out.png

infer-sam3 segment photo.jpg --point 390,250 --point 300,320,0 --json

infer-sam3 segment photos --text "person:0.4" --save results

infer-sam3 segment photo.jpg --describe "the leftmost person without a helmet" --save out.png

infer-sam3 segment crowd.png --text person --tiles auto --save crowd_out.png
"""

Text = Annotated[
    str,
    typer.Option(
        help="Concepts with commas between, each with a threshold if you want: 'person:0.4, car'.",
        rich_help_panel="What to look for",
    ),
]
Points = Annotated[
    list[str] | None,
    typer.Option(
        "--point",
        metavar="X,Y[,0]",
        help="A point on one object, in pixels; with ,0 a point that is not on it. Repeat it.",
        rich_help_panel="What to look for",
    ),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        "--box",
        metavar="X1,Y1,X2,Y2",
        help="A box around one object. Repeat it for several objects.",
        rich_help_panel="What to look for",
    ),
]
Examples = Annotated[
    list[str] | None,
    typer.Option(
        "--example",
        metavar="X1,Y1,X2,Y2[,0]",
        help="A box around an example: everything like it is found; with ,0 nothing like it.",
        rich_help_panel="What to look for",
    ),
]
Threshold = Annotated[
    float,
    typer.Option(
        help="Instances of a concept at or below this score are left out.",
        rich_help_panel="What to look for",
    ),
]


@run_command
def segment(
    images: Annotated[list[str], typer.Argument(help="Images, folders or globs.")],
    text: Text = "",
    points: Points = None,
    boxes: Boxes = None,
    examples: Examples = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--everything",
            help="All there is, without a class.",
            rich_help_panel="What to look for",
        ),
    ] = False,
    reference: Annotated[
        str,
        typer.Option(
            help="Another picture, in which the examples lie.", rich_help_panel="What to look for"
        ),
    ] = "",
    describe: Describe = "",
    agent_model: AgentModel = "",
    max_requests: MaxRequests = DEFAULT_REQUESTS,
    threshold: Threshold = 0.5,
    tiles: Annotated[
        str,
        typer.Option(
            help="off, auto or N for N x N tiles: for large, crowded images.",
            rich_help_panel="What to look for",
        ),
    ] = "off",
    save: Annotated[
        str,
        typer.Option(
            help="A .png or .jpg with the masks drawn, a .json in COCO's terms; for several images "
            "a folder, which gets both.",
            rich_help_panel="Output",
        ),
    ] = "",
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print COCO's terms, one line an image.", rich_help_panel="Output"
        ),
    ] = False,
    model: ModelName = "sam3",
    weights: WeightFile = None,
    device: Device = None,
    precision: PrecisionName = "auto",
    input_size: InputSize = "auto",
    backend: Backend = "torch",
) -> Exit:
    """Segment images by text, points, boxes, examples or a description."""
    paths = find_images(images)
    target = _choose_target(save, paths, images)
    root = None
    if _is_folder(save, paths, images):
        root = Path(os.path.commonpath([path.resolve().parent for path in paths]))
    endpoint = make_endpoint(agent_model, max_requests) if describe.strip() else None
    prompt = make_prompt(
        text, points, boxes, examples, threshold, everything, reference, tiles, describe
    )
    engine = load_engine(choose_model(model, weights, device, precision, input_size, backend))
    described = None if endpoint is None else DescriptionSegmenter(engine, *endpoint)
    from ..engine.images import count_pictures
    from ..engine.wording import describe_misses, describe_pictures

    failed = 0
    with Progress("Segmenting", "image", len(paths)) as progress:
        for path in paths:
            try:
                image = read_image(str(path))
                result = (described or engine).segment(image, prompt)
            except ValueError as error:
                if len(paths) == 1:
                    raise
                failed += 1
                message = str(error)
                progress.tell(message if str(path) in message else f"{path}: {message}")
                continue
            finally:
                progress.advance()
            if target is not None:
                _save(result, image, target, path, root)
            _print(result, path, as_json)
            if described is not None:
                notes = described.list_steps()
            else:
                notes = describe_misses(result, prompt, engine.vocabulary)
            for line in (*describe_pictures(count_pictures(str(path))), *notes):
                progress.tell(f"{path.name}: {line}" if len(paths) > 1 else line)
    if described is not None:
        tell(described.describe_price())
    if target is not None:
        tell(f"Written: {target}")
    return Exit.SOME_FAILED if failed else Exit.DONE


def find_images(names: list[str]) -> list[Path]:
    """Lists the images of files, folders and globs, each once, in order.

    Raises:
        ValueError: If a name leads to no image.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        elif path.exists() or not glob.has_magic(name):
            inside = [path]
        else:
            inside = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
        if not inside:
            raise ValueError(f"images: expected images, found none in {name!r}")
        found.update(dict.fromkeys(inside))
    return list(found)


def make_prompt(
    text: str = "",
    points: list[str] | None = None,
    boxes: list[str] | None = None,
    examples: list[str] | None = None,
    threshold: float = 0.5,
    everything: bool = False,
    reference: str = "",
    tiles: str = "off",
    describe: str = "",
) -> ConceptPrompt | EverythingPrompt | ObjectPrompt:
    """Makes the prompt that the options describe.

    Raises:
        ValueError: If an option is wrong, or they do not fit together.
    """
    from ..engine import ConceptPrompt, EverythingPrompt, ObjectPrompt, parsing, validation
    from ..engine.concept_text import parse_concepts

    kinds = {
        "text or example": bool(text.strip() or examples),
        "point or box": bool(points or boxes),
        "everything": everything,
        "description": bool(describe.strip()),
    }
    if sum(kinds.values()) != 1:
        given = " and ".join(name for name, is_given in kinds.items() if is_given) or "none"
        raise ValueError(
            "text: expected one kind of prompt: --text and --example (concepts), --point and --box "
            f"(objects), --everything, or --describe; got {given}"
        )
    if describe.strip():
        return ConceptPrompt(
            (validation.to_description("describe", describe),),
            confidence_threshold=threshold,
            tiles=parsing.parse_tiles("tiles", tiles),
        )
    if everything:
        return EverythingPrompt()
    if points or boxes:
        return ObjectPrompt(tuple(_make_objects(points or [], boxes or [])))
    concepts = parse_concepts("text", text)
    rows = [
        parse_numbers(
            "example",
            row,
            (4, 5),
            "X1,Y1,X2,Y2 or X1,Y1,X2,Y2,0",
        )
        for row in examples or []
    ]
    return ConceptPrompt(
        texts=tuple(concept.text for concept in concepts),
        thresholds=tuple(concept.threshold for concept in concepts),
        exemplars_xyxy=tuple((row[0], row[1], row[2], row[3]) for row in rows),
        exemplar_labels=tuple(int(row[4]) if len(row) == 5 else 1 for row in rows),
        confidence_threshold=threshold,
        tiles=parsing.parse_tiles("tiles", tiles),
        reference=read_image(reference) if reference else None,  # type: ignore[arg-type]
    )


def _make_objects(points: list[str], boxes: list[str]) -> list[PromptedObject]:
    from ..engine import PromptedObject

    rows = [parse_numbers("point", row, (2, 3), "X,Y or X,Y,0") for row in points]
    corners = [parse_numbers("box", row, (4,), "X1,Y1,X2,Y2") for row in boxes]
    if rows and len(corners) > 1:
        raise ValueError("point: expected at most one box beside points, which refine it")
    own: dict[str, Any] = {
        "points_xy": tuple((row[0], row[1]) for row in rows),
        "point_labels": tuple(int(row[2]) if len(row) == 3 else 1 for row in rows),
    }
    if not corners:
        return [PromptedObject(**own)]
    objects = [PromptedObject(box_xyxy=(x1, y1, x2, y2)) for x1, y1, x2, y2 in corners]
    return [dataclasses.replace(objects[0], **own)] if rows else objects


def _is_folder(save: str, paths: list[Path], images: list[str]) -> bool:
    several = len(paths) > 1 or Path(images[0]).expanduser().is_dir()
    return several or Path(save).expanduser().is_dir()


def _choose_target(save: str, paths: list[Path], images: list[str]) -> Path | None:
    """Checks where to save before the model is loaded."""
    if not save:
        return None
    target = Path(save).expanduser()
    if _is_folder(save, paths, images):
        if target.suffix and not target.is_dir():
            raise ValueError(f"save: expected a folder for several images, got {save!r}")
        target.mkdir(parents=True, exist_ok=True)
    elif target.suffix.lower() not in (".png", ".jpg", ".jpeg", ".json"):
        raise ValueError(f"save: expected a name that ends in .png, .jpg or .json, got {save!r}")
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _save(result: Result, image: Any, target: Path, path: Path, root: Path | None) -> None:
    """Saves to the target; with a root to the target's subfolder that the image has below it."""
    if root is None:
        result.save(target, image)
        return
    # The whole name: photos of one name and several types must not replace each other.
    stem = target / path.resolve().relative_to(root)
    stem.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".png", ".json"):
        result.save(stem.with_name(stem.name + suffix), image)


def _print(result: Result, path: Path, as_json: bool) -> None:
    from ..engine.export.coco import to_coco

    if as_json:
        print_result(json.dumps(to_coco(result, file_name=str(path))))
        return
    from .tables import print_instances

    print_instances(result, str(path))
