"""The loss is the package's own, on encoded images as on pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from infer_segment_anything_3.engine.checkpoints.loader import load_model
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights
from infer_segment_anything_3.engine.model.config import TINY_SHAPES
from infer_segment_anything_3.training.data import read_split
from infer_segment_anything_3.training.features import FeatureFolder, encode_trunk
from infer_segment_anything_3.training.losses import compute_focal_loss_on
from infer_segment_anything_3.training.parts import AdaptedModel
from infer_segment_anything_3.training.prepare import Preparation, prepare_images
from infer_segment_anything_3.training.prompts import PromptCounts, StepDataSet, collate
from infer_segment_anything_3.training.task import ConceptTask


def test_focal_loss_on_a_cpu_is_the_formula() -> None:
    from sam3.train.loss import loss_fns

    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(5, 7, generator=generator)
    wanted = (torch.rand(5, 7, generator=generator) > 0.6).float()
    theirs = loss_fns.triton_sigmoid_focal_loss
    with compute_focal_loss_on(torch.device("cpu")):
        found = loss_fns.sigmoid_focal_loss(logits, wanted, 2, alpha=0.3, gamma=1.5)
    assert loss_fns.triton_sigmoid_focal_loss is theirs
    p = logits.sigmoid()
    right = torch.where(wanted > 0, p, 1 - p)
    weight = torch.where(wanted > 0, 0.3, 0.7)
    expected = (-weight * (1 - right) ** 1.5 * right.log()).mean(1).sum() / 2
    assert torch.allclose(found, expected, rtol=1e-5)


@pytest.fixture(scope="module")
def prepared(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    split, concepts = read_split("coco", str(scenes / "annotations.json"), str(scenes), {}, ())
    model = load_model("tiny_shapes", find_weights("tiny_shapes"), "cpu")
    folder = FeatureFolder(tmp_path_factory.mktemp("features"))
    device = torch.device("cpu")
    how = Preparation(model, TINY_SHAPES, folder, "w", device, None, True, True)
    with torch.no_grad():
        images = prepare_images(split.images, concepts, how, lambda done, total: None)
    return model, folder, images


def test_cached_loss_is_the_uncached_one(prepared: Any) -> None:
    model, folder, images = prepared
    task = ConceptTask(AdaptedModel(model, "detector", 4, 8), TINY_SHAPES.queries).train()
    items = [StepDataSet(images, PromptCounts(2, 0, 1), 99, 0)[i] for i in range(4)]

    def encode(image: Any) -> torch.Tensor:
        # What is kept is float16, so the same rounding makes the comparison one of the cache.
        with torch.no_grad():
            return encode_trunk(model, image.pixels[None])[0].half()

    losses = []
    for read in (lambda image: folder.read(image.key), encode, lambda image: image.pixels):
        batch = collate(items, read)
        losses.append({k: float(v) for k, v in task.compute_losses(**batch).items()})
    cached, uncached, exact = losses
    assert cached["core_loss"] > 1 and {"loss_mask", "loss_dice", "presence_loss"} <= set(cached)
    for name, value in cached.items():
        assert value == pytest.approx(uncached[name], abs=1e-5), name
    # What the rounding itself costs.
    assert cached["core_loss"] == pytest.approx(exact["core_loss"], rel=2e-3)


def test_boxes_alone_have_no_mask_loss(prepared: Any) -> None:
    import dataclasses

    model, folder, images = prepared
    task = ConceptTask(AdaptedModel(model, "fusion", 4, 8), TINY_SHAPES.queries).train()
    bare = [
        dataclasses.replace(
            image,
            own=tuple(
                dataclasses.replace(
                    a, targets=dataclasses.replace(a.targets, has_mask=a.targets.has_mask & False)
                )
                for a in image.own
            ),
        )
        for image in images
    ]
    items = [StepDataSet(bare, PromptCounts(2, 0, 0), 99, 0)[0]]
    losses = task.compute_losses(**collate(items, lambda image: folder.read(image.key)))
    assert "loss_mask" not in losses and losses["core_loss"] > 0
