"""Roboflow's page, example by example: with the real ``inference-sdk`` and with curl."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from infer_segment_anything_3.serving.model import ServedModel
from infer_segment_anything_3.serving.settings import Settings
from infer_segment_anything_3.tests.helpers import compute_iou
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene, Shape

from ..conftest import ImageServer, to_file
from ..live_server import run_server
from ..roboflow.test_concepts import GOOD_IOU, decode, xywh, xyxy
from ..roboflow.test_objects import centered, inside

pytestmark = pytest.mark.clients

KEY = "?api_key=<YOUR_API_KEY>"


@pytest.fixture(scope="module")
def pictures(shapes_scene: Scene) -> Iterator[ImageServer]:
    server = ImageServer()
    for name in ("sample.jpg", "people-walking.jpg", "dog.jpeg"):
        server.files[f"/inference/{name}"] = to_file(shapes_scene.image, "JPEG", quality=95)
    yield server
    server.close()


@pytest.fixture(scope="module")
def address(served: ServedModel, pictures: ImageServer) -> Iterator[str]:
    allowed = frozenset({pictures.origin})
    with run_server(served, dataclasses.replace(Settings(), allowed_image_hosts=allowed)) as at:
        yield at


@pytest.fixture
def circle(shapes_scene: Scene) -> Shape:
    return shapes_scene.find_matching("red circle")[0]


def is_found(predictions: list[dict[str, Any]], shape: Shape) -> bool:
    return max(compute_iou(decode(p, shape.image_hw), shape.mask) for p in predictions) > GOOD_IOU


def test_the_examples_of_the_sdk(
    inference_sdk: Path, address: str, pictures: ImageServer, circle: Shape
) -> None:
    script = Path(__file__).with_name("sdk_examples.py")
    url = pictures.url + "/inference/people-walking.jpg"
    point = {name: inside(circle)[name] for name in "xy"}
    command = [
        inference_sdk / "python",
        script,
        address,
        url,
        json.dumps(xywh(circle)),
        json.dumps(point),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    answers = json.loads(run.stdout.strip().splitlines()[-1])

    text, exemplar = answers["concepts"]["prompt_results"]
    assert (text["echo"]["type"], exemplar["echo"]["type"]) == ("text", "visual")
    assert is_found(text["predictions"], circle) and is_found(exemplar["predictions"], circle)
    assert is_found(answers["visual"]["predictions"], circle)
    assert answers["embed"]["image_id"] == "abc"
    results = answers["rle with nms"]["prompt_results"]
    assert sum(is_found(r["predictions"], circle) for r in results if r["predictions"]) == 1
    assert len(answers["list"]) == 2
    assert is_found(answers["async"]["prompt_results"][0]["predictions"], circle)
    for name in ("array", "key in header", "key in both", "v0", "no key"):
        assert answers[name]["prompt_results"][0]["echo"]["text"] == "star", name
    assert "predictions" in answers["automatic"]
    assert "image.value: expected an image file in base64" in answers["missing file"]["error"]
    assert answers["info"]["name"] == "infer_segment_anything_3"
    assert answers["models"]["models"][0]["model_id"] == "sam3/tiny_shapes"
    assert "requirements-workflows.txt" in answers["workflow"]["error"]


def curl(url: str, body: dict[str, Any]) -> Any:
    """The page's own command line."""
    command = ["curl", "-sS", "-X", "POST", url, "-H", "Content-Type: application/json"]
    run = subprocess.run([*command, "-d", json.dumps(body)], capture_output=True, check=True)
    return json.loads(run.stdout)


def test_concept_segmentation_by_text(address: str, pictures: ImageServer, circle: Shape) -> None:
    answer = curl(
        f"{address}/sam3/concept_segment{KEY}",
        {
            "image": {"type": "url", "value": pictures.url + "/inference/sample.jpg"},
            "prompts": [{"type": "text", "text": "cat"}, {"type": "text", "text": "red circle"}],
        },
    )
    assert [result["echo"]["text"] for result in answer["prompt_results"]] == ["cat", "red circle"]
    assert is_found(answer["prompt_results"][1]["predictions"], circle)


def test_concept_segmentation_by_examples(
    address: str, pictures: ImageServer, shapes_scene: Scene, circle: Shape
) -> None:
    square = shapes_scene.find_matching("blue square")[0]
    prompt = {
        "type": "visual",
        "text": "red circle",
        "boxes": [xywh(circle), xyxy(square)],
        "box_labels": [1, 0],
    }
    image = {"type": "url", "value": pictures.url + "/inference/sample.jpg"}
    body = {"image": image, "prompts": [prompt]}
    (result,) = curl(f"{address}/sam3/concept_segment{KEY}", body)["prompt_results"]
    assert is_found(result["predictions"], circle)


def test_visual_segmentation_in_two_steps(
    address: str, pictures: ImageServer, circle: Shape
) -> None:
    image = {"type": "url", "value": pictures.url + "/inference/sample.jpg"}
    image_id = curl(f"{address}/sam3/embed_image{KEY}", {"image": image})["image_id"]
    answer = curl(
        f"{address}/sam3/visual_segment{KEY}",
        {
            "image_id": image_id,
            "prompts": [{"points": [inside(circle)], "box": centered(circle)}],
            "multimask_output": False,
        },
    )
    assert is_found(answer["predictions"], circle)


def test_the_raw_api(address: str, pictures: ImageServer, circle: Shape) -> None:
    body = {
        "format": "polygon",
        "image": {"type": "url", "value": pictures.url + "/inference/dog.jpeg"},
        "prompts": [{"text": "red circle"}],
    }
    response = httpx.post(f"{address}/sam3/concept_segment{KEY}", json=body)
    polygon_arr = np.array(response.json()["prompt_results"][0]["predictions"][0]["masks"][0])
    img = np.zeros((*circle.image_hw, 3), np.uint8)
    cv2.polylines(img, [polygon_arr], True, (0, 200, 200), 3)
    assert img.any()
