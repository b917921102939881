"""``/sam3/describe_segment``, with a scripted server in the language model's place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from infer_segment_anything_3.examples.agent_stand_in import answer_question
from infer_segment_anything_3.serving.description import runs
from infer_segment_anything_3.serving.settings import Settings, read_settings
from infer_segment_anything_3.tests.agent.scripted import KEY, segment, select, serve

from ..conftest import base64_source, to_file
from ..live_server import run_server

ROUTE = "/sam3/describe_segment"


@pytest.fixture(scope="module")
def image(shapes_scene: Any) -> dict[str, str]:
    return base64_source(to_file(shapes_scene.image))


def make_settings(url: str, **changes: Any) -> dict[str, Any]:
    return {"agent_url": url, "agent_key": KEY, "agent_model": "scripted", **changes}


def test_the_operators_model_chooses(make_client: Callable[..., Any], image: Any) -> None:
    with serve(answer_question, KEY) as server:
        client = make_client(**make_settings(server.url))
        body = {"image": image, "description": "the leftmost red circle", "format": "rle"}
        answer = client.post(ROUTE, json=body)
    assert answer.status_code == 200, answer.text
    data = answer.json()
    assert (data["status"], data["requests"], data["tokens"]) == ("selected", 2, 220)
    assert len(data["predictions"]) == 1 and "counts" in data["predictions"][0]["masks"]
    assert data["transcript"][0].startswith('1. segment "red circle": found')
    assert KEY not in answer.text
    assert client.get("/info").json()["language_model"] == {
        "model": "scripted",
        "host": f"127.0.0.1:{server.port}",
    }


def test_without_a_language_model(client: Any, image: Any) -> None:
    answer = client.post(ROUTE, json={"image": image, "description": "x"})
    assert answer.status_code == 501
    assert "who starts the server sets SAM3_AGENT_URL" in answer.json()["message"]
    assert client.get("/info").json()["language_model"] is None


def test_a_client_cannot_name_a_server_or_a_key(
    make_client: Callable[..., Any], image: Any
) -> None:
    with serve(["x"]) as other, serve([segment("circle"), select(1)], KEY) as server:
        client = make_client(**make_settings(server.url))
        own = {name: other.url for name in ("agent_url", "url", "base_url", "SAM3_AGENT_URL")}
        body = {"image": image, "description": "x", "agent_key": "mine", "agent_model": "y", **own}
        headers = {"SAM3_AGENT_URL": other.url, "X-Agent-Url": other.url}
        answer = client.post(ROUTE, json=body, headers=headers)
    assert answer.status_code == 200
    assert not other.received
    assert [r.body["model"] for r in server.received] == ["scripted"] * 2


def test_others_are_answered_while_the_language_model_thinks(served: Any, image: Any) -> None:
    asked, release = threading.Event(), threading.Event()

    def answer(messages: Any) -> str:
        asked.set()
        release.wait(60)
        return segment("circle") if len(messages) < 3 else select(1)

    answers: list[httpx.Response] = []
    with (
        serve(answer, KEY) as model,
        run_server(served, Settings(**make_settings(model.url))) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        body = {"image": image, "description": "the circle"}
        run = threading.Thread(target=lambda: answers.append(client.post(ROUTE, json=body)))
        run.start()
        assert asked.wait(60)
        concept = {"image": image, "prompts": [{"text": "star"}]}
        assert client.post("/sam3/concept_segment", json=concept).status_code == 200
        assert not answers  # the description is still with the language model
        release.set()
        run.join(60)
    assert answers[0].status_code == 200 and answers[0].json()["status"] == "selected"


def test_a_client_that_goes_ends_its_run(served: Any, image: Any) -> None:
    asked, release = threading.Event(), threading.Event()

    def answer(messages: Any) -> str:
        asked.set()
        release.wait(60)
        return segment("circle")

    with serve(answer, KEY) as model:
        with run_server(served, Settings(**make_settings(model.url))) as url:
            body = {"image": image, "description": "the circle"}
            with (
                httpx.Client(base_url=url, trust_env=False) as client,
                pytest.raises(httpx.ReadTimeout),
            ):
                client.post(ROUTE, json=body, timeout=httpx.Timeout(60, read=1))
            assert asked.is_set()
            names = [t.name for t in threading.enumerate()]
            deadline = time.monotonic() + 20
            while any(t.name == "sam3-agent" for t in threading.enumerate()):
                assert time.monotonic() < deadline, names
                time.sleep(0.02)
            assert not release.is_set()
            info = httpx.get(f"{url}/readiness", trust_env=False).json()
            assert info["waiting"] == 0
        release.set()
    assert len(model.received) == 1


def test_a_refused_key_is_told_without_it(make_client: Callable[..., Any], image: Any) -> None:
    with serve(["x"], KEY) as server:
        client = make_client(**make_settings(server.url, agent_key="sk-wrong"))
        answer = client.post(ROUTE, json={"image": image, "description": "x"})
    assert answer.status_code == 502
    assert "status 401, the key is missing or wrong" in answer.json()["message"]
    assert "sk-" not in answer.text


def test_descriptions_at_the_same_time_are_bounded(
    make_client: Callable[..., Any], image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(["x"], KEY) as server:
        client = make_client(**make_settings(server.url))
        monkeypatch.setattr(runs, "MAX_RUNS", 0)
        answer = client.post(ROUTE, json={"image": image, "description": "x"})
    assert (answer.status_code, server.received) == (503, [])


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"description": " "}, 422, "description: expected one description"),
        ({"description": "x" * 201}, 422, "description: expected one description"),
        ({"description": 3}, 422, "description: "),
        ({"output_prob_thresh": 2}, 422, "output_prob_thresh: "),
        ({"image": None}, 422, "image: expected image or image_id"),
    ],
)
def test_bad_fields(
    make_client: Callable[..., Any], image: Any, changes: Any, status: int, told: str
) -> None:
    with serve(["x"], KEY) as server:
        client = make_client(**make_settings(server.url))
        answer = client.post(ROUTE, json={"image": image, "description": "x", **changes})
    assert (answer.status_code, server.received) == (status, [])
    assert answer.json()["message"].startswith(told)


def test_the_servers_key_is_asked_for(make_client: Callable[..., Any], image: Any) -> None:
    with serve(["x"], KEY) as server:
        client = make_client(**make_settings(server.url, api_key="secret"))
        assert client.post(ROUTE, json={"image": image, "description": "x"}).status_code == 401
    assert not server.received


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"SAM3_AGENT_URL": "http://127.0.0.1/v1"}, "SAM3_AGENT_MODEL: expected a name"),
        ({"SAM3_AGENT_URL": f"http://x:{KEY}@h/v1"}, "SAM3_AGENT_URL: expected an address"),
    ],
)
def test_wrong_settings_stop_the_start(environment: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}") as caught:
        read_settings(environment)
    assert KEY not in str(caught.value)


def test_the_settings_do_not_show_the_key() -> None:
    assert KEY not in repr(Settings(**make_settings("http://127.0.0.1/v1")))
