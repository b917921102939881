"""Prompts refuse what is wrong by itself, and what does not fit the image."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from infer_segment_anything_3.engine import (
    ConceptPrompt,
    EverythingPrompt,
    ObjectPrompt,
    PromptedObject,
)
from infer_segment_anything_3.engine.prompts import fit_to_image

BOX = (1.0, 2.0, 30.0, 40.0)
LOGITS = np.zeros((1, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"texts": ("red car",)}, None),
        ({"texts": ("a", "b"), "thresholds": (None, 0.3)}, None),
        ({"exemplars_xyxy": (BOX,)}, None),
        ({"texts": ("a",), "exemplars_xyxy": (BOX,), "exemplar_labels": (0,)}, None),
        ({"exemplars_xyxy": (BOX, BOX), "exemplar_labels": (0, 1)}, None),
        ({}, "texts"),
        ({"exemplars_xyxy": (BOX,), "exemplar_labels": (0,)}, "texts"),
        ({"texts": "red car"}, "texts"),
        ({"texts": (" ",)}, "texts"),
        ({"texts": ("a", "A")}, "texts"),
        ({"texts": (5,)}, "texts"),
        ({"texts": tuple(f"c{k}" for k in range(101))}, "texts"),
        ({"texts": ("a",), "thresholds": (0.5, 0.5)}, "thresholds"),
        ({"texts": ("a",), "thresholds": (1.5,)}, "thresholds"),
        ({"texts": ("a",), "confidence_threshold": float("nan")}, "confidence_threshold"),
        ({"texts": ("a",), "confidence_threshold": "0.5"}, "confidence_threshold"),
        ({"exemplars_xyxy": ((5, 5, 5, 9),)}, "exemplars_xyxy"),
        ({"exemplars_xyxy": ((0, 0, 1),)}, "exemplars_xyxy"),
        ({"exemplars_xyxy": BOX}, "exemplars_xyxy"),
        ({"exemplars_xyxy": (BOX,), "exemplar_labels": (1, 1)}, "exemplar_labels"),
        ({"exemplars_xyxy": (BOX,), "exemplar_labels": (2,)}, "exemplar_labels"),
        ({"texts": ("a",), "overlap": "worst"}, "overlap"),
        ({"texts": ("a",), "min_area_px": -1}, "min_area_px"),
        ({"texts": ("a",), "tiles": 1.5}, "tiles"),
    ],
)
def test_concept_prompt(values, refused):
    check(ConceptPrompt, values, refused)


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"points_xy": ((1, 2),)}, None),
        ({"points_xy": ((1, 2), (3, 4)), "point_labels": (1, 0)}, None),
        ({"box_xyxy": BOX, "mask_input": LOGITS}, None),
        ({}, "points_xy"),
        ({"points_xy": ((1, 2, 3),)}, "points_xy"),
        ({"points_xy": ((1, float("inf")),)}, "points_xy"),
        ({"points_xy": (("1", 2),)}, "points_xy"),
        ({"points_xy": ((1, 10**5000),)}, "points_xy"),
        ({"points_xy": ((1, 2),) * 10_001}, "points_xy"),
        ({"points_xy": ((1, 2),), "point_labels": (1, 0)}, "point_labels"),
        ({"points_xy": ((1, 2),), "point_labels": (True,)}, "point_labels"),
        ({"box_xyxy": (30, 2, 1, 40)}, "box_xyxy"),
        ({"box_xyxy": BOX, "class_name": " "}, "class_name"),
        ({"box_xyxy": BOX, "mask_input": LOGITS[0]}, "mask_input"),
        ({"box_xyxy": BOX, "mask_input": LOGITS.astype(float)}, "mask_input"),
        ({"box_xyxy": BOX, "mask_input": LOGITS * np.float32("nan")}, "mask_input"),
    ],
)
def test_prompted_object(values, refused):
    check(PromptedObject, values, refused)


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({}, None),
        ({"objects": (PromptedObject(box_xyxy=BOX),) * 1_000}, None),
        ({"objects": (PromptedObject(box_xyxy=BOX),) * 1_001}, "objects"),
        ({"objects": (BOX,)}, "objects"),
    ],
)
def test_object_prompt(values, refused):
    check(ObjectPrompt, values, refused)


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({}, None),
        ({"points_per_side": 0}, "points_per_side"),
        ({"points_per_side": 101}, "points_per_side"),
        ({"min_area_px": float("nan")}, "min_area_px"),
    ],
)
def test_everything_prompt(values, refused):
    check(EverythingPrompt, values, refused)


def check(prompt_class, values, refused):
    if refused is None:
        prompt_class(**values)
        return
    with pytest.raises(ValueError) as caught:
        prompt_class(**values)
    assert str(caught.value).startswith(f"{refused}: expected ")
    assert len(str(caught.value).splitlines()) == 1


def test_arrays_and_lists_make_equal_hashable_prompts():
    given: tuple[Any, ...] = (np.array([[1, 2], [3, 4]]), np.array([1, 0]), list(BOX))
    from_arrays = PromptedObject(*given)
    from_tuples = PromptedObject(((1.0, 2.0), (3.0, 4.0)), (1, 0), BOX)
    assert from_arrays == from_tuples
    listed: Any = [from_arrays]
    assert hash(ObjectPrompt(listed)) == hash(ObjectPrompt((from_tuples,)))
    phrases: Any = ["a  b"]
    assert ConceptPrompt(phrases) == ConceptPrompt(("a b",))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (PromptedObject(((0, 0), (80, 60))), {}),
        (PromptedObject(((80.5, 10),)), "points_xy"),
        (PromptedObject(((10, -1),)), "points_xy"),
        (PromptedObject(box_xyxy=(0, 0, 80, 60)), {}),
        (PromptedObject(box_xyxy=(-5, 10, 90, 70)), {"box_xyxy": (0, 10, 80, 60)}),
        (PromptedObject(box_xyxy=(80, 0, 90, 60)), "box_xyxy"),
        (PromptedObject(box_xyxy=(-9, -9, -1, -1)), "box_xyxy"),
        (
            ConceptPrompt(exemplars_xyxy=((-1, 0, 5, 5),)),
            {"exemplars_xyxy": ((0, 0, 5, 5),)},
        ),
        (ConceptPrompt(exemplars_xyxy=((0, 61, 5, 65),)), "exemplars_xyxy"),
        (EverythingPrompt(), {}),
    ],
)
def test_against_image(prompt, expected):
    asked = ObjectPrompt((prompt,)) if isinstance(prompt, PromptedObject) else prompt
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=f"^{expected}: expected .* 80 x 60 pixels, got "):
            fit_to_image(asked, (60, 80))
        return
    fitted = fit_to_image(asked, (60, 80))
    found = fitted.objects[0] if isinstance(fitted, ObjectPrompt) else fitted
    assert found == dataclasses.replace(prompt, **expected)
    assert (fitted is asked) == (not expected), "what fits is not validated again"


def test_a_mask_to_refine_stays_when_the_box_is_clipped():
    prompted = PromptedObject(box_xyxy=(-5, 0, 10, 10), mask_input=LOGITS)
    fitted = fit_to_image(ObjectPrompt((prompted,)), (60, 80))
    assert isinstance(fitted, ObjectPrompt)
    assert fitted.objects[0].mask_input is LOGITS
