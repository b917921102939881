"""A scripted server plays the language model; the engine and the way between are real."""

from __future__ import annotations

import json
import re
import threading
import time
from typing import Any

import numpy as np
import pytest

from infer_segment_anything_3.agent import (
    AgentLimits,
    AgentResult,
    Answer,
    ChatEndpoint,
    EndpointError,
    find_described,
)
from infer_segment_anything_3.engine import ConceptPrompt
from infer_segment_anything_3.examples.agent_stand_in import answer_question
from infer_segment_anything_3.tests.agent.matching import match
from infer_segment_anything_3.tests.agent.scripted import (
    KEY,
    Raw,
    call_tool,
    complete,
    segment,
    select,
    serve,
)

NONE = '{"action": "none", "reason": "no dog here"}'


def list_reds(scene: Any) -> list[Any]:
    return sorted(scene.find_matching("red circle"), key=lambda s: s.xyxy[0])


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("the leftmost red circle", [0]),
        ("the rightmost red circle", [2]),
        ("the second red circle from the right", [1]),
        ("all but the leftmost red circle", [1, 2]),
        ("every red circle", [0, 1, 2]),
    ],
)
def test_positions_are_resolved_by_the_list(
    find: Any, shapes: Any, description: str, expected: list[int]
) -> None:
    result, server = find(answer_question, description)
    assert result.status == "selected"
    assert match(result, shapes) == [list_reds(shapes)[k] for k in expected]
    assert result.requests == len(server.received) == 2
    assert result.result.class_names == (description,)


@pytest.mark.parametrize("word", ["largest", "smallest"])
def test_sizes_are_resolved_by_the_list(find: Any, shapes: Any, word: str) -> None:
    result, _ = find(answer_question, f"the {word} red circle")
    reds = sorted(list_reds(shapes), key=lambda s: s.crop.sum())
    assert match(result, shapes) == [reds[-1 if word == "largest" else 0]]


def test_nothing_there(find: Any) -> None:
    result, _ = find([segment("purple star"), NONE], "the dog")
    assert result.status == "none"
    assert not result.result.instances
    assert result.phrases == {"purple star": 0}
    assert "no dog here" in result.transcript


def test_a_second_phrase_after_the_first_found_nothing(find: Any, shapes: Any) -> None:
    result, server = find([segment("tomato"), segment("red circle"), select(1)])
    assert result.phrases == {"tomato": 0, "red circle": 3}
    assert '"tomato" found nothing' in server.received[1].texts[-1]
    assert len(result.result.instances) == 1


def test_candidates_of_two_phrases_keep_their_numbers(find: Any, shapes: Any) -> None:
    def answer(messages: Any) -> str:
        if len(messages) < 3:
            return segment("blue square")
        if len(messages) < 5:
            return segment("green triangle")
        return select(1, 2)

    result, server = find(answer, "the square and the triangle")
    assert {shape.kind for shape in match(result, shapes)} == {"square", "triangle"}
    rows = re.findall(r"^(\d+): ([a-z ]+),", server.received[2].texts[-1], re.MULTILINE)
    assert rows == [("1", "blue square"), ("2", "green triangle")]


def test_what_two_phrases_find_is_one_candidate(find: Any) -> None:
    result, server = find([segment("red circle"), segment("red shape"), select(3)])
    assert result.phrases == {"red circle": 3, "red shape": 3}
    assert "3 of them outlined before" in server.received[2].texts[-1]
    assert "4:" not in server.received[2].texts[-1]


