"""/sam3/embed_image and /sam3/visual_segment: clicks, boxes, ids, refinement, no prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.tests.helpers import compute_iou
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene, Shape

from .test_concepts import GOOD_IOU, decode

URL = "/sam3/visual_segment"


def inside(shape: Shape, positive: bool = True) -> dict[str, Any]:
    rows, columns = np.nonzero(shape.mask)
    nearest = np.argmin((columns - columns.mean()) ** 2 + (rows - rows.mean()) ** 2)
    return {"x": int(columns[nearest]), "y": int(rows[nearest]), "positive": positive}


def centered(shape: Shape) -> dict[str, float]:
    left, top, right, bottom = map(float, shape.xyxy)
    return {
        "x": (left + right) / 2, "y": (top + bottom) / 2,
        "width": right - left, "height": bottom - top,
    }  # fmt: skip


@pytest.fixture
def circle(shapes_scene: Scene) -> Shape:
    return shapes_scene.find_matching("red circle")[0]


@pytest.fixture
def image_id(client: TestClient, scene_source: dict[str, str]) -> str:
    answer = client.post("/sam3/embed_image", json={"image": scene_source}).json()
    assert answer["time"] > 0
    return str(answer["image_id"])


def test_a_click_on_an_embedded_image_does_not_encode_it_again(
    client: TestClient, image_id: str, circle: Shape, tiny_engine: Engine
) -> None:
    before = tiny_engine.encodings
    prompts = [{"points": [inside(circle)]}]
    answer = client.post(
        URL, json={"image_id": image_id, "prompts": prompts, "multimask_output": False}
    )
    (prediction,) = answer.json()["predictions"]
    assert prediction["format"] == "polygon"
    assert compute_iou(decode(prediction, circle.image_hw), circle.mask) > GOOD_IOU
    assert tiny_engine.encodings == before


@pytest.mark.parametrize("nested", ["list", "set", "one"])
def test_every_form_of_prompts(
    client: TestClient, image_id: str, circle: Shape, nested: str
) -> None:
    one = {"points": [inside(circle)], "box": centered(circle)}
    prompts: Any = {"list": [one], "set": {"prompts": [one]}, "one": one}[nested]
    answer = client.post(URL, json={"image_id": image_id, "prompts": prompts, "format": "rle"})
    (prediction,) = answer.json()["predictions"]
    assert compute_iou(decode(prediction, circle.image_hw), circle.mask) > GOOD_IOU


def test_boxes_are_given_by_their_center(
    client: TestClient, image_id: str, shapes_scene: Scene
) -> None:
    shapes = [shapes_scene.find_matching(text)[0] for text in ("red circle", "blue square")]
    prompts = [{"box": centered(shape)} for shape in shapes]
    answer = client.post(URL, json={"image_id": image_id, "prompts": prompts, "format": "rle"})
    predictions = answer.json()["predictions"]
    assert len(predictions) == 2, "one answer a prompt"
    for prediction, shape in zip(predictions, shapes, strict=True):
        assert compute_iou(decode(prediction, shape.image_hw), shape.mask) > GOOD_IOU


@pytest.mark.parametrize("prompts", [None, [], {"prompts": None}])
def test_without_prompts_everything_is_segmented(
    client: TestClient, image_id: str, shapes_scene: Scene, prompts: Any
) -> None:
    body = {"image_id": image_id, "prompts": prompts, "format": "rle", "points_per_side": 8}
    predictions = client.post(URL, json=body).json()["predictions"]
    masks = [decode(p, shapes_scene.image.shape[:2]) for p in predictions]
    for text in ("red circle", "blue square"):
        shape = shapes_scene.find_matching(text)[0]
        assert max(compute_iou(mask, shape.mask) for mask in masks) > GOOD_IOU


def test_a_second_click_refines_the_first_mask(
    client: TestClient, image_id: str, shapes_scene: Scene, circle: Shape
) -> None:
    other = shapes_scene.find_matching("blue square")[0]

    def ask(points: list[dict[str, Any]], **fields: bool) -> Any:
        body = {"image_id": image_id, "prompts": [{"points": points}], "format": "rle", **fields}
        return client.post(URL, json=body).json()["predictions"]

    points = [inside(circle), inside(other, positive=False)]
    alone = ask(points)
    assert ask(points, load_logits_from_cache=True) == alone, "nothing was stored"
    ask(points[:1], save_logits_to_cache=True)
    (refined,) = ask(points, load_logits_from_cache=True)
    assert refined["confidence"] != alone[0]["confidence"]
    assert compute_iou(decode(refined, circle.image_hw), circle.mask) > GOOD_IOU
    moved = [{**points[0], "x": points[0]["x"] + 1}, points[1]]
    assert ask(moved, load_logits_from_cache=True) == ask(moved), "a moved point starts afresh"


def test_an_id_of_ones_own(client: TestClient, scene_source: dict[str, str]) -> None:
    answer = client.post("/sam3/embed_image", json={"image": scene_source, "image_id": "mine"})
    assert answer.json()["image_id"] == "mine"
    body = {"image_id": "mine", "prompts": [{"text": "circle"}]}
    assert client.post("/sam3/concept_segment", json=body).json()["prompt_results"]


def test_ids_cannot_be_guessed(client: TestClient, scene_source: dict[str, str]) -> None:
    ids = {
        client.post("/sam3/embed_image", json={"image": scene_source}).json()["image_id"]
        for _ in range(4)
    }
    assert len(ids) == 4
    assert all(len(image_id) >= 20 for image_id in ids)


@pytest.mark.parametrize(
    ("fields", "status", "named"),
    [
        ({"image_id": "unknown"}, 404, "image_id: "),
        ({}, 422, "image: "),
        ({"prompts": [{}]}, 422, "prompts[0].points: "),
        ({"prompts": [{"points": [{"x": -5, "y": 1}]}]}, 422, "prompts[0].points: "),
        ({"prompts": [{"points": [{"x": 1}]}]}, 422, "prompts[0].points[0].y: "),
        ({"prompts": [{"points": [{"x": 1, "y": 1}] * 1001}]}, 422, "prompts[0].points: "),
        ({"prompts": [{"points": [{"x": 1, "y": 1}]}] * 101}, 422, "prompts: "),
        (
            {"prompts": [{"box": {"x": -50, "y": -50, "width": 9, "height": 9}}]},
            422,
            "prompts[0].box: ",
        ),
        ({"prompts": "all"}, 422, "prompts: "),
        ({"multimask_output": "maybe"}, 422, "multimask_output: "),
    ],
)
def test_a_wrong_field_is_named(
    client: TestClient, image_id: str, fields: dict[str, Any], status: int, named: str
) -> None:
    body = {"image_id": image_id, **fields} if fields else {"prompts": None}
    answer = client.post(URL, json=body)
    assert answer.status_code == status
    assert answer.json()["message"].startswith(named)
