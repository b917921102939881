"""A real Label Studio: predictions for a project, a click, a rectangle, a wrong password.

The first run starts Label Studio once for its migrations (minutes) and keeps the data
folder beside its virtual environment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_3.engine import ConceptPrompt
from infer_segment_anything_3.serving.model import ServedModel
from infer_segment_anything_3.serving.settings import Settings
from infer_segment_anything_3.tests.helpers import compute_iou
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene, draw_scene

from ..label_studio.test_predict import keypoint, rectangle
from ..live_server import run_server

pytestmark = pytest.mark.clients

TOKEN = "0123456789abcdef0123456789abcdef01234567"
LABELS = ("red circle", "blue square")
TASKS = 20
GOOD_IOU = 0.9
# The configuration of Label Studio's own page on SAM 3, with names that the model knows.
CONFIG = """
<View>
  <Image name="image" value="$image" zoom="true" zoomControl="true"/>
  <BrushLabels name="tag" toName="image" smart="false">
    <Label value="red circle" background="#FF0000"/>
    <Label value="blue square" background="#0d14d3"/>
  </BrushLabels>
  <KeyPointLabels name="tag2" toName="image" smart="true">
    <Label value="red circle" background="#000000" showInline="true"/>
    <Label value="blue square" background="#000000" showInline="true"/>
  </KeyPointLabels>
  <RectangleLabels name="tag3" toName="image" smart="true">
    <Label value="red circle" background="#000000" showInline="true"/>
    <Label value="blue square" background="#000000" showInline="true"/>
  </RectangleLabels>
</View>
"""


@contextlib.contextmanager
def run_label_studio(programs: Path, data: Path) -> Iterator[httpx.Client]:
    """Runs Label Studio on a data folder; gives a client that is logged in."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_USERNAME": "user@example.com",
        "LABEL_STUDIO_PASSWORD": "password1",
        "LABEL_STUDIO_USER_TOKEN": TOKEN,
        # Without these two it refuses a backend in a private network.
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "COLLECT_ANALYTICS": "False",
        "SENTRY_DSN": "",
    }
    command = [programs / "label-studio", "start", "--no-browser", "--internal-host", "127.0.0.1"]
    log = data.with_suffix(".log")
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "-p", str(port), "--data-dir", data],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Token {TOKEN}"}
        with httpx.Client(base_url=address, headers=headers, timeout=180) as client:
            _wait_until_up(client, process, log)
            yield client
    finally:
        process.terminate()
        process.wait(60)


