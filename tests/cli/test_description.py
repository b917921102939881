"""``segment --describe``: a scripted server plays the language model."""

from __future__ import annotations

from typing import Any

import pytest

from infer_segment_anything_3.examples.agent_stand_in import answer_question
from infer_segment_anything_3.tests.agent.scripted import KEY, segment, serve

from .conftest import read_lines


@pytest.fixture
def describe(run: Any, scene_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    def call(server: Any, *options: str, key: str = KEY) -> tuple[int, str, str]:
        monkeypatch.setenv("SAM3_AGENT_URL", server.url)
        monkeypatch.setenv("SAM3_AGENT_KEY", key)
        monkeypatch.setenv("SAM3_AGENT_MODEL", "scripted")
        return run("segment", scene_path, *options)

    return call


def test_a_description(describe: Any) -> None:
    with serve(answer_question, KEY) as server:
        code, out, err = describe(server, "--describe", "the largest red circle", "--json")
    assert code == 0
    (data,) = read_lines(out)
    assert data["categories"] == [{"id": 1, "name": "the largest red circle"}]
    assert len(data["annotations"]) == 1
    assert '1. segment "red circle": found 4, 4 new' in err
    assert f"2 requests, 220 tokens to scripted at 127.0.0.1:{server.port}." in err
    assert KEY not in out + err


def test_no_choice_is_an_error(describe: Any) -> None:
    with serve([segment("circle"), "hm"], KEY) as server:
        code, out, err = describe(server, "--describe", "x")
    assert (code, out) == (2, "")
    assert "describe: no choice: wrong_answers: 3 answers in a row" in err


def test_a_server_that_cannot_be_used(describe: Any) -> None:
    with serve(["x"], KEY) as server:
        code, _, err = describe(server, "--describe", "x", key="sk-wrong")
    assert code == 1
    assert "Stopped: SAM3_AGENT_URL: 127.0.0.1" in err and "status 401" in err


def test_a_description_is_a_prompt_of_its_own(describe: Any) -> None:
    with serve(["x"]) as server:
        code, _, err = describe(server, "--describe", "x", "--text", "circle")
    assert code == 2
    assert "got text or example and description" in err
