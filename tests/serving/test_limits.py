"""Bounds: bodies, the queue, clients that are slow or go away."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.serving.errors import BusyError
from infer_segment_anything_3.serving.model import ServedModel
from infer_segment_anything_3.serving.settings import Settings
from infer_segment_anything_3.serving.worker import Group, ModelWorker

from .live_server import run_server

EMBED = "/sam3/embed_image"


@pytest.fixture(scope="module")
def address(served: ServedModel) -> Iterator[str]:
    with run_server(served, dataclasses.replace(Settings(), max_body_mb=1)) as address:
        yield address


def test_a_large_body_is_refused_by_its_header_and_by_counting(address: str) -> None:
    announced = httpx.post(address + EMBED, content=bytes(1_000_001))
    assert announced.status_code == 413
    assert announced.json()["message"] == "body: expected at most 1 MB"

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(50_000)

    headers = {"content-type": "application/json"}
    counted = httpx.post(address + EMBED, content=pieces(), headers=headers)
    assert counted.status_code == 413
    assert httpx.get(address + "/info").status_code == 200


def test_a_slow_client_holds_no_model(address: str, scene_source: dict[str, str]) -> None:
    port = int(address.rpartition(":")[2])
    head = f"POST {EMBED} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(70)]
    try:
        for connection in slow:
            connection.sendall(head.encode() + b'Content-Length: 1000\r\n\r\n{"image":')
        answer = httpx.post(address + EMBED, json={"image": scene_source}, timeout=20)
        assert answer.status_code == 200
        assert httpx.get(address + "/readiness").json()["waiting"] == 0
    finally:
        for connection in slow:
            connection.close()


def test_a_client_that_goes_away_frees_its_place(
    address: str, scene_source: dict[str, str]
) -> None:
    body = {"image": scene_source, "points_per_side": 100}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(address + "/sam3/visual_segment", json=body, timeout=0.5)
    deadline = time.monotonic() + 10
    while httpx.get(address + "/readiness").json()["waiting"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert httpx.get(address + "/readiness").json()["waiting"] == 0
    answer = httpx.post(address + EMBED, json={"image": scene_source}, timeout=30)
    assert answer.status_code == 200


def test_a_full_queue_says_when_to_come_back(
    make_client: Callable[..., TestClient], scene_source: dict[str, str]
) -> None:
    client = make_client()
    worker = client.app.state.service.worker
    free, worker.max_places = worker.max_places, 0
    body: dict[str, Any] = {"image": scene_source, "prompts": [{"text": "circle"}]}
    for route in ("embed_image", "concept_segment"):
        answer = client.post(f"/sam3/{route}", json=body)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "busy" in answer.json()["message"]
    assert client.get("/readiness").status_code == 503
    assert client.get("/health").status_code == 200
    worker.max_places = free
    assert client.post("/sam3/concept_segment", json=body).status_code == 200


def test_requests_at_the_same_time_share_one_encoding(
    address: str, tiny_engine: Engine, scene: Callable[..., Any]
) -> None:
    from .conftest import base64_source, to_file

    source = base64_source(to_file(scene(4321).image))
    before = tiny_engine.encodings
    answers: list[int] = []

    def ask(text: str) -> None:
        body = {"image": source, "prompts": [{"text": text}]}
        answers.append(
            httpx.post(address + "/sam3/concept_segment", json=body, timeout=60).status_code
        )

    names = ("circle", "star", "square", "triangle")
    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 4
    assert tiny_engine.encodings == before + 1


class TestModelWorker:
    """The queue by itself."""

    def test_more_requests_than_places_are_refused(self) -> None:
        async def fill() -> None:
            worker = ModelWorker(2)
            here, there = Group(host="here"), Group(host="there")
            async with worker.hold_place(here):
                with pytest.raises(BusyError):  # one client has half of the places at most
                    async with worker.hold_place(Group(host="here", route="/other")):
                        pass
                async with worker.hold_place(there):
                    with pytest.raises(BusyError):
                        async with worker.hold_place(Group(host="elsewhere")):
                            pass
            async with worker.hold_place(here):
                assert worker.places_taken == 1
            worker.close()

        asyncio.run(fill())

    def test_a_cancelled_job_that_waits_never_runs(self) -> None:
        ran: list[str] = []

        async def cancel() -> None:
            worker = ModelWorker()
            release = threading.Event()

            async def hold(job: Callable[..., Any]) -> Any:
                async with worker.hold_place(Group()):
                    return await worker.run(job, Group())

            first = asyncio.create_task(hold(lambda step: release.wait(10)))
            second = asyncio.create_task(hold(lambda step: ran.append("second")))
            await asyncio.sleep(0.05)
            assert worker.places_taken == 2
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
            assert worker.places_taken == 1
            release.set()
            assert await first
            assert await hold(lambda step: "third") == "third"
            worker.close()

        asyncio.run(cancel())
        assert not ran

    def test_a_cancelled_job_that_runs_ends_at_its_next_step(self) -> None:
        steps: list[int] = []

        def count_steps(step: Callable[[str], None]) -> None:
            for number in range(1000):
                step("counting")
                steps.append(number)
                time.sleep(0.01)

        async def cancel() -> None:
            worker = ModelWorker()
            task = asyncio.create_task(worker.run(count_steps, Group()))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await worker.run(lambda step: "next", Group()) == "next"
            worker.close()

        asyncio.run(cancel())
        assert 0 < len(steps) < 500


def test_unknown_routes_and_workflows_are_json(client: TestClient) -> None:
    assert client.get("/nothing").json()["message"] == "Not Found"
    for path in ("/workflows/run", "/infer/workflows/me/mine", "/me/workflows/mine"):
        answer = client.post(path, content=json.dumps({}))
        assert answer.status_code == 501
        assert "/sam3/concept_segment" in answer.json()["message"]


def test_what_the_server_says_of_itself(client: TestClient) -> None:
    info = client.get("/info").json()
    assert {"name", "version", "uuid", "model", "device"} <= set(info)
    assert info["model"] == "tiny_shapes" and info["supports_objects"]
    (model,) = client.get("/model/registry").json()["models"]
    assert model["model_id"] == "sam3/tiny_shapes" and model["input_height"] == 280
