"""Scores a model before and after training: what is new, what was known, what is absent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ..engine import ConceptPrompt, Engine
from ..engine.validation import MAX_CONCEPTS
from ..labeling.scoring.ap import SHOWN_SCORE, IouType, score_ap
from ..labeling.scoring.cgf1 import score_cgf1
from ..labeling.scoring.ground_truth import GroundTruth, Record
from ..labeling.scoring.interactive import average_clicks, click_objects
from ..labeling.scoring.predictions import LEAST_SCORE, keep_best, predict, to_record

MOST_CLICKED = 60
Scores = dict[str, Any]
OnImage = Callable[[], None]


@dataclasses.dataclass(frozen=True)
class ScoreSets:
    """Holds what a model is scored on.

    Attributes:
        new: Held-out images with the concepts that are learned.
        not_exhaustive: Ids of those of which not all objects are labeled.
        known: Images with concepts that were known before; None for none.
        words: Phrases of which some are absent from the held-out images.
    """

    new: GroundTruth
    not_exhaustive: frozenset[int] = frozenset()
    known: GroundTruth | None = None
    words: tuple[str, ...] = ()


def score_new(engine: Engine, truth: GroundTruth) -> Scores:
    """Scores the concepts that are learned: AP, AP50, F1 and cgF1 of masks, else of boxes."""
    predictions = [row for image in truth.images for row in predict(engine, truth, image, "text")]
    return summarize(truth, predictions)


def summarize(truth: GroundTruth, predictions: Sequence[Record]) -> Scores:
    """Computes the scores of detections: ``box_...``, and ``mask_...`` where there are masks."""
    kinds: dict[str, IouType] = {"box": "bbox", **({"mask": "segm"} if truth.has_masks else {})}
    scores: Scores = {}
    best = keep_best(predictions)
    for name, kind in kinds.items():
        ap = score_ap(truth, best, kind)
        scores[f"{name}_AP"], scores[f"{name}_AP50"] = ap.scores["AP"], ap.scores["AP50"]
        scores[f"{name}_F1"] = ap.f1
        scores[f"{name}_cgF1"] = score_cgf1(truth, list(predictions), kind)["cgF1"]
    return scores


def get_cgf1(scores: Scores) -> float:
    """Returns cgF1 of masks, or of boxes where there are no masks."""
    name = "mask_cgF1" if "mask_cgF1" in scores else "box_cgF1"
    return float(scores[name])


def score_model(engine: Engine, sets: ScoreSets, on_image: OnImage = lambda: None) -> Scores:
    """Scores a model in full.

    Args:
        engine: The model.
        sets: What it is scored on.
        on_image: Called after each image.

    Returns:
        By group: ``new``, ``exemplars``, ``known``, ``absent`` and ``clicks``.
    """
    truth = sets.new
    new: list[Record] = []
    by_exemplar: list[Record] = []
    clicks: list[list[float]] = []
    asked = answered = 0
    for image in truth.images:
        rows = predict(engine, truth, image, "text")
        new += rows
        by_exemplar += _ask_by_exemplar(engine, truth, image)
        if truth.has_masks and len(clicks) < MOST_CLICKED:
            clicks += click_objects(engine, truth, image, MOST_CLICKED - len(clicks))
        present = {a["category_id"] for a in truth.coco.imgToAnns[image["id"]]}
        absent = {c["id"] for c in truth.categories} - present - sets.not_exhaustive
        asked += len(absent)
        answered += len({r["category_id"] for r in rows if r["score"] > SHOWN_SCORE} & absent)
        on_image()
    scores: Scores = {"new": summarize(truth, new), "exemplars": summarize(truth, by_exemplar)}
    if sets.known is not None:
        known: list[Record] = []
        for image in sets.known.images:
            rows = predict(engine, sets.known, image, "text")
            known += rows
            present = {a["category_id"] for a in sets.known.coco.imgToAnns[image["id"]]}
            absent = {c["id"] for c in sets.known.categories} - present
            asked += len(absent)
            answered += len({r["category_id"] for r in rows if r["score"] > SHOWN_SCORE} & absent)
            on_image()
        scores["known"] = summarize(sets.known, known)
    scores["absent"] = {
        "asked": asked,
        "answered": answered,
        "share": answered / asked if asked else 0.0,
    }
    if truth.has_masks:
        scores["clicks"] = average_clicks(clicks)
    return scores


def _ask_by_exemplar(engine: Engine, truth: GroundTruth, image: Record) -> list[Record]:
    """Asks for everything like the largest object of each concept in an image."""
    found = []
    pixels = truth.read_pixels(image)
    for category in truth.categories:
        own = [a for a in truth.get_annotations(image) if a["category_id"] == category["id"]]
        if own:
            x, y, width, height = max(own, key=lambda a: a["area"])["bbox"]
            box = (x, y, x + width, y + height)
            prompt = ConceptPrompt(exemplars_xyxy=(box,), confidence_threshold=LEAST_SCORE)
            result = engine.segment(pixels, prompt)
            found += [to_record(i, category["id"], image["id"]) for i in result.instances]
    return found


def ask_words(engine: Engine, truth: GroundTruth, words: Sequence[str]) -> dict[str, Any]:
    """Makes a COCO file of what a model answers surely to words, as truth of what it knew.

    Args:
        engine: The base model.
        truth: The images.
        words: The phrases.

    Returns:
        The content of the file: images, all words as categories, the instances.
    """
    categories = [{"id": number, "name": word} for number, word in enumerate(words, 1)]
    annotations: list[Record] = []
    for image in truth.images:
        pixels = truth.read_pixels(image)
        for start in range(0, len(words), MAX_CONCEPTS):
            prompt = ConceptPrompt(texts=tuple(words[start : start + MAX_CONCEPTS]))
            for instance in engine.segment(pixels, prompt).instances:
                row = to_record(instance, start + instance.class_index + 1, image["id"])
                if instance.mask.area:
                    number = len(annotations) + 1
                    annotations.append(
                        {**row, "id": number, "iscrowd": 0, "area": instance.mask.area}
                    )
    return {"images": truth.images, "categories": categories, "annotations": annotations}
