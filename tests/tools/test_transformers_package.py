"""``transformers`` gets an engine's weights, so that the two can be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from infer_segment_anything_3.benchmarks.context import click, draw_image, get_click_xy
from infer_segment_anything_3.engine import ConceptPrompt, Engine
from infer_segment_anything_3.engine.checkpoints.layouts import (
    convert_to_model_names,
    recognize_layout,
)
from infer_segment_anything_3.tools.random_weights import build_random_model, choose_threshold
from infer_segment_anything_3.tools.transformers_models import SMALL
from infer_segment_anything_3.tools.transformers_package import TransformersPackage


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(build_random_model(SMALL), SMALL.image_size, "float32")


@pytest.fixture(scope="module")
def theirs(engine: Engine) -> TransformersPackage:
    return TransformersPackage(engine, SMALL)


@pytest.mark.parametrize("part", ["detector", "tracker"])
def test_every_weight_is_copied(engine: Engine, theirs: TransformersPackage, part: str) -> None:
    state = getattr(theirs, part).state_dict()
    back = convert_to_model_names(state, recognize_layout(state, Path(part)))
    expected = engine.model.state_dict()
    for name, tensor in back.items():
        wanted = expected[name]
        if name.endswith("trunk.pos_embed"):  # whose first row is of a class token that no one has
            tensor, wanted = tensor[:, 1:], wanted[:, 1:]
        assert torch.equal(tensor, wanted), name


def test_masks_of_a_batch_are_the_same(engine: Engine, theirs: TransformersPackage) -> None:
    images = [draw_image(1, (200, 300)), draw_image(2, (150, 220))]
    threshold = choose_threshold(engine, images[0], "circle", wanted=5)
    (found,) = theirs.segment_texts(images, ["circle"], threshold)
    for image, masks in zip(images, found, strict=True):
        result = engine.segment(image, ConceptPrompt(("circle",), confidence_threshold=threshold))
        assert 0 < len(result.instances) == len(masks)
        areas = [instance.mask.full().mean() for instance in result.instances]
        assert sorted(areas) == pytest.approx(sorted(m.numpy().mean() for m in masks), abs=1e-3)


def test_click_is_about_the_same(engine: Engine, theirs: TransformersPackage) -> None:
    # Not exactly: transformers 5.24 adds the embedding for "no memory" to another feature map.
    image = draw_image(1, (200, 300))
    (instance,) = click(engine, image).instances
    mask = theirs.click(image, get_click_xy(image)).numpy()
    assert 0.1 < mask.mean() < 0.9
    assert np.mean(mask != (instance.mask.full() != 0)) < 0.02
