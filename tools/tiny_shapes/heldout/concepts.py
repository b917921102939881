"""Measures concept prompts on held-out scenes: text, exemplar boxes, overlapping concepts."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from ....engine import ConceptPrompt, Engine
from ..crowds import draw_crowd
from ..scenes import list_phrases
from .matching import Measure, Tally, compute_ious, draw_held_out_scenes, get_box, get_true_mask


def measure_concepts(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Measures text prompts: every form of phrase for the shapes, and absent concepts.

    F1 at IoU 0.5, mean IoU of what is matched at that, and the share of absent phrases that
    give an instance.
    """
    matched: list[float] = []
    found = wanted = absent_found = 0
    for rng, scene in draw_held_out_scenes(seed, scenes):
        model = scene.shapes[int(rng.integers(len(scene.shapes)))]
        pairs = {f"{s.color} {s.kind}" for s in scene.shapes}
        present = [*sorted(pairs), model.kind, f"{model.color} shape"]
        absent = str(rng.choice([p for p in list_phrases() if not scene.find_matching(p)]))
        result = engine.segment(scene.image, ConceptPrompt(texts=(*present, absent)))
        for index, phrase in enumerate(present):
            masks = [i.mask for i in result.instances if i.class_index == index]
            truth = [get_true_mask(shape) for shape in scene.find_matching(phrase)]
            found += len(masks)
            wanted += len(truth)
            ious = compute_ious(masks, truth)
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


def measure_exemplars(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Measures F1 at IoU 0.5 of a box alone, and of a text with a negative box.

    The second is asked where something else remains that the text means.
    """
    alone, without = Tally(), Tally()
    for rng, scene in draw_held_out_scenes(seed, scenes):
        model = scene.shapes[int(rng.integers(len(scene.shapes)))]
        like = scene.find_matching(f"{model.color} {model.kind}")
        result = engine.segment(scene.image, ConceptPrompt(exemplars_xyxy=(get_box(model),)))
        alone.add(result.instances, like)
        rest = [s for s in scene.find_matching(model.kind) if s.color != model.color]
        if rest:
            prompt = ConceptPrompt((model.kind,), (), (get_box(model),), (0,))
            without.add(engine.segment(scene.image, prompt).instances, rest)
    return {"exemplar_f1": alone.f1, "negative_exemplar_f1": without.f1}


def measure_overlap(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Measures how many shapes only one instance claims, of three concepts that fit them."""
    once = claimed = 0
    for rng, scene in draw_held_out_scenes(seed, scenes):
        model = scene.shapes[int(rng.integers(len(scene.shapes)))]
        texts = (model.kind, f"{model.color} {model.kind}", f"{model.color} shape")
        result = engine.segment(scene.image, ConceptPrompt(texts, overlap="best"))
        truth = [get_true_mask(shape) for shape in scene.shapes]
        claims = (compute_ious([i.mask for i in result.instances], truth) >= 0.7).sum(axis=0)
        once += int(np.count_nonzero(claims == 1))
        claimed += int(np.count_nonzero(claims))
    return {"overlap_best_claimed_once": once / max(1, claimed)}


def measure_same_kind(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Measures F1 at IoU 0.5 of the text for 3 to 8 shapes that look the same."""
    tally = Tally()
    for index in range(scenes):
        scene = draw_crowd(np.random.default_rng((seed, index)))
        model = scene.shapes[0]
        phrase = f"{model.color} {model.kind}"
        found = engine.segment(scene.image, ConceptPrompt((phrase,))).instances
        tally.add(found, scene.find_matching(phrase))
    return {"same_kind_f1": tally.f1}


MEASURES: tuple[Measure, ...] = (
    measure_concepts,
    measure_same_kind,
    measure_exemplars,
    measure_overlap,
)
