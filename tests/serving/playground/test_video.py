"""A video sent to the server: a line for each frame, in bounds, gone when the client goes away."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from pycocotools import mask as mask_api
from starlette.testclient import TestClient
from starlette.types import Message, Scope

from infer_segment_anything_3.engine.video_files import VideoWriter
from infer_segment_anything_3.serving.middleware import RequestGate
from infer_segment_anything_3.serving.model import ServedModel
from infer_segment_anything_3.serving.settings import Settings

from ..live_server import run_server

FRAMES = 5
HW = (200, 280)


def write_film(path: Path, frames: int, hw: tuple[int, int] = HW) -> bytes:
    with VideoWriter(path, 10) as writer:
        for t in range(frames):
            image = np.full((*hw, 3), (205, 208, 200), np.uint8)
            cv2.circle(image, (60 + 3 * (t % 20), 70), 28, (220, 40, 40), -1)
            writer.write(cv2.circle(image, (200, 130), 28, (50, 70, 220), -1))
    return path.read_bytes()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4", FRAMES)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def follow(client: Any, film: bytes, text: str = "circle", **options: Any) -> Any:
    return client.post("/playground/video", params={"text": text}, content=film, **options)


def read(answer: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


def test_each_frame_is_a_line(
    make_client: Callable[..., TestClient], film: bytes, temporary: Path
) -> None:
    answer = follow(make_client(), film)
    assert answer.status_code == 200
    head, *rows = read(answer)
    assert head == {"frames": FRAMES, "fps": 10.0}
    assert [row["frame"] for row in rows] == list(range(FRAMES))
    for row in rows:
        assert sorted(i["track_id"] for i in row["instances"]) == [0, 1]
        assert {i["category"] for i in row["instances"]} == {"circle"}
    mask = mask_api.decode(rows[0]["instances"][0]["segmentation"])
    assert mask.shape == HW
    assert mask.sum() > 1500
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "text", "settings", "status", "message"),
    [
        (None, "", {}, 422, "text: expected 1 to 16 concepts"),
        (None, ",".join(map(str, range(17))), {}, 422, "text: expected 1 to 16 concepts"),
        (b"no video", "circle", {}, 400, "video: expected a video file"),
        (b"", "circle", {}, 400, "video: expected a video file"),
        (None, "circle", {"max_video_frames": 4}, 413, "at most 4 frames, got 5"),
        (None, "circle", {"max_pixels": 1000}, 413, "at most 1,000 pixels"),
        (None, "circle", {"api_key": "secret"}, 401, "api_key: the key is missing"),
    ],
)
def test_what_is_refused(
    make_client: Callable[..., TestClient],
    film: bytes,
    temporary: Path,
    content: bytes | None,
    text: str,
    settings: dict[str, Any],
    status: int,
    message: str,
) -> None:
    client = make_client(**settings)
    answer = follow(client, film if content is None else content, text)
    assert answer.status_code == status
    assert message in answer.json()["message"]
    assert list(temporary.iterdir()) == []
    assert client.app.state.video_runs.running == 0  # type: ignore[attr-defined]


def test_the_key_and_the_password_open_it(
    make_client: Callable[..., TestClient], film: bytes
) -> None:
    client = make_client(api_key="secret")
    assert follow(client, film, headers={"Authorization": "Bearer secret"}).status_code == 200
    guarded = make_client(basic_auth_user="me", basic_auth_pass="word")
    assert follow(guarded, film).status_code == 401
    assert follow(guarded, film, auth=("me", "word")).status_code == 200


@pytest.fixture
def address(served: ServedModel) -> Iterator[str]:
    with run_server(served, Settings(max_videos=1)) as address:
        yield address


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_true() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert is_true()


def test_others_get_their_turn_and_a_client_that_goes_away_frees_everything(
    address: str, tmp_path: Path, temporary: Path, scene_source: dict[str, str]
) -> None:
    long = write_film(tmp_path / "long.mp4", 300)
    with httpx.Client(base_url=address, timeout=60) as client:
        with client.stream(
            "POST", "/playground/video", params={"text": "circle"}, content=long
        ) as answer:
            lines = answer.iter_lines()
            assert json.loads(next(lines))["frames"] == 300
            assert json.loads(next(lines))["frame"] == 0
            assert len(list(temporary.iterdir())) == 1
            with httpx.Client(base_url=address, timeout=60) as other:
                body = {"image": scene_source, "prompts": [{"type": "text", "text": "star"}]}
                assert other.post("/sam3/concept_segment", json=body).status_code == 200
                click = {"image": scene_source, "prompts": [{"points": [{"x": 60, "y": 60}]}]}
                assert other.post("/sam3/visual_segment", json=click).status_code == 200
                busy = other.post("/playground/video", params={"text": "star"}, content=long)
                assert busy.status_code == 503
                assert busy.headers["Retry-After"]
            # The video was not over when the others were answered.
            assert json.loads(next(lines))["frame"] == 1
        wait_until(lambda: not list(temporary.iterdir()))
        again = client.post(
            "/playground/video",
            params={"text": "circle"},
            content=write_film(tmp_path / "short.mp4", 2),
        )
        assert len(again.text.splitlines()) == 3


def test_a_client_that_stops_reading_is_dropped(
    make_client: Callable[..., TestClient], film: bytes, temporary: Path
) -> None:
    app: Any = make_client().app
    gate = RequestGate(app, ["*"], 10_000_000, read_deadline_s=0.2)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) > 2:  # the head was read, the first frame is not
            await asyncio.Event().wait()

    async def ask() -> None:
        messages = iter([{"type": "http.request", "body": film, "more_body": False}])

        async def receive() -> Message:
            for message in messages:
                return message
            await asyncio.Event().wait()
            raise AssertionError

        await asyncio.wait_for(gate(make_scope(), receive, send), 30)

    asyncio.run(ask())
    assert [message["type"] for message in sent][:2] == [
        "http.response.start",
        "http.response.body",
    ]
    assert len(sent) == 3
    assert list(temporary.iterdir()) == []
    assert app.state.video_runs.running == 0


def make_scope() -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/playground/video",
        "raw_path": b"/playground/video",
        "query_string": b"text=circle",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 9090),
    }
