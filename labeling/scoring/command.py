"""Runs the command ``score``: scores a model on a COCO data set."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ...engine import validation
from ...engine.validation import value_error
from ..options import choose_model
from ..output_folder import OutputFolder
from .ap import IouType, score_ap
from .cgf1 import score_cgf1
from .ground_truth import GroundTruth
from .interactive import average_clicks, click_objects
from .plots import draw_misses, draw_precision_recall
from .predictions import PROMPT_KINDS, keep_best, predict
from .report import make_table


def add_score_options(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``score``, without those of the model."""
    parser.add_argument("coco", help="a COCO file with the true annotations")
    parser.add_argument("images", help="the folder of its images")
    parser.add_argument("--out", required=True, help="folder for scores.json and the pictures")
    parser.add_argument("--prompts", default="text", help="text, boxes or click (%(default)s)")
    parser.add_argument("--limit", type=int, default=0, help="first images only; 0 for all")
    parser.add_argument(
        "--clicked-objects", type=int, default=200, help="objects for the clicks; 0 for none"
    )


def run_score(arguments: argparse.Namespace) -> None:
    """Scores a model, prints a table, writes ``scores.json``, ``scores.md`` and two pictures.

    Raises:
        ValueError: If an option is wrong, or an image is not what the COCO file says.
    """
    validation.check_choice("prompts", arguments.prompts, PROMPT_KINDS)
    validation.to_whole_number("limit", arguments.limit, 0, 10**9)
    validation.to_whole_number("clicked_objects", arguments.clicked_objects, 0, 10**9)
    truth = GroundTruth(arguments.coco, arguments.images, arguments.limit)
    _check_prompts(truth, arguments.prompts)
    model = choose_model(arguments)
    out = OutputFolder(arguments.out)
    out.check_writable()
    engine = model.load()
    predictions: list[dict[str, Any]] = []
    clicks: list[list[float]] = []
    for image in _show_progress(truth.images):
        predictions += predict(engine, truth, image, arguments.prompts)
        left = arguments.clicked_objects - len(clicks)
        if left > 0 and truth.has_masks:
            clicks += click_objects(engine, truth, image, left)
    best = keep_best(predictions)
    kinds: tuple[IouType, ...] = ("bbox", "segm") if truth.has_masks else ("bbox",)
    ap = {kind: score_ap(truth, best, kind) for kind in kinds}
    scores: dict[str, Any] = {
        "model": arguments.model,
        "prompts": arguments.prompts,
        "images": len(truth.images),
        "objects": len(truth.coco.anns),
        "notes": list(truth.notes),
        "ap": {kind: found.scores for kind, found in ap.items()},
    }
    if arguments.prompts == "text":
        scores["cgf1"] = {kind: score_cgf1(truth, predictions, kind) for kind in kinds}
    if arguments.clicked_objects and truth.has_masks:
        scores["interactive"] = average_clicks(clicks)
    table = make_table(scores)
    out.write_bytes("scores.json", json.dumps(scores, indent=2).encode())
    out.write_bytes("scores.md", table.encode())
    names = {"bbox": "box", "segm": "mask"}
    curves = {names[kind]: found.precision for kind, found in ap.items()}
    out.write_bytes("precision_recall.png", draw_precision_recall(curves))
    misses = draw_misses(truth, ap[kinds[-1]].missed_ids)
    if misses is not None:
        out.write_bytes("worst_misses.png", misses)
    sys.stdout.write(table)


def _check_prompts(truth: GroundTruth, prompt_kind: str) -> None:
    """Raises ValueError if the data set lacks what a kind of prompts is made from."""
    if prompt_kind == "click" and not truth.has_masks:
        raise value_error("prompts", "text or boxes (not every object has a mask)", prompt_kind)
    if prompt_kind == "text":
        seen: dict[str, int] = {}
        for category in truth.categories:
            place = f"coco: category {category['id']}"
            phrase = validation.to_concept(place, category["name"]).casefold()
            other = seen.setdefault(phrase, category["id"])
            if other != category["id"]:
                expected = f"another name than that of category {other}"
                raise value_error(place, expected, category["name"])


def _show_progress(images: list[dict[str, Any]]) -> Any:
    from tqdm import tqdm

    return tqdm(images, unit="image", disable=not sys.stderr.isatty())
