"""Reads the action that a language model's answer asks for.

Three forms are read: a JSON object anywhere in the text, a native tool call, and
``<tool>{"name": ..., "parameters": ...}</tool>`` with the names of SAM 3's own agent.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..engine.validation import has_control_characters
from .chat import Answer

MAX_TEXT_CHARS = 50_000
"""Characters of an answer that are read."""

MAX_OBJECTS = 50
"""Places in an answer where a JSON object may begin."""

MAX_PHRASE_CHARS = 100
MAX_REASON_CHARS = 200

_NAMES = {
    "segment": "segment",
    "segment_phrase": "segment",
    "examine": "examine",
    "examine_each_mask": "examine",
    "select": "select",
    "select_masks_and_return": "select",
    "none": "none",
    "report_no_mask": "none",
}
_THOUGHTS = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_END_OF_THOUGHTS = re.compile(r"</think(?:ing)?>", re.IGNORECASE)


class WrongAnswerError(ValueError):
    """An answer asks for nothing that can be done; the message is a sentence for the model."""


@dataclasses.dataclass(frozen=True)
class Segment:
    """Asks for all instances of a phrase."""

    phrase: str

    def __str__(self) -> str:
        return f'segment "{self.phrase}"'


@dataclasses.dataclass(frozen=True)
class Examine:
    """Asks to see candidates from near; no numbers for all of them."""

    numbers: tuple[int, ...]

    def __str__(self) -> str:
        return "examine " + (", ".join(map(str, self.numbers)) or "all")


@dataclasses.dataclass(frozen=True)
class Select:
    """Chooses candidates; ends the run."""

    numbers: tuple[int, ...]

    def __str__(self) -> str:
        return "select " + ", ".join(map(str, self.numbers))


@dataclasses.dataclass(frozen=True)
class NothingFits:
    """Says that nothing in the picture fits; ends the run."""

    reason: str = ""

    def __str__(self) -> str:
        return f'none "{self.reason}"' if self.reason else "none"


Action = Segment | Examine | Select | NothingFits


def parse_action(answer: Answer) -> Action:
    """Reads the first action of an answer.

    Args:
        answer: What a language model answered.

    Returns:
        The action.

    Raises:
        WrongAnswerError: If there is none, or the first one is not complete.
    """
    for fields in _list_objects(answer):
        name = _read_name(fields)
        if name is None:
            continue
        given = next(
            (
                fields[key]
                for key in ("parameters", "arguments")
                if isinstance(fields.get(key), dict)
            ),
            fields,
        )
        return _make_action(name, given)
    raise WrongAnswerError(
        "The answer was empty."
        if not answer.text.strip() and not answer.tool_calls
        else "The answer holds no JSON object with a known action."
    )


def _make_action(name: str, given: Mapping[str, Any]) -> Action:
    if name == "segment":
        phrase = _get_first(given, "phrase", "text_prompt", "text")
        words = " ".join(phrase.split()) if isinstance(phrase, str) else ""
        if not 0 < len(words) <= MAX_PHRASE_CHARS or has_control_characters(words):
            raise WrongAnswerError(
                f'"phrase" must be a noun phrase of at most {MAX_PHRASE_CHARS} characters.'
            )
        return Segment(words)
    if name == "none":
        reason = given.get("reason")
        words = clean_text(reason) if isinstance(reason, str) else ""
        return NothingFits(words[:MAX_REASON_CHARS])
    numbers = _read_numbers(_get_first(given, "numbers", "final_answer_masks"))
    if name == "examine":
        return Examine(numbers)
    if not numbers:
        raise WrongAnswerError('"select" needs at least one number; if nothing fits, use "none".')
    return Select(numbers)


def _list_objects(answer: Answer) -> Iterator[Mapping[str, Any]]:
    """Lists the JSON objects of an answer: native tool calls first, then those in its text."""
    for call in answer.tool_calls:
        try:
            arguments = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            raise WrongAnswerError("The arguments of the tool call are no JSON object.")
        yield {"name": call.name, "parameters": arguments}
    text = _THOUGHTS.sub("", answer.text[-MAX_TEXT_CHARS:])
    # What is left of thoughts that the model's template opened, not its answer.
    text = _END_OF_THOUGHTS.split(text)[-1]
    decoder = json.JSONDecoder()
    at = 0
    for _ in range(MAX_OBJECTS):
        at = text.find("{", at)
        if at < 0:
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        yield value


def _read_name(fields: Mapping[str, Any]) -> str | None:
    name = _get_first(fields, "action", "name")
    return _NAMES.get(name.strip().lower()) if isinstance(name, str) else None


def _read_numbers(value: Any) -> tuple[int, ...]:
    """Reads whole numbers, each once; ``"2"`` and ``2.0`` are numbers too."""
    values = [] if value is None else value if isinstance(value, list) else [value]
    numbers = []
    for item in values:
        text = str(item) if isinstance(item, int | float | str) else ""
        match = re.fullmatch(r"\s*\+?(\d{1,6})(?:\.0+)?\s*", text, re.ASCII)
        if match is None or isinstance(item, bool):
            raise WrongAnswerError('"numbers" must be a list of whole numbers.')
        numbers.append(int(match[1]))
    return tuple(dict.fromkeys(numbers))


def _get_first(fields: Mapping[str, Any], *names: str) -> Any:
    return next((fields[name] for name in names if name in fields), None)


def clean_text(text: str) -> str:
    """Makes one line of a text, without characters that cannot be printed."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split())).strip()