def _wait_until_up(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 1200
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        with contextlib.suppress(httpx.TransportError):
            if client.get("/api/projects").status_code == 200:
                return
        time.sleep(1)
    raise AssertionError(log.read_text()[-3000:])


@pytest.fixture(scope="module")
def studio(
    label_studio: Path, clients_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    kept = clients_home / "label-studio-data"
    if not (kept / "migrated").exists():
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir()
        with run_label_studio(label_studio, kept):
            pass
        (kept / "migrated").touch()
    data = Path(shutil.copytree(kept, tmp_path_factory.mktemp("label-studio") / "data"))
    with run_label_studio(label_studio, data) as client:
        yield client


@pytest.fixture(scope="module")
def backend(served: ServedModel, studio: httpx.Client) -> Iterator[str]:
    settings = dataclasses.replace(
        Settings(),
        label_studio_url=str(studio.base_url).rstrip("/"),
        label_studio_api_key=TOKEN,
        basic_auth_user="model",
        basic_auth_pass="model-password",
    )
    with run_server(served, settings) as address:
        yield address


@pytest.fixture(scope="module")
def scenes(served: ServedModel) -> list[Scene]:
    """Scenes that the model gets right, so that what is lost is lost on the way."""
    found: list[Scene] = []
    rng = np.random.default_rng(5)
    while len(found) < TASKS:
        scene = draw_scene(rng, (240, 480), (1, 3), extent_range=(0.3, 0.4))
        truth = {text: scene.find_matching(text) for text in LABELS}
        if not any(truth.values()):
            continue
        result = served.engine.segment(scene.image, ConceptPrompt(LABELS))
        masks = {
            text: [i.mask.full() for i in result.instances if LABELS[i.class_index] == text]
            for text in LABELS
        }
        if all(
            len(masks[text]) == len(truth[text])
            and all(
                max(compute_iou(m, s.mask) for m in masks[text]) >= GOOD_IOU for s in truth[text]
            )
            for text in LABELS
        ):
            found.append(scene)
    return found


@pytest.fixture(scope="module")
def project(studio: httpx.Client, scenes: list[Scene]) -> dict[str, Any]:
    """A project with the scenes as tasks: its id, and the ids of its tasks in their order."""
    created = studio.post("/api/projects", json={"title": "shapes", "label_config": CONFIG})
    project_id = created.json()["id"]
    for number, scene in enumerate(scenes):
        buffer = io.BytesIO()
        Image.fromarray(scene.image).save(buffer, "PNG")
        files = {"file": (f"scene-{number:02}.png", buffer.getvalue(), "image/png")}
        assert studio.post(f"/api/projects/{project_id}/import", files=files).status_code == 201
    tasks = studio.get("/api/tasks", params={"project": project_id, "page_size": 100}).json()
    ids = sorted(task["id"] for task in tasks["tasks"])
    assert len(ids) == TASKS
    return {"id": project_id, "tasks": ids}


def connect(studio: httpx.Client, project: dict[str, Any], url: str, password: str) -> Any:
    return studio.post(
        "/api/ml",
        json={
            "url": url,
            "project": project["id"],
            "title": "SAM 3",
            "is_interactive": True,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": "model",
            "basic_auth_pass": password,
        },
    )


@pytest.fixture(scope="module")
def model_id(studio: httpx.Client, project: dict[str, Any], backend: str) -> int:
    answer = connect(studio, project, backend, "model-password")
    assert answer.status_code == 201, answer.text
    assert answer.json()["state"] == "CO", answer.json()
    return int(answer.json()["id"])


def decode_all(programs: Path, regions: list[dict[str, Any]]) -> list[np.ndarray]:
    """Masks of regions, by Label Studio's own converter."""
    sizes = [(region["original_height"], region["original_width"]) for region in regions]
    given = [[r["value"]["rle"], hw] for r, hw in zip(regions, sizes, strict=True)]
    script = Path(__file__).with_name("decode_with_label_studio.py")
    run = subprocess.run(
        [programs / "python", script],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    masks = []
    for changes, (height, width) in zip(json.loads(run.stdout), sizes, strict=True):
        flat = np.zeros(height * width, bool)
        for start, end in zip(changes[::2], changes[1::2], strict=True):
            flat[start:end] = True
        masks.append(flat.reshape(height, width))
    return masks


def test_a_wrong_password_is_a_clear_error(
    studio: httpx.Client, project: dict[str, Any], backend: str
) -> None:
    answer = connect(studio, project, backend, "wrong")
    text = json.dumps(answer.json())
    assert answer.status_code >= 400 or answer.json()["state"] == "ER"
    assert "401" in text or "BASIC_AUTH" in text, text
    for model in studio.get("/api/ml", params={"project": project["id"]}).json():
        studio.delete(f"/api/ml/{model['id']}")


def test_predictions_are_fetched_stored_and_right(
    studio: httpx.Client,
    project: dict[str, Any],
    model_id: int,
    scenes: list[Scene],
    label_studio: Path,
) -> None:
    url = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project['id']}"
    started = studio.post(url, json={"selectedItems": {"all": True, "excluded": []}})
    assert started.status_code == 200, started.text
    predictions = studio.get("/api/predictions", params={"project": project["id"]}).json()
    assert sorted(p["task"] for p in predictions) == project["tasks"], "one answer a task"
    (version,) = {p["model_version"] for p in predictions}
    assert version.startswith("tiny_shapes-")
    scene_of = dict(zip(project["tasks"], scenes, strict=True))
    regions = [(p["task"], region) for p in predictions for region in p["result"]]
    masks = decode_all(label_studio, [region for _, region in regions])
    expected = sum(len(scene.find_matching(text)) for scene in scenes for text in LABELS)
    assert len(regions) == expected
    for (task, region), mask in zip(regions, masks, strict=True):
        (text,) = region["value"]["brushlabels"]
        assert (
            max(compute_iou(mask, s.mask) for s in scene_of[task].find_matching(text)) >= GOOD_IOU
        )


@pytest.mark.parametrize("draw", [keypoint, rectangle])
def test_a_click_and_a_rectangle(
    studio: httpx.Client,
    project: dict[str, Any],
    model_id: int,
    scenes: list[Scene],
    label_studio: Path,
    draw: Any,
) -> None:
    index, circle = next(
        (index, scene.find_matching("red circle")[0])
        for index, scene in enumerate(scenes)
        if scene.find_matching("red circle")
    )
    answer = studio.post(
        f"/api/ml/{model_id}/interactive-annotating",
        json={"task": project["tasks"][index], "context": {"result": [draw(circle)]}},
    )
    assert answer.status_code == 200, answer.text
    (region,) = answer.json()["data"]["result"]
    assert region["value"]["brushlabels"] == ["red circle"]
    (mask,) = decode_all(label_studio, [region])
    assert compute_iou(mask, circle.mask) >= 0.85
