"""Concept prompts of the training: what each should find is what its text and boxes mean."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from infer_segment_anything_3.tools.tiny_shapes.random_prompts import (
    ABSENT_WORDS,
    draw_concept_prompts,
)
from infer_segment_anything_3.tools.tiny_shapes.samples import Sample

CIRCLE, SQUARE, STAR = ("red", "circle"), ("blue", "square"), ("red", "star")


def make_sample(*looks: tuple[str, str], **changes: object) -> Sample:
    """Makes a sample whose shapes have the given looks, each with a box of its own."""
    count = len(looks)
    boxes = np.full((count, 4), 0.1, np.float32)
    boxes[:, 0] = (np.arange(count) + 1) / (count + 1)
    sample = Sample(
        image=np.zeros((3, 8, 8), np.uint8),
        masks=np.ones((count, 8, 8), bool),
        coverage=np.ones((count, 4, 4), np.float32),
        cxcywh=boxes,
        colors=tuple(color for color, _ in looks),
        kinds=tuple(kind for _, kind in looks),
        is_clear=np.ones(count, bool),
    )
    return dataclasses.replace(sample, **changes)  # type: ignore[arg-type]


def find_meant(sample: Sample, text: str) -> set[int]:
    """Finds the shapes that a text of the vocabulary means."""
    color, _, kind = text.rpartition(" ")
    return {i for i, (c, k) in enumerate(sample.looks) if kind in (k, "shape") and color in (c, "")}


@pytest.mark.parametrize("elsewhere_share", [0.0, 1.0])
def test_wanted_shapes_are_those_that_text_and_boxes_mean(elsewhere_share: float) -> None:
    samples = [make_sample(CIRCLE, CIRCLE, SQUARE), make_sample(CIRCLE, STAR), make_sample(SQUARE)]
    rng = np.random.default_rng(1)
    elsewhere = absent = 0
    for _ in range(40):
        prompts = draw_concept_prompts(rng, samples, 2, 0.8, elsewhere_share)
        for p, text in enumerate(prompts.texts):
            index, source = int(prompts.image_index[p]), int(prompts.exemplar_index[p])
            sample, wanted = samples[index], set(prompts.wanted[p])
            elsewhere += index != source
            absent += index != source and not wanted
            meant = find_meant(sample, text)
            for e in range(len(prompts.exemplars)):
                if prompts.exemplar_padding[p, e]:
                    continue
                distance = np.abs(samples[source].cxcywh - prompts.exemplars[e, p].numpy())
                look = samples[source].looks[int(distance.sum(axis=1).argmin())]
                alike = {i for i, other in enumerate(sample.looks) if other == look}
                if not prompts.exemplar_labels[e, p]:
                    meant -= alike
                elif text == "visual":
                    meant |= alike
            assert wanted == meant
    assert bool(elsewhere) == bool(elsewhere_share)
    assert bool(absent) == bool(elsewhere_share)


def test_no_prompt_means_a_shape_that_is_hardly_visible() -> None:
    sample = make_sample(CIRCLE, CIRCLE, STAR, unsure=frozenset({CIRCLE}))
    other = make_sample(CIRCLE, CIRCLE)
    rng = np.random.default_rng(1)
    for _ in range(60):
        prompts = draw_concept_prompts(rng, [sample, other], 2, 0.7, 0.5)
        for p in range(2):
            text = prompts.texts[p]
            assert not set(prompts.wanted[p]) & {0, 1}
            assert text in ABSENT_WORDS or text == "visual" or not find_meant(other, text)


def test_what_can_hardly_be_told_is_no_exemplar() -> None:
    sample = make_sample(CIRCLE, CIRCLE, SQUARE, is_clear=np.array([False, True, False]))
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(30):
        prompts = draw_concept_prompts(rng, [sample], 2, 1.0)
        boxes = prompts.exemplars.permute(1, 0, 2)[~prompts.exemplar_padding]
        seen += len(boxes)
        assert np.abs(boxes[:, 0].numpy() - sample.cxcywh[1, 0]).max(initial=0) < 0.05
    assert seen
