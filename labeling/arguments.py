"""Declares and reads the command line: ``label``, ``export``, ``score``."""

from __future__ import annotations

import argparse

from ..engine import validation
from .options import JobOptions, choose_model, parse_max_bad
from .prompt_options import choose_prompts
from .scoring.command import add_score_options

FORMATS = ("yolo", "labelstudio", "png")
"""Formats besides COCO, which is always written."""


def make_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m infer_segment_anything_3.labeling",
        description="Labels folders of images with SAM 3.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    label = commands.add_parser("label", help="from images to a data set; resumes by itself")
    _add_job(label)
    _add_prompt(label)
    _add_model(label)
    _add_export(label)
    export = commands.add_parser("export", help="write other formats from a labeled folder")
    export.add_argument("out", help="the folder of a labeling job")
    _add_export(export)
    score = commands.add_parser("score", help="AP, cgF1 and clicks on a COCO data set")
    add_score_options(score)
    _add_model(score)
    return parser


def read_job_options(arguments: argparse.Namespace) -> JobOptions:
    """Reads and checks the options of ``label``.

    Raises:
        ValueError: If one is wrong; the message begins with its name.
    """
    formats = read_formats(arguments)
    if formats and not arguments.masks:
        raise validation.value_error("formats", "none with no_masks: they hold masks", formats[0])
    return JobOptions(
        images=arguments.images,
        out=arguments.out,
        prompts=choose_prompts(arguments),
        model=choose_model(arguments),
        input_size_percent=arguments.input_size_percent,
        shard_size=arguments.shard,
        decoders=arguments.decoders,
        refresh=arguments.refresh,
        max_bad=parse_max_bad(arguments.max_bad),
    )


def read_formats(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Reads and checks the formats besides COCO, and the ``val`` share.

    Raises:
        ValueError: If one is unknown, or the share is no number from 0 to 1.
    """
    validation.to_number("val", arguments.val, 0, 1)
    formats = tuple(arguments.formats.replace(",", " ").split())
    for name in formats:
        validation.check_choice("formats", name, FORMATS)
    return formats


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", help="a folder, a glob, a .txt list, or an address of fsspec")
    parser.add_argument("--out", required=True, help="folder or address for the results")
    parser.add_argument("--shard", type=int, default=16, help="images a shard (%(default)s)")
    parser.add_argument("--refresh", action="store_true", help="label changed files again")
    parser.add_argument(
        "--max-bad", default="100%", help="stop once more images failed: 20, or 1%% of all"
    )
    parser.add_argument(
        "--decoders", type=int, default=2, help="threads that read and decode (%(default)s)"
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="here",
        help="one actor a GPU of a Ray cluster: its address, or without one a cluster here",
    )
    parser.add_argument("--ray-actors", type=int, help="how many; one a GPU by default")


def _add_prompt(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to look for: text, everything, boxes or a reference")
    group.add_argument("--text", default="", help='concepts: "person, red car:0.4"')
    group.add_argument("--everything", action="store_true", help="all there is, without a class")
    group.add_argument(
        "--boxes",
        default="",
        help="a COCO file whose boxes are the prompts; with --reference boxes in that picture",
    )
    group.add_argument(
        "--reference",
        default="",
        help="a picture: find what looks like its --boxes [[x1, y1, x2, y2], ...] in all images, "
        "alone or with --text",
    )
    group.add_argument(
        "--boxes-as",
        default="objects",
        help="objects: a mask for each box; exemplars: everything like the boxes of a category",
    )
    group.add_argument(
        "--exemplars",
        default="",
        help="boxes [[x1, y1, x2, y2], ...] at the same place in every image (a fixed camera)",
    )
    group.add_argument(
        "--exemplar-labels",
        default="",
        help='[1, 0, ...] for --exemplars or the boxes of a reference: 1 "like this", 0 "not"',
    )
    group.add_argument("--threshold", type=float, default=0.5, help="score (%(default)s)")
    group.add_argument("--tiles", default="off", help="off, auto or N for N x N tiles")
    group.add_argument("--min-area", type=int, default=0, help="smallest mask, in pixels")
    group.add_argument("--overlap", default="keep", help="keep, or best of overlapping instances")
    group.add_argument(
        "--no-masks",
        dest="masks",
        action="store_false",
        help="boxes and scores of concepts only, without masks: faster, COCO is the only format",
    )
    group.add_argument("--points-per-side", type=int, default=32, help="grid of --everything")


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--model", default="sam3", help="sam3 or tiny_shapes (%(default)s)")
    group.add_argument("--weights", help="a local checkpoint, or base + adapter_folder")
    group.add_argument("--device", help="cpu, cuda or cuda:N; the GPU where there is one")
    group.add_argument("--precision", default="auto", help="auto, float32 or bfloat16")
    group.add_argument(
        "--input-size",
        default="auto",
        help="side of the model's input: auto, or sam3 672, 336, tiny_shapes 224, 112",
    )
    group.add_argument(
        "--input-size-percent", type=float, default=100, help="shrink images first (1 to 100)"
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is written beside annotations.json (COCO)")
    group.add_argument("--formats", default="", help='"' + " ".join(FORMATS) + '"')
    group.add_argument("--val", type=float, default=0.0, help="share of the val split, 0 to 1")