@pytest.mark.parametrize(
    "replies",
    [
        pytest.param(
            [f"I look for it.\n```json\n{segment('red circle')}\n```\nDone.", "So: " + select(2)],
            id="prose and fences",
        ),
        pytest.param(
            [f"<think>A {{dog}}? {segment('dog')}</think>{segment('red circle')}", select(2)],
            id="thoughts",
        ),
        pytest.param(
            [f"hm {segment('dog')} no</think>\n{segment('red circle')}", select(2)],
            id="thoughts that the template opened",
        ),
        pytest.param(
            [
                '<tool>{"name": "segment_phrase", "parameters": '
                '{"text_prompt": "red circle"}}</tool>',
                '<tool>{"name": "select_masks_and_return", "parameters": '
                '{"final_answer_masks": [2]}}</tool>',
            ],
            id="the form of SAM 3's own agent",
        ),
        pytest.param(
            [
                call_tool("segment_phrase", {"text_prompt": "red circle"}),
                call_tool("select", {"numbers": ["2"]}),
            ],
            id="native tool calls",
        ),
        pytest.param(
            [
                '{"action": "segment", "phrase": "red circle", "why": {"a": 1}}',
                '{"action": "select", "numbers": 2.0}',
            ],
            id="extra keys, a bare number",
        ),
        pytest.param(
            [{"content": [{"type": "text", "text": segment("red circle")}]}, select(2)],
            id="content in parts",
        ),
    ],
)
def test_forms_of_an_answer(find: Any, replies: Any) -> None:
    result, _ = find(replies)
    assert (result.status, result.requests) == ("selected", 2)
    assert len(result.result.instances) == 1
    assert "refused" not in result.transcript


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (select(9), "The numbers go from 1 to 3."),
        (select(0), "The numbers go from 1 to 3."),
        (select(), "needs at least one number"),
        ('{"action": "select", "numbers": ["left"]}', "a list of whole numbers"),
        (segment("red circle"), "was tried already"),
        (segment("RED  circle"), "was tried already"),
        (segment(""), "must be a noun phrase"),
        (segment("x" * 101), "must be a noun phrase"),
        ("I think it is the one on the left.", "no JSON object"),
        ("", "The answer was empty"),
        ('{"action": "delete"}', "no JSON object with a known action"),
        (call_tool("segment_phrase", "{broken"), "no JSON object"),
    ],
)
def test_a_wrong_answer_gets_one_sentence_back(find: Any, wrong: Any, told: str) -> None:
    result, server = find([segment("red circle"), wrong, select(1)])
    assert result.status == "selected"
    assert told in server.received[2].texts[-1]
    assert server.received[2].open_pictures()[1:]  # the candidates are shown again
    assert "refused: " in result.transcript


def test_selecting_before_segmenting(find: Any) -> None:
    result, server = find([select(1), segment("red circle"), select(1)])
    assert result.status == "selected"
    assert "segment a phrase first" in server.received[1].texts[-1]


def test_a_phrase_that_the_segmenter_refuses(find: Any) -> None:
    make = lambda phrase: ConceptPrompt((phrase,) * 2)  # noqa: E731 - the same concept twice
    result, server = find([segment("a/b"), NONE], make_prompt=make)
    assert result.status == "none"
    assert "The segmenter refused the phrase" in server.received[1].texts[-1]


def test_a_phrase_with_a_slash(find: Any) -> None:
    result, _ = find([segment("cup/mug ../x"), NONE])
    assert result.phrases == {"cup/mug ../x": 0}


