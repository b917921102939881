"""The same weights at smaller sides of the model's input."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest

from infer_segment_anything_3.engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from infer_segment_anything_3.engine.checkpoints.zoo import resolve_input_size
from infer_segment_anything_3.engine.postprocess.nms import compute_mask_ious
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene


@pytest.mark.parametrize(
    ("model_name", "size", "expected"),
    [
        ("sam3", "auto", 1008),
        ("sam3", 672, 672),
        ("sam3", 336, 336),
        ("tiny_shapes", "auto", 280),
        ("tiny_shapes", 112, 112),
    ],
)
def test_sizes_that_a_model_has(model_name: str, size: int | str, expected: int) -> None:
    assert resolve_input_size(model_name, size) == expected


@pytest.mark.parametrize(
    ("model_name", "size", "message"),
    [
        (
            "sam3",
            504,
            r"^input_size: expected auto, 1008, 672, 336 with model_name sam3, got '504'",
        ),
        ("sam3", 280, "with model_name sam3"),
        ("tiny_shapes", 1008, "expected auto, 280, 224, 112 with model_name tiny_shapes"),
        ("sam3", True, "input_size"),
        ("sam3", "small", "input_size"),
    ],
)
def test_other_sizes_are_refused(model_name: str, size: int | str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Engine.load(model_name, "/no/such/file", "cpu", input_size=size)


def test_one_engine_for_each_size(tiny_engine: Engine) -> None:
    small = Engine.load("tiny_shapes", device="cpu", precision="float32", input_size=224)
    assert small is not tiny_engine
    assert small.image_size == 224
    assert Engine.load("tiny_shapes", None, "cpu", "float32", 224) is small
    assert Engine.load("tiny_shapes", None, "cpu", "float32", 280) is tiny_engine


@pytest.mark.parametrize("size", [224, 112])
def test_every_route_runs_at_a_smaller_size(
    tiny_engine: Engine, scene: Callable[..., Scene], size: int
) -> None:
    small = Engine.load("tiny_shapes", device="cpu", precision="float32", input_size=size)
    agreement: dict[int, list[float]] = defaultdict(list)
    for seed in range(3, 8):
        shown = scene(seed, count_range=(2, 2))
        prompts = (
            ConceptPrompt(texts=tuple(shape.kind for shape in shown.shapes[:1])),
            ObjectPrompt(
                tuple(PromptedObject(box_xyxy=shape.xyxy) for shape in shown.shapes),
                return_logits=True,
            ),
            ObjectPrompt((PromptedObject(points_xy=(center(shown, 0),)),), multimask=True),
        )
        # At 112 px the model, which never saw so few pixels, finds boxes' objects but few
        # concepts.
        for route in range(0 if size == 224 else 1, len(prompts)):
            found, expected = (
                sorted(
                    e.segment(shown.image, prompts[route]).instances,
                    key=lambda i: i.mask.origin_xy,
                )
                for e in (small, tiny_engine)
            )
            assert len(found) == len(expected)
            agreement[route] += [
                compute_mask_ious([one.mask, two.mask])[0, 1]
                for one, two in zip(found, expected, strict=True)
            ]
        logits = small.segment(shown.image, prompts[1]).instances[0].low_res_logits
        assert logits is not None
        assert logits.shape == (1, size // 14 * 4, size // 14 * 4)
    for ious in agreement.values():
        assert np.mean(ious) > (0.9 if size == 224 else 0.5)


def center(shown: Scene, index: int) -> tuple[float, float]:
    left, top, right, bottom = shown.shapes[index].xyxy
    return (left + right) / 2, (top + bottom) / 2
