"""Roboflow's classes, answered in this process: the examples of its page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_3.serving.errors import ApiError
from infer_segment_anything_3.serving.roboflow.in_process import (
    Sam3ForInteractiveImageSegmentation,
    Sam3Prompt,
    SegmentAnything3,
    load_rgb,
)
from infer_segment_anything_3.tests.helpers import compute_iou
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene

from .test_concepts import GOOD_IOU, decode, xywh, xyxy
from .test_objects import inside


@pytest.fixture
def image_path(shapes_scene: Scene, tmp_path: Path) -> str:
    path = tmp_path / "image.png"
    Image.fromarray(shapes_scene.image).save(path)
    return str(path)


def test_the_example_of_concepts(shapes_scene: Scene, image_path: str) -> None:
    circle, square = (shapes_scene.find_matching(t)[0] for t in ("red circle", "blue square"))
    model = SegmentAnything3(model_id="tiny_shapes")
    prompts = [
        Sam3Prompt(type="text", text="red circle"),
        Sam3Prompt(type="visual", boxes=[Sam3Prompt.Box(**xywh(circle))], box_labels=[1]),
        Sam3Prompt(
            type="visual",
            text="red circle",
            boxes=[Sam3Prompt.BoxXYXY(**xyxy(circle)), Sam3Prompt.BoxXYXY(**xyxy(square))],
            box_labels=[1, 0],
        ),
    ]
    response = model.segment_image(
        image=image_path, prompts=prompts, output_prob_thresh=0.5, format="polygon"
    )
    texts = [result.echo.text for result in response.prompt_results]
    assert texts == ["red circle", None, "red circle"]
    for result in response.prompt_results:
        masks = [decode(p.model_dump(), circle.image_hw) for p in result.predictions]
        assert max(compute_iou(mask, circle.mask) for mask in masks) > GOOD_IOU
        assert all(p.confidence > 0.5 for p in result.predictions)
    rle = model.segment_image(image_path, [{"text": "red circle"}], format="rle")
    assert rle.prompt_results[0].predictions[0].format == "rle"
    with pytest.raises(ApiError, match=r"prompts\[0\]\.boxes"):
        model.segment_image(image_path, [{"type": "visual"}])


def test_the_example_of_clicks(shapes_scene: Scene, image_path: str) -> None:
    circle = shapes_scene.find_matching("red circle")[0]
    model = Sam3ForInteractiveImageSegmentation(model_id="tiny_shapes")
    _, img_shape, image_id = model.embed_image(image=image_path)
    assert img_shape == circle.image_hw
    masks, scores, logits = model.segment_image(
        image_id=image_id, prompts={"points": [inside(circle)]}
    )
    assert masks.shape == (1, *circle.image_hw) and scores.shape == (1,) and len(logits) == 1
    assert compute_iou(masks[0], circle.mask) > GOOD_IOU
    with pytest.raises(KeyError):
        model.segment_image(image_id="other", prompts={"points": [inside(circle)]})


def test_arrays_are_bgr_as_of_opencv(shapes_scene: Scene, image_path: str) -> None:
    expected = shapes_scene.image
    for image in (expected[..., ::-1], Image.fromarray(expected), image_path):
        assert np.array_equal(load_rgb(image), expected)
