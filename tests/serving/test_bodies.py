"""JSON bodies: where they are parsed, what is refused, and that the server answers meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import httpx
import pytest
from pydantic import BaseModel

from infer_segment_anything_3.serving import bodies
from infer_segment_anything_3.serving.bodies import BodyParser, count_values
from infer_segment_anything_3.serving.encoding import encode_json
from infer_segment_anything_3.serving.errors import ApiError
from infer_segment_anything_3.serving.model import ServedModel
from infer_segment_anything_3.serving.settings import Settings
from infer_segment_anything_3.tests.serving.probes import Probe, Quitter

from .live_server import run_server

MANY = "[" + "0," * (bodies.MAX_VALUES_HERE + 1) + "0]"
TOO_MANY = b"[" + b"0," * bodies.MAX_VALUES + b"0]"


@pytest.fixture(scope="module")
def parser() -> Iterator[BodyParser]:
    parser = BodyParser()
    yield parser
    parser.close()


def parse(parser: BodyParser, text: str, schema: type[BaseModel] = Probe) -> BaseModel:
    return asyncio.run(parser.parse(text.encode(), schema))


def test_values_are_counted_over_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_CHUNK_BYTES", 3)
    assert count_values(b'{"a": [1, 2, {}], "b": 3}') == 8


def test_few_values_are_parsed_here_and_many_elsewhere(parser: BodyParser) -> None:
    here = parse(parser, '{"number": 3}')
    long_text = parse(parser, f'{{"number": 3, "text": "{"x" * 1_000_000}"}}')
    elsewhere = parse(parser, f'{{"number": 3, "more": {MANY}}}')
    assert isinstance(here, Probe) and isinstance(elsewhere, Probe)
    assert here.number == elsewhere.number == 3
    assert here.pid == long_text.pid == os.getpid() != elsewhere.pid  # type: ignore[attr-defined]


@pytest.mark.parametrize("more", ["1", MANY])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"number": "x", "more": MORE}', "number: Input should be a valid integer"),
        ('{"more": MORE, ', "body: expected JSON, EOF while parsing"),
    ],
)
def test_errors_are_the_same_in_both_places(
    parser: BodyParser, more: str, text: str, message: str
) -> None:
    with pytest.raises(ApiError, match=message) as caught:
        parse(parser, text.replace("MORE", more))
    assert caught.value.status_code == 422


def test_too_many_values_are_refused(parser: BodyParser) -> None:
    with pytest.raises(ApiError, match="body: expected at most 5,000,000 values") as caught:
        asyncio.run(parser.parse(TOO_MANY, Probe))
    assert caught.value.status_code == 413


def test_a_process_that_dies_refuses_one_body_only(parser: BodyParser) -> None:
    with pytest.raises(ApiError, match="more memory than there is") as caught:
        parse(parser, f'{{"more": {MANY}}}', Quitter)
    assert caught.value.status_code == 413
    assert parse(parser, f'{{"number": 4, "more": {MANY}}}').number == 4  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sam3/concept_segment", '{"prompts": [{"text": "circle"}], "more": MORE}'),
        ("/predict", '{"tasks": [{"annotations": MORE}], "label_config": "<View/>"}'),
        ("/setup", '{"schema": "<View/>", "more": MORE}'),
    ],
)
def test_the_server_answers_while_a_body_is_parsed(
    served: ServedModel, path: str, body: str
) -> None:
    content = body.replace("MORE", "[" + '{"a":{}},' * 1_200_000 + "0]")
    headers = {"content-type": "application/json"}
    statuses: list[int] = []

    def ask(address: str) -> None:
        answer = httpx.post(address + path, content=content, headers=headers, timeout=60)
        statuses.append(answer.status_code)

    with run_server(served, Settings()) as address:
        asking = threading.Thread(target=ask, args=(address,))
        asking.start()
        answered = 0
        while asking.is_alive():
            assert httpx.get(f"{address}/health", timeout=20).status_code == 200
            answered += 1
        asking.join()
    assert statuses[0] in (200, 422)
    # In one process none would be answered between the body's arrival and its answer.
    assert answered > 10


def test_answers_are_encoded_as_by_json() -> None:
    data = {"a": [{"b": [[1, 2.5], []], "é": "ü\n"}, {}], "c": None, "d": {"e": [True, (1,)]}}
    assert encode_json(data).decode() == (
        '{"a":[{"b":[[1,2.5],[]],"é":"ü\\n"},{}],"c":null,"d":{"e":[true,[1]]}}'
    )
