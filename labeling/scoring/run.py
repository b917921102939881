"""Scores a model on a COCO data set."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ...engine import validation
from ...engine.model_options import ModelOptions
from ...engine.validation import value_error
from ..output_folder import OutputFolder
from .ap import IouType, score_ap
from .cgf1 import score_cgf1
from .ground_truth import GroundTruth
from .interactive import average_clicks, click_objects
from .plots import draw_misses, draw_precision_recall
from .predictions import PROMPT_KINDS, keep_best, predict
from .report import make_table


def score_data_set(
    coco: str,
    images: str,
    out: str,
    model: ModelOptions,
    prompts: str = "text",
    limit: int = 0,
    clicked_objects: int = 200,
    on_image: Callable[[int, int], None] | None = None,
) -> str:
    """Scores a model; writes ``scores.json``, ``scores.md`` and two pictures.

    Args:
        coco: Address of a COCO file with the true annotations.
        images: Address of the folder of its images.
        out: Address of the folder for the results.
        model: Which model.
        prompts: What it is asked: ``text``, ``boxes`` or ``click``.
        limit: First images only; 0 for all.
        clicked_objects: Objects for the clicks; 0 for none.
        on_image: Called with the number of images done, and of all.

    Returns:
        The scores as a table in Markdown.

    Raises:
        ValueError: If an option is wrong, or an image is not what the COCO file says.
    """
    validation.check_choice("prompts", prompts, PROMPT_KINDS)
    validation.to_whole_number("limit", limit, 0, 10**9)
    validation.to_whole_number("clicked_objects", clicked_objects, 0, 10**9)
    truth = GroundTruth(coco, images, limit)
    _check_prompts(truth, prompts)
    folder = OutputFolder(out)
    folder.check_writable()
    engine = model.load()
    predictions: list[dict[str, Any]] = []
    clicks: list[list[float]] = []
    for done, image in enumerate(truth.images, 1):
        predictions += predict(engine, truth, image, prompts)
        left = clicked_objects - len(clicks)
        if left > 0 and truth.has_masks:
            clicks += click_objects(engine, truth, image, left)
        if on_image is not None:
            on_image(done, len(truth.images))
    best = keep_best(predictions)
    kinds: tuple[IouType, ...] = ("bbox", "segm") if truth.has_masks else ("bbox",)
    ap = {kind: score_ap(truth, best, kind) for kind in kinds}
    scores: dict[str, Any] = {
        "model": model.model_name,
        "prompts": prompts,
        "images": len(truth.images),
        "objects": len(truth.coco.anns),
        "notes": list(truth.notes),
        "ap": {kind: found.scores for kind, found in ap.items()},
    }
    if prompts == "text":
        scores["cgf1"] = {kind: score_cgf1(truth, predictions, kind) for kind in kinds}
    if clicked_objects and truth.has_masks:
        scores["interactive"] = average_clicks(clicks)
    table = make_table(scores)
    folder.write_bytes("scores.json", json.dumps(scores, indent=2).encode())
    folder.write_bytes("scores.md", table.encode())
    names = {"bbox": "box", "segm": "mask"}
    curves = {names[kind]: found.precision for kind, found in ap.items()}
    folder.write_bytes("precision_recall.png", draw_precision_recall(curves))
    misses = draw_misses(truth, ap[kinds[-1]].missed_ids)
    if misses is not None:
        folder.write_bytes("worst_misses.png", misses)
    return table


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
