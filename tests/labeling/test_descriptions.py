"""``label --describe``: a scripted server plays the language model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infer_segment_anything_3.examples.agent_stand_in import answer_question
from infer_segment_anything_3.tests.agent.scripted import KEY, Raw, segment, serve

DESCRIPTION = "the leftmost circle"
OPTIONS = ("--describe", DESCRIPTION, "--agent-model", "scripted")


@pytest.fixture
def describe(label: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command against a server: ``describe(server, options)`` gives (code, printed)."""

    def run(server: Any, *options: str, key: str = KEY) -> tuple[int, str]:
        monkeypatch.setenv("SAM3_AGENT_URL", server.url)
        monkeypatch.setenv("SAM3_AGENT_KEY", key)
        return label(*OPTIONS, *options, text="")

    return run


def test_every_image_gets_what_was_chosen(describe: Any, out: Path) -> None:
    with serve(answer_question, KEY) as server:
        code, printed = describe(server)
    assert code == 0
    data = json.loads((out / "annotations.json").read_text())
    assert [category["name"] for category in data["categories"]] == [DESCRIPTION]
    images = [annotation["image_id"] for annotation in data["annotations"]]
    assert images and len(images) == len(set(images))  # one each
    host = f"127.0.0.1:{server.port}"
    assert f"sent to scripted at {host}, usually 2 or 3 requests an image and at most 12" in printed
    assert f"20 requests, 2,200 tokens to scripted at {host}." in printed
    assert len(server.received) == 20
    saved = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert KEY.encode() not in saved and KEY not in printed
    assert str(server.port).encode() not in saved


def test_the_same_command_asks_nothing_again(describe: Any, out: Path) -> None:
    with serve(answer_question, KEY) as server:
        describe(server)
        count = len(server.received)
        assert describe(server)[0] == 0
        assert len(server.received) == count
        code, printed = describe(server, "--agent-model", "another")
    assert code == 2
    assert "agent_model: this folder was begun with 'scripted'" in printed


def test_without_a_choice_an_image_has_failed(describe: Any, out: Path) -> None:
    with serve([segment("circle"), "the one on the left"], KEY) as server:
        code, _ = describe(server)
    assert code == 3
    errors = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert errors
    assert all(e["error"].startswith("describe: no choice: wrong_answers: 3") for e in errors)


def test_the_requests_of_an_image_are_bounded(describe: Any) -> None:
    with serve([segment("circle")], KEY) as server:
        assert describe(server, "--max-requests", "1")[0] == 3
    assert len(server.received) == 10


def test_a_refused_key_stops_the_job_and_fails_no_image(describe: Any, out: Path) -> None:
    with serve(answer_question, KEY) as server:
        code, printed = describe(server, key="sk-wrong")
        assert code == 1
        assert "status 401, the key is missing or wrong" in printed and "sk-" not in printed
        assert "the same command continues from there" in printed
        assert len(server.received) == 1
        assert describe(server)[0] == 0
    assert not (out / "errors.jsonl").read_text()


def test_a_refused_picture_is_that_images_error(describe: Any, out: Path) -> None:
    refused = Raw(b'{"error": {"message": "against our policy"}}', 400)
    with serve([refused, segment("circle"), '{"action": "none"}', refused], KEY) as server:
        code, _ = describe(server)
    assert code == 3
    errors = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert len(errors) == 9
    assert "status 400: against our policy" in errors[0]["error"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--everything",), "text: expected exactly one of"),
        (("--ray", "here"), "ray: expected none"),
        (("--max-requests", "0"), "max_requests: expected a whole number"),
        (("--describe", "x" * 201), "describe: expected one description of at most 200"),
        (("--no-masks",), "no_masks: expected masks with describe"),
    ],
)
def test_what_does_not_go_together(describe: Any, options: tuple[str, ...], told: str) -> None:
    with serve(["x"], KEY) as server:
        code, printed = describe(server, *options)
    assert (code, not server.received) == (2, True)
    assert told in printed


def test_without_a_server(label: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAM3_AGENT_URL", raising=False)
    code, printed = label(*OPTIONS, text="")
    assert code == 2
    assert printed.startswith("SAM3_AGENT_URL: expected the address")
