"""/predict: pre-annotation, clicks and rectangles, one answer for each task."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from infer_segment_anything_3.serving.label_studio import routes
from infer_segment_anything_3.serving.label_studio.labeling_config import parse_labeling_config
from infer_segment_anything_3.tests.helpers import compute_iou
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene, Shape

from ..conftest import ImageServer, to_file
from .rle_decoder import decode_brush_rle
from .test_labeling_config import config, tag

BRUSH = config(tag("BrushLabels"), tag("KeyPointLabels", "points"), tag("RectangleLabels", "boxes"))
GOOD_IOU = 0.8


def data_uri(scene: Scene) -> str:
    return "data:image/png;base64," + base64.b64encode(to_file(scene.image)).decode()


def keypoint(shape: Shape, positive: bool | None = True) -> dict[str, Any]:
    height, width = shape.image_hw
    rows, columns = np.nonzero(shape.mask)
    region: dict[str, Any] = {
        "type": "keypointlabels",
        "from_name": "points",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "value": {
            "x": 100 * columns.mean() / width,
            "y": 100 * rows.mean() / height,
            "width": 0.4,
            "keypointlabels": [f"{shape.color} {shape.kind}"],
        },
    }
    return region if positive is None else {**region, "is_positive": positive}


def rectangle(shape: Shape, label: str = "red circle") -> dict[str, Any]:
    height, width = shape.image_hw
    left, top, right, bottom = shape.xyxy
    value = {
        "x": 100 * left / width,
        "y": 100 * top / height,
        "width": 100 * (right - left) / width,
        "height": 100 * (bottom - top) / height,
        "rotation": 0,
        "rectanglelabels": [label],
    }
    return {"type": "rectanglelabels", "value": value}


@pytest.fixture
def predict(client: TestClient, shapes_scene: Scene) -> Callable[..., list[dict[str, Any]]]:
    """Asks as Label Studio does; without tasks, for one of the scene."""

    def predict(
        label_config: str = BRUSH, regions: Any = None, tasks: list[dict[str, Any]] | None = None
    ) -> list[dict[str, Any]]:
        context = None if regions is None else {"result": regions}
        answer = client.post(
            "/predict",
            json={
                "tasks": tasks or [{"id": 1, "data": {"image": data_uri(shapes_scene)}}],
                "project": "1.1790000000",
                "label_config": label_config,
                "params": {"login": None, "password": None, "context": context},
            },
        )
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        assert len(results) == len(tasks or [1])
        return results

    return predict


def test_labels_are_asked_for_before_annotation(
    predict: Callable[..., Any], shapes_scene: Scene, client: TestClient
) -> None:
    (prediction,) = predict()
    height, width = shapes_scene.image.shape[:2]
    for text in ("red circle", "blue square"):
        regions = [r for r in prediction["result"] if r["value"]["brushlabels"] == [text]]
        shapes = shapes_scene.find_matching(text)
        assert len(regions) == len(shapes)
        for region in regions:
            assert (region["original_width"], region["original_height"]) == (width, height)
            assert (region["type"], region["from_name"], region["to_name"]) == (
                "brushlabels", "tag", "image"
            )  # fmt: skip
            mask = decode_brush_rle(region["value"]["rle"], (height, width))
            assert max(compute_iou(mask, shape.mask) for shape in shapes) > GOOD_IOU
            assert 0.5 < region["score"] <= 1
    assert len({region["id"] for region in prediction["result"]}) == len(prediction["result"])
    assert 0.5 < prediction["score"] <= 1
    versions = client.get("/versions").json()["versions"]
    assert versions == [prediction["model_version"]]


def test_polygons_and_rectangles(predict: Callable[..., Any], shapes_scene: Scene) -> None:
    height, width = shapes_scene.image.shape[:2]
    circle = shapes_scene.find_matching("red circle")[0]
    (prediction,) = predict(config(tag("PolygonLabels")))
    masks = []
    for region in prediction["result"]:
        if region["value"]["polygonlabels"] == ["red circle"]:
            points = np.array(region["value"]["points"]) * (width / 100, height / 100)
            masks.append(np.zeros((height, width), np.uint8))
            cv2.fillPoly(masks[-1], [np.round(points).astype(int)], 1)
    assert max(compute_iou(mask.astype(bool), circle.mask) for mask in masks) > GOOD_IOU
    (prediction,) = predict(config(tag("RectangleLabels")))
    boxes = []
    for region in prediction["result"]:
        value = region["value"]
        if value["rectanglelabels"] == ["red circle"]:
            boxes.append([value["x"], value["y"], value["width"], value["height"]])
    left, top, right, bottom = circle.xyxy
    truth = np.array([left, top, right - left, bottom - top]) * 100
    truth /= [width, height, width, height]
    assert np.abs(np.array(boxes) - truth).max(axis=1).min() < 3


@pytest.mark.parametrize("positive", [True, None, 1])
def test_a_click_gives_its_object(
    predict: Callable[..., Any], shapes_scene: Scene, positive: Any
) -> None:
    circle = shapes_scene.find_matching("red circle")[0]
    (prediction,) = predict(regions=[keypoint(circle, positive)])
    (region,) = prediction["result"]
    assert region["value"]["brushlabels"] == ["red circle"]
    assert region["from_name"] == "tag", "drawn with the brush, not with the point"
    mask = decode_brush_rle(region["value"]["rle"], circle.image_hw)
    assert compute_iou(mask, circle.mask) > GOOD_IOU


def test_rectangles_give_an_object_each(predict: Callable[..., Any], shapes_scene: Scene) -> None:
    shapes = [shapes_scene.find_matching(text)[0] for text in ("red circle", "blue square")]
    (prediction,) = predict(
        regions=[rectangle(shapes[0]), rectangle(shapes[1], "blue square"), keypoint(shapes[0])]
    )
    assert [r["value"]["brushlabels"] for r in prediction["result"]] == [
        ["red circle"], ["blue square"]
    ]  # fmt: skip
    for region, shape in zip(prediction["result"], shapes, strict=True):
        mask = decode_brush_rle(region["value"]["rle"], shape.image_hw)
        assert compute_iou(mask, shape.mask) > GOOD_IOU


def test_a_second_point_refines_and_drafts_are_ignored(
    make_client: Callable[..., TestClient], shapes_scene: Scene
) -> None:
    client = make_client()  # which has seen no click yet
    circle, square = (shapes_scene.find_matching(t)[0] for t in ("red circle", "blue square"))
    points = [keypoint(circle), keypoint(square, positive=False)]
    draft = {"type": "brushlabels", "value": {"format": "rle", "rle": [0] * 100}}
    task = {"id": 1, "data": {"image": data_uri(shapes_scene)}, "drafts": [{"result": [draft]}]}

    def ask(regions: list[dict[str, Any]]) -> dict[str, Any]:
        params = {"context": {"result": regions}}
        body = {"tasks": [task], "label_config": BRUSH, "params": params}
        (prediction,) = client.post("/predict", json=body).json()["results"]
        return prediction

    alone = ask(points)
    ask(points[:1])
    refined = ask([points[0], draft, points[1]])
    assert refined["score"] != alone["score"], "the first answer's logits were fed back"
    (region,) = refined["result"]
    mask = decode_brush_rle(region["value"]["rle"], circle.image_hw)
    assert compute_iou(mask, circle.mask) > GOOD_IOU


def test_every_task_is_answered_whatever_becomes_of_it(
    predict: Callable[..., Any], shapes_scene: Scene, client: TestClient
) -> None:
    good = data_uri(shapes_scene)
    addresses = [good, "data:image/png;base64,xxxx", "/data/upload/1/a.png", None, "s3://b/k", good]
    tasks = [{"id": n, "data": {"image": a}} for n, a in enumerate(addresses)]
    results = predict(tasks=tasks)
    for failed in results[1:5]:
        assert (failed["result"], failed["score"]) == ([], 0.0)
        assert failed["error"]
        assert failed["model_version"] not in client.get("/versions").json()["versions"]
    assert "LABEL_STUDIO_URL" in results[2]["error"]
    for answered in (results[0], results[5]):
        assert answered["result"] and "error" not in answered


def test_an_answer_is_bounded_over_all_tasks(
    predict: Callable[..., Any], shapes_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_ANSWER_BYTES", 1_000)
    tasks = [{"id": n, "data": {"image": data_uri(shapes_scene)}} for n in range(3)]
    first, *others = predict(tasks=tasks)
    assert first["result"]
    assert [other["result"] for other in others] == [[], []]
    assert all("tasks: the answers to those before" in other["error"] for other in others)


@pytest.mark.parametrize(
    "regions",
    [
        [],
        "all",
        [5],
        [{"type": "keypointlabels"}],
        [{"type": "keypointlabels", "value": {"x": "left", "y": 0}}],
        [{"type": "keypointlabels", "value": {"x": 5, "y": 5}, "is_positive": False}],
        [{"type": "rectanglelabels", "value": {"x": 5, "y": 5, "width": 0, "height": 5}}],
        [{"type": "rectanglelabels", "value": {"x": 5, "y": 5}}],
        [{"type": "brushlabels", "value": {}}],
        [{"type": "keypoint", "value": {"x": 5, "y": 5}}] * 1001,
    ],
)
def test_a_wrong_context_fails_its_task_alone(predict: Callable[..., Any], regions: Any) -> None:
    (prediction,) = predict(regions=regions)
    assert prediction["result"] == []
    assert prediction["error"].startswith("context.result")


def test_set_up_says_what_is_wrong_with_a_configuration(client: TestClient) -> None:
    good = client.post("/setup", json={"project": "1.1", "schema": BRUSH, "access_token": "t"})
    assert good.json() == {"model_version": client.get("/versions").json()["versions"][0]}
    new = client.post("/setup", json={"project": "1.1", "schema": "<View></View>"})
    assert new.status_code == 200, "a project may be configured later"
    bad = client.post("/setup", json={"schema": config(tag("Choices"))})
    assert bad.status_code == 422
    assert "BrushLabels" in bad.json()["message"]


@pytest.mark.parametrize(
    ("step", "path"),
    [
        ("parse_labeling_config", "/setup"),
        ("parse_labeling_config", "/predict"),
        ("regions_to_objects", "/predict"),
        ("instances_to_regions", "/predict"),
    ],
)
def test_others_are_answered_while_a_request_is_parsed(
    client: TestClient,
    shapes_scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    path: str,
) -> None:
    begun, release = threading.Event(), threading.Event()
    real = getattr(routes, step)

    def wait(*arguments: Any) -> Any:
        begun.set()
        assert release.wait(60)
        return real(*arguments)

    monkeypatch.setattr(routes, step, wait)
    body = {
        "schema": BRUSH,
        "label_config": BRUSH,
        "tasks": [{"id": 1, "data": {"image": data_uri(shapes_scene)}}],
        "params": {"context": {"result": [keypoint(shapes_scene.shapes[0])]}},
    }
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.post, path, json=body)
        try:
            assert begun.wait(60)
            answer = client.get("/health")
            assert not asked.done()
        finally:
            release.set()
    assert answer.status_code == 200
    assert asked.result().status_code == 200


def test_a_configuration_is_parsed_once_for_all_tasks(
    predict: Callable[..., Any], shapes_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []

    def parse(xml: str) -> Any:
        parsed.append(xml)
        return parse_labeling_config(xml)

    monkeypatch.setattr(routes, "parse_labeling_config", parse)
    task = {"data": {"image": data_uri(shapes_scene)}}
    assert len(predict(tasks=[{"id": k, **task} for k in range(3)])) == 3
    assert len(parsed) == 1


def test_the_rest_of_the_protocol(client: TestClient) -> None:
    assert client.get("/").json() == {"status": "UP"}
    assert client.get("/health").json()["status"] == "UP"
    assert client.get("/metrics").json() == {}
    assert client.post("/webhook", json={"action": "ANNOTATION_CREATED"}).status_code == 200
    assert client.post("/predict", json={"tasks": []}).status_code == 422
    too_many = {"tasks": [{}] * 1001, "label_config": BRUSH}
    assert client.post("/predict", json=too_many).status_code == 422


class TestStorage:
    """Where the images of tasks come from."""

    @pytest.fixture
    def studio(self, image_server: ImageServer, shapes_scene: Scene) -> ImageServer:
        image_server.files["/data/upload/1/a.png"] = to_file(shapes_scene.image)
        return image_server

    def ask(self, client: TestClient, address: str, task_id: Any = 7) -> dict[str, Any]:
        tasks = [{"id": task_id, "data": {"image": address}}]
        answer = client.post("/predict", json={"tasks": tasks, "label_config": BRUSH})
        (result,) = answer.json()["results"]
        return result

    def test_uploads_with_a_legacy_token(
        self, make_client: Callable[..., TestClient], studio: ImageServer
    ) -> None:
        client = make_client(label_studio_url=studio.url, label_studio_api_key="0123abcd")
        assert self.ask(client, "/data/upload/1/a.png")["result"]
        ((_, headers),) = studio.requests
        assert headers["Authorization"] == "Token 0123abcd"

    def test_uploads_with_a_personal_access_token(
        self, make_client: Callable[..., TestClient], studio: ImageServer
    ) -> None:
        studio.files["/api/token/refresh/"] = b'{"access": "short.lived.token"}'
        client = make_client(label_studio_url=studio.url, label_studio_api_key="eyJ.per.sonal")
        for _ in range(2):
            assert self.ask(client, "/data/upload/1/a.png")["result"]
        paths = [path for path, _ in studio.requests]
        assert paths.count("/api/token/refresh/") == 1, "exchanged once, not for each image"
        assert studio.requests[-1][1]["Authorization"] == "Bearer short.lived.token"

    def test_a_wrong_token_is_named(
        self, make_client: Callable[..., TestClient], studio: ImageServer
    ) -> None:
        studio.files["/data/upload/1/a.png"] = (401, {}, b"{}")
        client = make_client(label_studio_url=studio.url, label_studio_api_key="wrong")
        assert "check LABEL_STUDIO_API_KEY" in self.ask(client, "/data/upload/1/a.png")["error"]

    def test_cloud_storage_is_signed_by_label_studio(
        self, make_client: Callable[..., TestClient], studio: ImageServer, shapes_scene: Scene
    ) -> None:
        storage = ImageServer()
        try:
            storage.files["/signed?key=1"] = to_file(shapes_scene.image)
            encoded = base64.urlsafe_b64encode(b"s3://bucket/a b.png").decode()
            redirect = (303, {"Location": f"{storage.url}/signed?key=1"}, b"")
            studio.files[f"/tasks/7/presign/?fileuri={encoded}"] = redirect
            client = make_client(
                label_studio_url=studio.url,
                label_studio_api_key="0123abcd",
                allowed_image_hosts=frozenset({storage.origin}),
            )
            assert self.ask(client, "s3://bucket/a b.png")["result"]
            ((_, headers),) = storage.requests
            assert "Authorization" not in headers, "the token goes to Label Studio alone"
            assert "tasks.id" in self.ask(client, "s3://bucket/a b.png", "../x")["error"]
        finally:
            storage.close()

    def test_local_files_below_the_root(
        self, make_client: Callable[..., TestClient], tmp_path, shapes_scene: Scene
    ) -> None:
        root, secret = tmp_path / "root", tmp_path / "secret.png"
        root.mkdir()
        (root / "a b.png").write_bytes(to_file(shapes_scene.image))
        secret.write_bytes(to_file(shapes_scene.image))
        (root / "link.png").symlink_to(secret)
        client = make_client(local_files_root=str(root))
        assert self.ask(client, "/data/local-files/?d=a%20b.png")["result"]
        for name in (
            "../secret.png",
            "link.png",
            str(secret),
            "",
            "none.png",
            "%00",
            ".",
            "a" * 5000,
        ):
            failed = self.ask(client, f"/data/local-files/?d={name}")
            assert "LOCAL_FILES_DOCUMENT_ROOT" in failed["error"], name
            assert not failed["result"]
