"""Whatever a language model writes is an action, or is refused with one sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infer_segment_anything_3.agent.actions import (
    MAX_PHRASE_CHARS,
    Examine,
    NothingFits,
    Segment,
    Select,
    WrongAnswerError,
    parse_action,
)
from infer_segment_anything_3.agent.chat import Answer, ToolCall
from infer_segment_anything_3.agent.completions import EndpointError, read_completion
from infer_segment_anything_3.engine.validation import has_control_characters
from infer_segment_anything_3.tests.fuzzing import FEW, examples, mutate_bytes

# Libraries in the process may flush subnormal floats to zero.
FLOATS = st.floats(allow_subnormal=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["segment", "segment_phrase", "select", "select_masks_and_return", "examine", "none", "x"]
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "action": NAMES | JSON,
        "name": NAMES | JSON,
        "phrase": JSON,
        "text_prompt": JSON,
        "numbers": JSON,
        "final_answer_masks": JSON,
        "reason": JSON,
        "parameters": JSON,
    },
)
CONTENT = {"content": '{"action": "select", "numbers": [1, 2]}'}
BODY = json.dumps({"choices": [{"message": CONTENT}], "usage": {"total_tokens": 7}}).encode()
PROSE = st.sampled_from(["", "Sure:\n```json\n", "{", "<think>", "</think>", "<tool>", "[{}]", '"'])


def check(answer: Answer) -> None:
    try:
        action = parse_action(answer)
    except WrongAnswerError as error:
        assert str(error).isprintable() and str(error).endswith(".")
        return
    assert isinstance(action, Segment | Select | Examine | NothingFits)
    assert not has_control_characters(str(action))
    if isinstance(action, Segment):
        assert 0 < len(action.phrase) <= MAX_PHRASE_CHARS
    if isinstance(action, Select):
        assert action.numbers
    if isinstance(action, Select | Examine):
        assert all(type(number) is int and 0 <= number < 10**6 for number in action.numbers)
        assert len(set(action.numbers)) == len(action.numbers)


@given(before=PROSE | st.text(), fields=FIELDS, after=PROSE | st.text())
def test_texts_around_objects(before: str, fields: dict[str, Any], after: str) -> None:
    check(Answer(before + json.dumps(fields) + after))


@settings(deadline=None)
@given(st.text())
@example("{" * 200_000)
@example("[" * 200_000)
@example('{"a":' * 100_000)
@example("<think>" * 50_000)
@example("</think>" * 50_000)
@example('{"action": "select", "numbers": [' + "9" * 10_000 + "]}")
@example('{"action": "segment", "phrase": "\\ud800"}')
@example("\ud800")
def test_any_text(text: str) -> None:
    check(Answer(text))


@given(name=NAMES | st.text(), arguments=st.text() | FIELDS.map(json.dumps), text=st.text())
@example(name="select", arguments="[" * 100_000, text="")
def test_native_tool_calls(name: str, arguments: str, text: str) -> None:
    check(Answer(text, (ToolCall(name, arguments),)))


@given(st.lists(st.integers(0, 99), min_size=1, max_size=10), st.text(alphabet="abc ,.\n"))
def test_a_selection_survives_prose(numbers: list[int], prose: str) -> None:
    text = f"{prose}{json.dumps({'action': 'select', 'numbers': numbers})}{prose}"
    assert parse_action(Answer(text)) == Select(tuple(dict.fromkeys(numbers)))


@given(JSON)
@settings(max_examples=300)
def test_bodies_of_any_json(value: Any) -> None:
    for body in (value, {"choices": value}, {"choices": [{"message": value}], "usage": value}):
        try:
            answer = read_completion(json.dumps(body).encode())
        except EndpointError:
            continue
        check(answer)


@examples(FEW)
@given(mutate_bytes(BODY))
def test_mutated_bodies(data: bytes) -> None:
    try:
        check(read_completion(data))
    except EndpointError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize("flag", [True, None, [], {}, "1.5", "-1", 1e30, float("nan"), "１"])
def test_what_is_no_number_is_refused(flag: Any) -> None:
    with pytest.raises(WrongAnswerError, match=r"whole numbers|at least one number"):
        parse_action(Answer(json.dumps({"action": "select", "numbers": [flag]})))
