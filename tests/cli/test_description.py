"""``segment --describe``: a scripted server plays the language model."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

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


def test_the_demo_without_a_language_model(run: Any, tmp_path: Any) -> None:
    out_path = tmp_path / "new" / "agent.png"
    code, out, err = run("demo-agent", "--out", out_path, model=False)
    assert code == 0, err
    assert "It is no language model and looks at no picture." in out
    assert out.count("selected, 1 instances, 2 requests") == 3
    assert out.splitlines()[-1] == str(out_path)
    with Image.open(out_path) as picture:
        assert picture.width > 1000 and picture.height > 1000


def test_the_demo_asks_the_server_of_the_environment(
    run: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(answer_question, KEY) as server:
        monkeypatch.setenv("SAM3_AGENT_URL", server.url)
        monkeypatch.setenv("SAM3_AGENT_KEY", KEY)
        arguments = ("demo-agent", "--describe", "the largest star", "--out", tmp_path / "a.png")
        code, out, _ = run(*arguments, "--agent-model", "scripted", model=False)
        assert (code, len(server.received)) == (0, 2)
        assert f"Asking scripted at 127.0.0.1:{server.port}." in out
        monkeypatch.setenv("SAM3_AGENT_KEY", "wrong")
        assert run(*arguments, "--agent-model", "scripted", model=False)[0] == 1
