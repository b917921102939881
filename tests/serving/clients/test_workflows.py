"""Roboflow's workflows: the real SDK, the real engine on the server, and attacks on it."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from infer_segment_anything_3.tests.helpers import compute_iou
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene, Shape

from ..conftest import ImageServer, to_file
from ..live_server import run_server_process
from ..roboflow.test_concepts import GOOD_IOU, decode
from ..roboflow.test_objects import inside
from ..workflows.test_specification import SAM, WORKFLOW, change, step

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def pictures(shapes_scene: Scene) -> Iterator[ImageServer]:
    server = ImageServer()
    server.files["/inference/dog.jpeg"] = to_file(shapes_scene.image, "PNG")
    yield server
    server.close()


@pytest.fixture(scope="module")
def address(
    workflow_engine: Path, pictures: ImageServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("workflows")
    (folder / "circles.json").write_text(json.dumps({"specification": WORKFLOW}))
    (folder / "broken.json").write_text("[1]")
    (folder.parent / "outside.json").write_text(json.dumps(WORKFLOW))
    settings = {
        "WORKFLOWS_FOLDER": str(folder),
        "ALLOWED_IMAGE_HOSTS": "{}:{}".format(*pictures.origin),
    }
    with run_server_process(
        workflow_engine / "python", folder.parent / "server.log", **settings
    ) as at:
        yield at


@pytest.fixture(scope="module")
def circle(shapes_scene: Scene) -> Shape:
    return shapes_scene.find_matching("red circle")[0]


@pytest.fixture
def run(address: str, scene_source: dict[str, str]) -> Any:
    """Runs a workflow; gives the response."""

    def run(specification: Any, **inputs: Any) -> httpx.Response:
        body = {"specification": specification, "inputs": {"image": scene_source, **inputs}}
        return httpx.post(f"{address}/workflows/run", json=body, timeout=180)

    return run


def to_mask(prediction: dict[str, Any], hw: tuple[int, int]) -> np.ndarray:
    if "rle_mask" in prediction:
        return decode({"format": "rle", "masks": prediction["rle_mask"]}, hw)
    ring = [[point["x"], point["y"]] for point in prediction["points"]]
    return decode({"format": "polygon", "masks": [np.array(ring, np.int32)]}, hw)


def find(found: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """The prediction that is the shape."""
    return max(
        found["predictions"], key=lambda p: compute_iou(to_mask(p, shape.image_hw), shape.mask)
    )


def check_found(found: dict[str, Any], shape: Shape, name: str | None) -> None:
    best = find(found, shape)
    assert compute_iou(to_mask(best, shape.image_hw), shape.mask) > GOOD_IOU
    assert name is None or best["class"] == name


def test_the_workflows_of_the_sdk(
    inference_sdk: Path,
    address: str,
    pictures: ImageServer,
    shapes_scene: Scene,
    circle: Shape,
    tmp_path: Path,
) -> None:
    script = Path(__file__).with_name("workflow_examples.py")
    point = {name: inside(circle)[name] for name in "xy"}
    url = pictures.url + "/inference/dog.jpeg"
    command = [inference_sdk / "python", script, address, url, tmp_path, json.dumps(point)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout.strip().splitlines()[-1])
    square = shapes_scene.find_matching("blue square")[0]

    drawn = cv2.imread(str(tmp_path / "output.png")).astype(int)
    before = shapes_scene.image[..., ::-1].astype(int)
    changed = (abs(drawn - before).max(axis=-1) > 60).astype(np.uint8)
    mask = np.zeros(circle.image_hw, np.uint8)
    for shape in shapes_scene.find_matching("red circle"):
        mask |= shape.mask.astype(np.uint8)
    band = cv2.dilate(mask, np.ones((13, 13))) - cv2.erode(mask, np.ones((13, 13)))
    assert changed.sum() > 2 * np.sqrt(np.pi * mask.sum()), "an outline is drawn"
    assert (changed & band).sum() > 0.95 * changed.sum(), "and only there"

    for name in ("comma list", "v2", "boxes of a step"):
        (answer,) = answers[name]
        check_found(answer["found"], circle, "red circle")
        check_found(answer["found"], square, "blue square")
    check_found(answers["v3 mapping"][0]["found"], circle, "ball")
    check_found(answers["v3 mapping"][0]["found"], square, "blue square")
    for name in ("points", "points as input"):
        check_found(answers[name][0]["found"], circle, None)
    first, mirrored, third = answers["batch"]
    check_found(first["found"], circle, "red circle")
    check_found(third["found"], circle, "red circle")
    width = circle.image_hw[1]
    centers = {round(width - p["x"]) for p in first["found"]["predictions"]}
    assert any(
        abs(p["x"] - center) < 8 for p in mirrored["found"]["predictions"] for center in centers
    )
    check_found(answers["parameter"][0]["found"], square, "blue square")
    (answer,) = answers["crops and counts"]
    assert answer["count"] == len(answer["found"]["predictions"]) == len(answer["crops"]) >= 2
    crop = cv2.imdecode(np.frombuffer(base64.b64decode(answer["crops"][0]), np.uint8), 1)
    box = answer["found"]["predictions"][0]
    assert crop.shape[:2] == pytest.approx((box["height"], box["width"]), abs=2)
    assert answers["segment the crops"][0]["found"]
    assert set(answers["excluded"][0]) == {"count"}
    for name in ("saved", "saved, old route"):
        check_found(answers[name][0]["found"], circle, "red circle")
    assert "No workflow 'squares' is stored here" in answers["not saved"]["error"]
    assert "inputs.image" in answers["missing file"]["error"]
    assert "nope" in answers["wrong reference"]["error"]
    assert "roboflow_core/webhook_sink@v1" in answers["webhook"]["error"]


def test_get_answers_as_post(address: str, scene_source: dict[str, str]) -> None:
    body = {"specification": WORKFLOW, "inputs": {"image": scene_source}}
    answer = httpx.request("GET", f"{address}/workflows/run", json=body, timeout=60)
    assert answer.status_code == 200 and answer.json()["outputs"][0]["found"]["predictions"]


def test_the_routes_that_describe(address: str) -> None:
    for body in (WORKFLOW, {"specification": WORKFLOW}):
        answer = httpx.post(f"{address}/workflows/validate", json=body)
        assert answer.json() == {"status": "ok"}
    wrong = change(steps=[step("roboflow_core/sam3@v1", name="other")])
    assert httpx.post(f"{address}/workflows/validate", json=wrong).status_code == 400
    answer = httpx.post(f"{address}/workflows/describe_interface", json={"specification": WORKFLOW})
    assert answer.json()["inputs"] == {"image": ["image"]}
    versions = httpx.get(f"{address}/workflows/execution_engine/versions").json()["versions"]
    assert any(version.startswith("1.") for version in versions)


def test_every_listed_block_is_the_engines(address: str) -> None:
    from infer_segment_anything_3.serving.workflows.specification import ALLOWED_BLOCKS

    for method in ("GET", "POST"):
        answer = httpx.request(method, f"{address}/workflows/blocks/describe", timeout=60)
        blocks = {block["manifest_type_identifier"] for block in answer.json()["blocks"]}
        assert blocks == ALLOWED_BLOCKS


PYTHON_BLOCK = {
    "type": "DynamicBlockDefinition",
    "manifest": {"type": "ManifestDescription", "block_type": "X", "inputs": {}},
    "code": {"type": "PythonCode", "run_function_code": "def run(self): return {}"},
}
SINK = step("roboflow_core/local_file_sink@v1", content="x", file_type="txt")
CYCLE = [
    step("roboflow_core/mask_visualization@v1", name="a", image="$steps.b.image"),
    step("roboflow_core/mask_visualization@v1", name="b", image="$steps.a.image"),
]


@pytest.mark.parametrize(
    ("specification", "words"),
    [
        (change(dynamic_blocks_definitions=[PYTHON_BLOCK]), "Python blocks"),
        (change(steps=[SAM, SINK]), "roboflow_core/local_file_sink@v1"),
        (change(steps=[step("roboflow_core/inner_workflow@v1")]), "inner_workflow"),
        (change(steps=[step("roboflow_core/environment_secrets_store@v1")]), "secrets_store"),
        (change(steps=[{**SAM, "name": f"s{i}"} for i in range(10_000)]), "at most 64, got 10,000"),
        (change(steps=CYCLE, outputs=[]), ""),
        (change(version="7.0"), ""),
        (change(steps=[step("roboflow_core/sam3@v1", model_id="yolov8n-640")]), "model_id"),
        (change(steps=[step("roboflow_core/sam3@v1", class_names=["a"] * 100)]), "prompts"),
        (change(steps=[step("roboflow_core/sam3@v1", threshold=7)]), ""),
    ],
)
def test_what_is_refused(run: Any, specification: Any, words: str) -> None:
    answer = run(specification)
    assert answer.status_code in (400, 422), answer.text
    assert words in answer.json()["message"] and answer.json()["message"]
    assert "Traceback" not in answer.text and "site-packages" not in answer.text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"type": "url", "value": "http://127.0.0.1:1/x.png"}, "the address is private"),
        ("http://169.254.169.254/latest/meta-data", "the address is private"),
        ({"type": "file", "value": "/etc/hostname"}, "expected url or base64"),
        ("/etc/hostname", "base64"),
        ({"type": "numpy", "value": "gASVAAAA"}, "pickled"),
        ({"type": "numpy_object", "value": [[1]]}, "expected url or base64"),
        ({"value": "x"}, "inputs.image.type"),
        ([["x"]] * 40, "a batch of at most 32"),
        (7, "inputs.image"),
    ],
)
def test_images_are_the_servers_own_business(run: Any, value: Any, words: str) -> None:
    answer = run(WORKFLOW, image=value)
    assert answer.status_code in (400, 422)
    assert words in answer.json()["message"]


@pytest.mark.parametrize("name", ["../outside", "..%2Foutside", "broken", "circles.json", "%00"])
def test_saved_workflows_lie_in_their_folder(address: str, name: str) -> None:
    for path in (f"/me/workflows/{name}", f"/infer/workflows/me/{name}"):
        answer = httpx.post(address + path, json={"inputs": {}})
        assert answer.status_code in (404, 405, 422)
        assert "steps" not in answer.text


def test_crops_of_crops_are_bounded(run: Any) -> None:
    steps = [SAM]
    for depth in range(20):
        images = f"$steps.crop{depth - 1}.crops" if depth else "$inputs.image"
        name = f"sam{depth}"
        steps.append(step("roboflow_core/sam3@v1", name=name, images=images, threshold=0.0))
        steps.append(
            step(
                "roboflow_core/dynamic_crop@v1",
                name=f"crop{depth}",
                images=images,
                predictions=f"$steps.{name}.predictions",
            )
        )
    answer = run(change(steps=steps, outputs=[]))
    assert answer.status_code == 422, answer.text
    assert "expected at most" in answer.json()["message"]


def test_every_route_asks_for_the_key(workflow_engine: Path, tmp_path: Path) -> None:
    routes = [
        "/workflows/run",
        "/infer/workflows",
        "/me/workflows/mine",
        "/infer/workflows/me/mine",
        "/workflows/validate",
        "/workflows/describe_interface",
        "/workflows/blocks/describe",
        "/workflows/execution_engine/versions",
    ]
    body = {"specification": WORKFLOW, "inputs": {}}
    with run_server_process(
        workflow_engine / "python", tmp_path / "log", SAM3_API_KEY="secret"
    ) as at:
        for route in routes:
            assert httpx.post(at + route, json=body).status_code == 401, route
            assert httpx.post(at + route, json={**body, "api_key": "x"}).status_code == 401, route
        good = httpx.post(f"{at}/workflows/validate?api_key=secret", json=body, timeout=60)
        assert good.json() == {"status": "ok"}


def test_a_client_that_leaves_frees_its_place(address: str, scene_source: dict[str, str]) -> None:
    steps = [
        {**SAM, "name": f"sam{i}", "class_names": [f"{name} {i}" for name in "abcdefgh"]}
        for i in range(60)
    ]
    body = {"specification": change(steps=steps, outputs=[]), "inputs": {"image": scene_source}}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{address}/workflows/run", json=body, timeout=httpx.Timeout(30, read=0.5))
    deadline = time.monotonic() + 30
    while httpx.get(f"{address}/readiness").json()["waiting"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_eight_clients_are_answered(run: Any, circle: Shape) -> None:
    run(WORKFLOW)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: run(WORKFLOW), range(40)))
    for answer in answers:
        check_found(answer.json()["outputs"][0]["found"], circle, "red circle")


SHAPES = {"red circle": (60, 70), "blue circle": (200, 60), "green circle": (70, 160)}
COLORS = {"red circle": (220, 40, 40), "blue circle": (50, 70, 220), "green circle": (40, 160, 60)}
RADIUS, HW = 26, (220, 320)


def locate(name: str, t: int) -> tuple[int, int]:
    x, y = SHAPES[name]
    return x + 2 * t, y


@pytest.mark.parametrize("where", ["server", "in-process"])
def test_the_pipeline_of_the_page(
    where: str, address: str, inference_pipeline: Path, checkout: Path, tmp_path: Path
) -> None:
    from infer_segment_anything_3.engine.video_files import VideoWriter

    frames = 24
    with VideoWriter(tmp_path / "clip.mp4", 10) as writer:
        for t in range(frames):
            image = np.full((*HW, 3), (205, 208, 200), np.uint8)
            for name, color in COLORS.items():
                cv2.circle(image, locate(name, t), RADIUS, color, -1)
            writer.write(image)
    examples = checkout / "examples" / "roboflow"
    environment = {
        **os.environ,
        "SAM3_SERVER": address if where == "server" else where,
        "MODEL": "tiny_shapes",
        "OFFLINE_MODE": "True",
    }
    done = subprocess.run(
        [
            inference_pipeline / "python",
            "video_pipeline.py",
            tmp_path / "clip.mp4",
            ",".join(SHAPES),
        ],
        cwd=examples,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(rows) == frames, done.stderr[-3000:]
    ids: dict[str, set[int]] = {}
    for t, row in enumerate(rows):
        assert len(row["instances"]) == 3
        for item in row["instances"]:
            ids.setdefault(item["class"], set()).add(item["id"])
            x, y = locate(item["class"], t)
            truth = (x - RADIUS, y - RADIUS, x + RADIUS + 1, y + RADIUS + 1)
            assert compute_box_iou(item["box"], truth) >= 0.8
    assert {name: len(found) for name, found in ids.items()} == dict.fromkeys(SHAPES, 1)
    assert len(set.union(*ids.values())) == 3


def compute_box_iou(box: Any, other: Any) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(0, width) * max(0, height)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return float(shared / (sum(areas) - shared))
