"""Held-out scores of concept prompts: text, exemplar boxes, overlapping concepts."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from ....engine import ConceptPrompt, Engine
from ..crowds import draw_crowd
from ..scenes import phrases
from .matching import Measure, Tally, box_of, held_out_scenes, ious_between, truth_of


def concepts(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Text prompts: what is on a scene in each form of phrase, and something absent.

    F1 at IoU 0.5, mean IoU of what is matched at that, and the share of absent phrases that
    give an instance.
    """
    matched: list[float] = []
    found = wanted = absent_found = 0
    for rng, scene in held_out_scenes(seed, scenes):
        model = scene.shapes[int(rng.integers(len(scene.shapes)))]
        pairs = {f"{s.color} {s.kind}" for s in scene.shapes}
        present = [*sorted(pairs), model.kind, f"{model.color} shape"]
        absent = str(rng.choice([p for p in phrases() if not scene.matching(p)]))
        result = engine.segment(scene.image, ConceptPrompt(texts=(*present, absent)))
        for index, phrase in enumerate(present):
            masks = [i.mask for i in result.instances if i.class_index == index]
            truth = [truth_of(shape) for shape in scene.matching(phrase)]
            found += len(masks)
            wanted += len(truth)
            ious = ious_between(masks, truth)
            best = ious[linear_sum_assignment(-ious)]
            matched += best[best >= 0.5].tolist()
        absent_found += any(i.class_index == len(present) for i in result.instances)
    return {
        "concept_f1": 2 * len(matched) / max(1, found + wanted),
        "concept_precision": len(matched) / max(1, found),
        "concept_recall": len(matched) / max(1, wanted),
        "concept_mean_iou": float(np.mean(matched)) if matched else 0.0,
        "absent_found": absent_found / scenes,
    }


def exemplars(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """F1 at IoU 0.5 of a box alone, and of a text with a box of what is not meant.

    The second is asked where something else remains that the text means.
    """
    alone, without = Tally(), Tally()
    for rng, scene in held_out_scenes(seed, scenes):
        model = scene.shapes[int(rng.integers(len(scene.shapes)))]
        like = scene.matching(f"{model.color} {model.kind}")
        result = engine.segment(scene.image, ConceptPrompt(exemplars_xyxy=(box_of(model),)))
        alone.add(result.instances, like)
        rest = [s for s in scene.matching(model.kind) if s.color != model.color]
        if rest:
            prompt = ConceptPrompt((model.kind,), (), (box_of(model),), (0,))
            without.add(engine.segment(scene.image, prompt).instances, rest)
    return {"exemplar_f1": alone.f1, "negative_exemplar_f1": without.f1}


def overlap(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Share of the shapes found that only one instance claims, of three concepts that fit it."""
    once = claimed = 0
    for rng, scene in held_out_scenes(seed, scenes):
        model = scene.shapes[int(rng.integers(len(scene.shapes)))]
        texts = (model.kind, f"{model.color} {model.kind}", f"{model.color} shape")
        result = engine.segment(scene.image, ConceptPrompt(texts, overlap="best"))
        truth = [truth_of(shape) for shape in scene.shapes]
        claims = (ious_between([i.mask for i in result.instances], truth) >= 0.7).sum(axis=0)
        once += int(np.count_nonzero(claims == 1))
        claimed += int(np.count_nonzero(claims))
    return {"overlap_best_claimed_once": once / max(1, claimed)}


def same_kind(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """F1 at IoU 0.5 of color and kind of 3 to 8 shapes that look the same."""
    tally = Tally()
    for index in range(scenes):
        scene = draw_crowd(np.random.default_rng((seed, index)))
        model = scene.shapes[0]
        phrase = f"{model.color} {model.kind}"
        found = engine.segment(scene.image, ConceptPrompt((phrase,))).instances
        tally.add(found, scene.matching(phrase))
    return {"same_kind_f1": tally.f1}


MEASURES: tuple[Measure, ...] = (
    concepts,
    same_kind,
    exemplars,
    overlap,
)
