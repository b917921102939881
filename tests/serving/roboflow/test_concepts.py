"""/sam3/concept_segment: prompts, thresholds, formats, errors."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_api
from starlette.testclient import TestClient

from infer_segment_anything_3.tests.helpers import compute_iou
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene

URL = "/sam3/concept_segment"
GOOD_IOU = 0.8


def decode(prediction: dict[str, Any], hw: tuple[int, int]) -> np.ndarray:
    """A prediction's mask, by pycocotools or OpenCV alone."""
    masks = prediction["masks"]
    if prediction["format"] == "rle":
        return mask_api.decode(masks).astype(bool)
    filled = np.zeros(hw, np.uint8)
    for ring in masks:
        cv2.fillPoly(filled, [np.array(ring)], 1)
    return filled.astype(bool)


def xywh(shape: Any) -> dict[str, float]:
    left, top, right, bottom = map(float, shape.xyxy)
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def xyxy(shape: Any) -> dict[str, float]:
    return dict(zip(("x0", "y0", "x1", "y1"), map(float, shape.xyxy), strict=True))


@pytest.fixture
def ask(client: TestClient, scene_source: dict[str, str]) -> Any:
    def ask(prompts: list[dict[str, Any]], **fields: Any) -> Any:
        return client.post(URL, json={"image": scene_source, "prompts": prompts, **fields})

    return ask


@pytest.mark.parametrize("mask_format", ["polygon", "rle", "json"])
def test_each_text_gets_its_own_answer(ask: Any, shapes_scene: Scene, mask_format: str) -> None:
    texts = ["red circle", "blue square", "red circle"]
    answer = ask([{"type": "text", "text": text} for text in texts], format=mask_format).json()
    assert answer["time"] > 0
    assert len(answer["prompt_results"]) == 3
    for index, (text, result) in enumerate(zip(texts, answer["prompt_results"], strict=True)):
        assert result["prompt_index"] == index
        assert result["echo"] == {
            "prompt_index": index, "type": "text", "text": text, "num_boxes": 0
        }  # fmt: skip
        truth = shapes_scene.find_matching(text)
        assert len(result["predictions"]) == len(truth)
        for shape in truth:
            found = [decode(p, shapes_scene.image.shape[:2]) for p in result["predictions"]]
            assert max(compute_iou(mask, shape.mask) for mask in found) > GOOD_IOU
        assert all(0.5 < p["confidence"] <= 1 for p in result["predictions"])
        expected = "rle" if mask_format == "rle" else "polygon"
        assert all(p["format"] == expected for p in result["predictions"])


@pytest.mark.parametrize("form", [xywh, xyxy])
def test_an_exemplar_finds_its_like(ask: Any, shapes_scene: Scene, form: Any) -> None:
    (circle,) = shapes_scene.find_matching("red circle")[:1]
    answer = ask([{"type": "visual", "boxes": [form(circle)], "box_labels": [1]}], format="rle")
    (result,) = answer.json()["prompt_results"]
    assert (result["echo"]["type"], result["echo"]["num_boxes"]) == ("visual", 1)
    masks = [decode(p, shapes_scene.image.shape[:2]) for p in result["predictions"]]
    assert max(compute_iou(mask, circle.mask) for mask in masks) > GOOD_IOU


def test_text_with_a_negative_exemplar(ask: Any, shapes_scene: Scene) -> None:
    circle, square = (shapes_scene.find_matching(t)[0] for t in ("red circle", "blue square"))
    prompt = {
        "type": "visual",
        "text": "red circle",
        "boxes": [xywh(circle), xyxy(square)],
        "box_labels": [1, 0],
    }
    (result,) = ask([prompt], format="rle").json()["prompt_results"]
    assert result["echo"] == {
        "prompt_index": 0, "type": "visual", "text": "red circle", "num_boxes": 2
    }  # fmt: skip
    masks = [decode(p, shapes_scene.image.shape[:2]) for p in result["predictions"]]
    assert max(compute_iou(mask, circle.mask) for mask in masks) > GOOD_IOU
    assert all(compute_iou(mask, square.mask) < 0.1 for mask in masks)


def test_a_prompts_own_threshold_beats_the_requests(ask: Any) -> None:
    prompts = [{"text": "circle"}, {"text": "square", "output_prob_thresh": 0.0}]
    low, all_of_them = ask(prompts, output_prob_thresh=0.5, format="rle").json()["prompt_results"]
    assert all(p["confidence"] > 0.5 for p in low["predictions"])
    # 0 is a threshold: upstream takes it for none and answers as at 0.5.
    assert min(p["confidence"] for p in all_of_them["predictions"]) < 0.5