@pytest.mark.parametrize("examine", ['{"action": "examine", "numbers": [2, 3]}'])
def test_examining_shows_candidates_from_near(find: Any, shapes: Any, examine: str) -> None:
    result, server = find([segment("red circle"), examine, select(2)])
    assert result.status == "selected"
    near = server.received[2].open_pictures()[1:]
    assert len(near) == 2
    assert "From near, in this order: 2, 3." in server.received[2].texts[-1]
    for picture in near:
        red, green, blue = np.asarray(picture)[picture.height // 2, picture.width // 2].astype(int)
        assert red > green + 100 and red > blue + 100  # the circle is in the middle


def test_examining_all_shows_no_more_than_the_limit(find: Any) -> None:
    all_ = '<tool>{"name": "examine_each_mask"}</tool>'
    _, server = find([segment("red circle"), all_, select(1)], limits=AgentLimits(examined=2))
    assert len(server.received[2].pictures) == 1 + 2


def test_the_image_is_encoded_once(find: Any, tiny_engine: Any) -> None:
    tiny_engine.clear_caches()
    before = tiny_engine.encodings
    find([segment("red circle"), segment("blue square"), segment("star"), select(1)])
    assert tiny_engine.encodings == before + 1


def test_the_transcript_and_counts(find: Any) -> None:
    result, _ = find([segment("red circle"), "hm", select(1, 3)])
    assert result.transcript.splitlines() == [
        '1. segment "red circle": found 3, 3 new',
        "2. hm: refused: The answer holds no JSON object with a known action.",
        "3. select 1, 3: 2 chosen",
    ]
    assert (result.requests, result.tokens) == (3, 330)
    scores = [instance.score for instance in result.result.instances]
    assert scores == sorted(scores, reverse=True)
    json.dumps(result.to_dict())


def test_old_pictures_are_not_sent_again(find: Any) -> None:
    _, server = find(
        [segment("tomato"), segment("star"), segment("red circle"), segment("x"), NONE]
    )
    assert [len(r.pictures) for r in server.received] == [1, 1, 1, 2, 2]


def test_pictures_have_at_most_that_side(tiny_engine: Any, find: Any, shapes: Any) -> None:
    _, server = find([segment("circle"), select(1)], limits=AgentLimits(picture_side_px=200))
    sizes = {p.size for r in server.received for p in r.open_pictures()}
    assert sizes == {(200, 150)}


# -- limits ---------------------------------------------------------------------------------


def test_too_many_requests(find: Any) -> None:
    counter = iter(range(1000))
    examine = '{"action": "examine", "numbers": [1]}'

    def answer(messages: Any) -> str:
        return segment("red circle") if not next(counter) else examine

    result, server = find(answer)
    assert result.status == "gave_up"
    assert result.requests == len(server.received) == 12
    assert result.limits_reached == ("requests: all 12 were made",)
    assert len(result.result.instances) == 3  # the best so far
    assert "This is your last turn" in server.received[-1].texts[-1]
    assert not any("last turn" in r.texts[-1] for r in server.received[:-1])


def test_too_many_phrases(find: Any) -> None:
    counter = iter(range(1000))
    result, server = find(lambda messages: segment(f"thing {next(counter)}"))
    assert result.status == "gave_up"
    assert len(result.phrases) == 6
    assert len(server.received) == 9
    assert result.limits_reached == (
        "phrases: all 6 were tried",
        "wrong_answers: 3 answers in a row were no possible action",
    )


def test_too_many_candidates(find: Any) -> None:
    replies = [segment("red circle"), segment("blue square"), select(1)]
    result, server = find(replies, limits=AgentLimits(candidates=2))
    assert result.status == "selected"
    assert "1 are left out" in server.received[1].texts[-1]
    assert "3:" not in server.received[2].texts[-1]
    assert result.limits_reached == (
        "candidates: 1 of 'red circle' were not shown",
        "candidates: 1 of 'blue square' were not shown",
    )


def test_wrong_answers_in_a_row(find: Any) -> None:
    result, server = find(["It is on the left."])
    assert (result.status, len(server.received)) == ("gave_up", 3)
    assert result.limits_reached[0].startswith("wrong_answers: 3")


def test_a_request_that_takes_too_long(find: Any) -> None:
    release = threading.Event()

    def answer(messages: Any) -> str:
        if len(messages) > 2:
            release.wait(20)
        return segment("red circle")

    result, _ = find(answer, limits=AgentLimits(request_s=0.5))
    release.set()
    assert result.status == "gave_up"
    assert result.limits_reached == ("request_s: no answer within 0.5 s",)
    assert len(result.result.instances) == 3


def test_a_run_that_takes_too_long(find: Any) -> None:
    release = threading.Event()
    result, _ = find(lambda _: str(release.wait(20)), limits=AgentLimits(total_s=0.4))
    release.set()
    assert result.limits_reached == ("total_s: no answer within 0.4 s",)


def test_an_answer_that_drips(find: Any) -> None:
    """Bytes that keep coming reset a timeout of reads: the whole answer has one."""
    import socket

    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        connection.recv(1 << 20)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while True:
                connection.sendall(b" ")
                time.sleep(0.05)
        except OSError:
            connection.close()

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    chat = ChatEndpoint(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", "x")
    with pytest.raises(TimeoutError):
        chat.submit([{"role": "user", "content": "hi"}], 0.4).result(20)
    thread.join(20)  # it saw the connection close
    assert not thread.is_alive()
    listener.close()


def test_stop_in_mid_request(find: Any) -> None:
    """The run ends while the server is still thinking, and closes its connection."""
    asked, stop, release = threading.Event(), threading.Event(), threading.Event()

    class StoppedError(Exception):
        pass

    def answer(messages: Any) -> str:
        asked.set()
        release.wait(20)
        return segment("circle")

    def check_stop() -> None:
        if stop.is_set():
            raise StoppedError

    threading.Thread(target=lambda: asked.wait(20) and stop.set(), daemon=True).start()
    with pytest.raises(StoppedError):
        find(answer, check_stop=check_stop)
    assert not release.is_set()  # nobody has answered
    release.set()


@pytest.mark.parametrize(
    ("name", "value"),
    [("requests", 0), ("phrases", 1.5), ("candidates", 1000), ("request_s", 0), ("total_s", "x")],
)
def test_limits_are_checked(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        AgentLimits(**{name: value})


@pytest.mark.parametrize("description", ["", "  ", "x" * 201, "a\x00b", 3])
def test_descriptions_are_checked(find: Any, description: Any) -> None:
    with pytest.raises(ValueError, match=r"^description: expected one description"):
        find(["x"], description)


# -- servers that fail -----------------------------------------------------------------------


def fail(find: Any, *replies: Any, **options: Any) -> str:
    with pytest.raises(EndpointError) as caught:
        find(list(replies), **options)
    assert KEY not in repr(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_401_names_the_key(tiny_engine: Any, shapes: Any) -> None:
    with serve([segment("x")], KEY) as server, pytest.raises(EndpointError) as caught:
        find_described(tiny_engine, shapes.image, "x", ChatEndpoint(server.url, "x", "sk-wrong"))
    assert "status 401, the key is missing or wrong" in str(caught.value)
    assert "sk-" not in str(caught.value)
    assert len(server.received) == 1


def test_404_names_the_model(find: Any) -> None:
    body = b'{"error": {"message": "model \'scripted\' not found"}}'
    assert fail(find, Raw(body, 404)).endswith("unknown: model 'scripted' not found")


def test_429_is_asked_again_after_the_time_it_names(
    find: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    waits = []
    sleep = asyncio.sleep

    async def count(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr("infer_segment_anything_3.agent.endpoint.asyncio.sleep", count)
    busy = Raw(b"", 429, {"Retry-After": "7"})
    result, server = find([busy, segment("red circle"), Raw(b"", 503), select(1)])
    assert result.status == "selected"
    assert (result.requests, len(server.received)) == (2, 4)
    assert waits == [7.0, 0.5]


def test_429_that_asks_to_wait_too_long(find: Any) -> None:
    text = fail(find, Raw(b"", 429, {"Retry-After": "3600"}))
    assert "too many requests or no credit; it asks to wait 3600 s" in text


def test_500_for_good(find: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infer_segment_anything_3.agent.endpoint.FIRST_WAIT_S", 0.01)
    with serve([Raw(b"", 500)]) as server:
        with pytest.raises(EndpointError, match="status 500"):
            ChatEndpoint(server.url, "x")([{"role": "user", "content": "hi"}])
        assert len(server.received) == 3


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Please log in</html>",
        b'{"choices": []}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": "\xff\xfe"}}]}',
        "{'choices'}".encode("utf-16"),
        b"[" * 200_000,
        b"",
    ],
)
def test_what_is_no_chat_completion(find: Any, body: bytes) -> None:
    assert "is no chat completion" in fail(find, Raw(body))


def test_an_endless_answer(find: Any) -> None:
    assert "more than 1048576 bytes" in fail(find, Raw(b" " * (3 << 20)))


def test_a_compressed_answer_is_not_expanded(find: Any) -> None:
    import gzip

    bomb = gzip.compress(complete(segment("x")))
    assert "no chat completion" in fail(find, Raw(bomb, 200, {"Content-Encoding": "gzip"}))


def test_a_closed_port(tiny_engine: Any, shapes: Any) -> None:
    with serve(["x"]) as server:
        pass
    with pytest.raises(EndpointError, match=r"127.0.0.1:\d+ cannot be reached \(ConnectError\)"):
        find_described(tiny_engine, shapes.image, "x", ChatEndpoint(server.url, "x"))


def test_fields_that_newer_models_refuse_are_left_out(find: Any) -> None:
    def refused(name: str) -> Raw:
        return Raw(json.dumps({"error": {"message": "Unsupported", "param": name}}).encode(), 400)

    replies = [refused("max_tokens"), refused("temperature"), segment("red circle"), select(1)]
    result, server = find(replies)
    assert result.status == "selected"
    assert set(server.received[2].body) == {"model", "messages", "max_completion_tokens"}
    assert set(server.received[3].body) == {"model", "messages", "max_completion_tokens"}


@pytest.mark.parametrize("tokens", [None, "many", -5, 10**30, True])
def test_tokens_that_are_no_count(find: Any, tokens: Any) -> None:
    result, _ = find([Raw(complete(NONE, tokens))])
    assert result.tokens in (0, 1)


def test_any_callable_is_a_language_model(tiny_engine: Any, shapes: Any) -> None:
    result: AgentResult = find_described(
        tiny_engine, shapes.image, "the leftmost red circle", answer_question
    )
    assert match(result, shapes) == [list_reds(shapes)[0]]
    answers = iter([Answer(segment("red circle"), tokens=5), Answer(select(1), tokens=7)])
    result = find_described(tiny_engine, shapes.image, "x", lambda messages: next(answers))
    assert (result.status, result.tokens) == ("selected", 12)


def test_errors_of_a_callable_come_through(tiny_engine: Any, shapes: Any) -> None:
    def fail_(messages: Any) -> str:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        find_described(tiny_engine, shapes.image, "x", fail_)
