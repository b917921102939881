"""/sam3/video/*: frames one by one; sessions are few, their key's own, and end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_api
from starlette.testclient import TestClient

from infer_segment_anything_3.engine import ConceptPrompt, Engine, VideoSession
from infer_segment_anything_3.serving.errors import ApiError, BusyError
from infer_segment_anything_3.serving.roboflow.video_sessions import VideoSessions
from infer_segment_anything_3.serving.video_runs import VideoRuns
from infer_segment_anything_3.tests.helpers import compute_iou

from ..conftest import base64_source, to_file

HW = (200, 280)
URL = "/sam3/video"


def draw_frame(t: int) -> np.ndarray:
    image = np.full((*HW, 3), (205, 208, 200), np.uint8)
    cv2.circle(image, (60 + 3 * t, 70), 28, (220, 40, 40), -1)
    return cv2.circle(image, (200, 130), 28, (50, 70, 220), -1)


def step(client: TestClient, session_id: str, t: int = 0, **fields: Any) -> Any:
    image = base64_source(to_file(draw_frame(t)))
    return client.post(f"{URL}/step", json={"session_id": session_id, "image": image, **fields})


def start(client: TestClient, **fields: Any) -> Any:
    return client.post(f"{URL}/start", json={"texts": ["red circle", "blue circle"], **fields})


def test_ids_are_stable_and_masks_right(make_client: Callable[..., TestClient]) -> None:
    client = make_client()
    session_id = start(client).json()["session_id"]
    ids: dict[str, set[int]] = {}
    for t in range(4):
        row = step(client, session_id, t).json()
        assert (row["frame"], row["width"], row["height"]) == (t, HW[1], HW[0])
        for item in row["instances"]:
            ids.setdefault(item["category"], set()).add(item["track_id"])
        (red,) = [item for item in row["instances"] if item["category"] == "red circle"]
        truth = (draw_frame(t) == (220, 40, 40)).all(axis=-1)
        assert compute_iou(mask_api.decode(red["segmentation"]).astype(bool), truth) > 0.8
    assert {name: len(found) for name, found in ids.items()} == {"red circle": 1, "blue circle": 1}
    assert client.post(f"{URL}/end", json={"session_id": session_id}).status_code == 200
    for answer in (
        step(client, session_id),
        client.post(f"{URL}/end", json={"session_id": session_id}),
    ):
        assert answer.status_code == 404
        assert answer.json()["message"].startswith("session_id: no video session")


def test_a_session_belongs_to_its_key(make_client: Callable[..., TestClient]) -> None:
    client = make_client()
    session_id = start(client, api_key="mine").json()["session_id"]
    assert step(client, session_id, api_key="other").status_code == 404
    body = {"session_id": session_id, "api_key": "other"}
    assert client.post(f"{URL}/end", json=body).status_code == 404
    assert step(client, session_id, api_key="mine").status_code == 200


def test_every_route_asks_for_the_key(make_client: Callable[..., TestClient]) -> None:
    client = make_client(api_key="secret")
    assert start(client).status_code == step(client, "any").status_code == 401
    assert client.post(f"{URL}/end", json={"session_id": "any"}).status_code == 401


def test_sessions_are_few(make_client: Callable[..., TestClient]) -> None:
    client = make_client(max_videos=2)
    first, _ = (start(client).json()["session_id"] for _ in range(2))
    busy = start(client)
    assert busy.status_code == 503 and busy.headers["retry-after"]
    client.post(f"{URL}/end", json={"session_id": first})
    assert start(client).status_code == 200


def test_a_wrong_frame_leaves_the_session(make_client: Callable[..., TestClient]) -> None:
    client = make_client()
    session_id = start(client).json()["session_id"]
    assert step(client, session_id).status_code == 200
    other = base64_source(to_file(np.zeros((50, 60, 3), np.uint8)))
    body = {"session_id": session_id, "image": other}
    wrong = client.post(f"{URL}/step", json=body)
    assert wrong.status_code == 422 and "image" in wrong.json()["message"]
    body["image"] = {"type": "file", "value": "/etc/hostname"}
    assert client.post(f"{URL}/step", json=body).status_code == 400
    assert step(client, session_id, 1).json()["frame"] == 1


@pytest.mark.parametrize(
    ("fields", "name"),
    [({"texts": []}, "texts"), ({"texts": ["a"] * 17}, "texts"), ({"texts": [" "]}, "texts")],
)
def test_wrong_texts_are_refused(client: TestClient, fields: dict[str, Any], name: str) -> None:
    answer = start(client, **fields)
    assert answer.status_code == 422
    assert answer.json()["message"].startswith(name)


@pytest.fixture
def session(tiny_engine: Engine) -> VideoSession:
    return VideoSession(tiny_engine, ConceptPrompt(("circle",)))


def test_one_step_at_a_time(session: VideoSession) -> None:
    async def try_twice() -> None:
        sessions = VideoSessions(VideoRuns(1))
        session_id = await sessions.start("me", session)
        with (
            sessions.use("me", session_id),
            pytest.raises(ApiError, match="409"),
            sessions.use("me", session_id),
        ):
            pass
        with sessions.use("me", session_id) as again:
            assert again is session
        sessions.close()

    asyncio.run(try_twice())


def test_an_idle_session_ends_but_not_during_a_step(session: VideoSession) -> None:
    async def wait() -> None:
        runs = VideoRuns(1)
        sessions = VideoSessions(runs, idle_s=0.05)
        session_id = await sessions.start("me", session)
        with sessions.use("me", session_id):
            await asyncio.sleep(0.15)
            with pytest.raises(BusyError):
                await sessions.start("me", session)
        while len(sessions):
            await asyncio.sleep(0.01)
        while runs.running:
            await asyncio.sleep(0.01)
        await sessions.start("me", session)
        sessions.close()

    asyncio.run(wait())