def test_nms_drops_what_two_prompts_claim(ask: Any) -> None:
    prompts = [{"text": "red circle"}, {"text": "circle"}]
    count = lambda answer: sum(len(r["predictions"]) for r in answer.json()["prompt_results"])  # noqa: E731
    both, one = ask(prompts, format="rle"), ask(prompts, format="rle", nms_iou_threshold=0.7)
    assert count(one) < count(both)
    assert len(one.json()["prompt_results"]) == 2


@pytest.mark.parametrize(
    ("prompts", "fields", "named"),
    [
        ([], {}, "prompts: "),
        ([{"text": "a"}] * 17, {}, "prompts: "),
        ([{}], {}, "prompts[0]: "),
        ([{"text": "  "}], {}, "prompts[0]: "),
        ([{"type": "visual"}], {}, "prompts[0].boxes: "),
        ([{"type": "text"}], {}, "prompts[0].text: "),
        ([{"type": "point"}], {}, "prompts[0].type: "),
        ([{"text": "a"}, {"text": "\x00"}], {}, "prompts[1].text: "),
        ([{"text": "a" * 300}], {}, "prompts[0].text: "),
        ([{"boxes": [{"x": 1, "y": 1, "width": 5, "height": 5}]}], {}, "prompts[0].box_labels: "),
        (
            [{"boxes": [{"x": 1, "y": 1, "width": 5, "height": 5}], "box_labels": [0]}],
            {},
            "prompts[0].text: ",
        ),
        (
            [{"boxes": [{"x": 1, "y": 1, "width": 5, "height": 5}], "box_labels": [2]}],
            {},
            "prompts[0].box_labels[0]: ",
        ),
        (
            [{"boxes": [{"x": 1, "y": 1, "width": 0, "height": 5}], "box_labels": [1]}],
            {},
            "prompts[0].boxes[0].xywh.width: ",
        ),
        (
            [{"boxes": [{"x0": 9, "y0": 1, "x1": 5, "y1": 5}], "box_labels": [1]}],
            {},
            "prompts[0].boxes: ",
        ),
        (
            [{"boxes": [{"x0": 9e5, "y0": 1, "x1": 9.1e5, "y1": 5}], "box_labels": [1]}],
            {},
            "prompts[0].boxes: ",
        ),
        ([{"boxes": [None], "box_labels": [1]}], {}, "prompts[0].boxes[0]"),
        ([{"text": "a"}], {"format": "png"}, "format: "),
        ([{"text": "a"}], {"output_prob_thresh": 2}, "output_prob_thresh: "),
        ([{"text": "a"}], {"nms_iou_threshold": "x"}, "nms_iou_threshold: "),
        ([{"text": "a"}], {"image": None}, "image: "),
        ([{"text": "a"}], {"image": []}, "image: "),
    ],
)
def test_a_wrong_field_is_named(
    ask: Any, prompts: list[dict[str, Any]], fields: dict[str, Any], named: str
) -> None:
    answer = ask(prompts, **fields)
    assert answer.status_code == 422
    message = answer.json()["message"]
    assert message.startswith(named), message
    assert "\n" not in message


def test_bodies_that_are_no_json_are_refused(client: TestClient) -> None:
    for body in (b"", b"{", b"[" * 100_000, b'{"prompts": NaN}', b"\xff\xfe", b"null", b"[]"):
        answer = client.post(URL, content=body, headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500, body[:20]
        assert answer.json()["message"]


def test_the_raw_example_draws_the_first_ring(ask: Any, shapes_scene: Scene) -> None:
    response = ask([{"text": "red circle"}], format="polygon")
    img = shapes_scene.image[..., ::-1].copy()
    # As on Roboflow's page: OpenCV takes whole numbers only.
    polygon_arr = np.array(response.json()["prompt_results"][0]["predictions"][0]["masks"][0])
    cv2.polylines(img, [polygon_arr], True, (0, 200, 200), 3)
    drawn = (img == (0, 200, 200)).all(axis=-1)
    outline = shapes_scene.find_matching("red circle")[0].mask.astype(np.uint8)
    band = cv2.dilate(outline, np.ones((9, 9))) - cv2.erode(outline, np.ones((9, 9)))
    assert drawn.sum() > 2 * np.sqrt(np.pi * outline.sum())
    assert (drawn & band.astype(bool)).sum() > 0.95 * drawn.sum()
