"""Parses the text of concepts: phrases with optional thresholds.

The grammar, also for the server and the labeling job::

    text      = entries | "[" entries "]"
    entries   = entry { "," entry } [ "," ]
    entry     = phrase [ ":" threshold ] | quoted [ ":" threshold ]
    quoted    = a JSON string, or the same in single quotes

A phrase in quotes keeps its commas and colons. Inside brackets every phrase is quoted, and a
trailing ``:threshold`` may also stand inside the quotes.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from . import validation
from .validation import value_error

_EXPECTED = 'concepts as red car, person or ["red car", "person"]'
_EXPECTED_THRESHOLD = (
    "a threshold from 0 to 1 behind the colon (person:0.4), or quotes around a phrase with "
    'a colon ("sign: stop")'
)
_THRESHOLD = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_THRESHOLD_IN_QUOTES = re.compile(r":\s*([0-9]+\.?[0-9]*|\.[0-9]+)\Z")
_QUOTED_TUPLE = re.compile(r"\(\s*['\"]")
# Possessive, so that no search starts over inside.
_QUOTED_ENTRY = re.compile(
    r"""\s*+("(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')\s*+(?::([^,]*+))?(?:,|\Z)""", re.DOTALL
)


class Concept(NamedTuple):
    """A phrase and its own threshold, if it has one."""

    text: str
    threshold: float | None = None


def parse_concepts(name: str, text: str) -> tuple[Concept, ...]:
    """Parses concepts.

    Args:
        name: The parameter.
        text: Phrases separated by commas, or a list of quoted phrases. ``:number`` behind a
            phrase is its threshold, 0 to 1. Blank or ``[]`` for none.

    Returns:
        The concepts, in order.

    Raises:
        ValueError: If a phrase is blank, comes twice or is too long, a threshold is no number
            from 0 to 1, a quote or bracket is not closed, or there are too many concepts.
    """
    validation.check_at_most(name, len(text), validation.MAX_TEXT_CHARS, "characters")
    stripped = text.strip()
    is_list = stripped.startswith("[") or _QUOTED_TUPLE.match(stripped) is not None
    if is_list:
        if not stripped.endswith({"[": "]", "(": ")"}[stripped[0]]):
            raise value_error(name, _EXPECTED, text)
        stripped = stripped[1:-1].strip()
    entries = _split_entries(name, stripped, is_list)
    validation.check_at_most(name, len(entries), validation.MAX_CONCEPTS, "concepts")
    phrases = validation.to_concepts(name, (entry.text for entry in entries))
    return tuple(
        Concept(phrase, entry.threshold) for phrase, entry in zip(phrases, entries, strict=True)
    )


def find_decimal_commas(concepts: Sequence[Concept]) -> list[str]:
    """Finds thresholds that were probably written with a decimal comma.

    Args:
        concepts: Concepts as :func:`parse_concepts` returns them.

    Returns:
        One warning for each, for instance for ``person:0,4``, which is two concepts.
    """
    return [
        f"{concept.text}:{concept.threshold:g},{after.text} is read as two concepts; a decimal "
        f"takes a point: {concept.text}:{concept.threshold:g}.{after.text}"
        for concept, after in itertools.pairwise(concepts)
        if concept.threshold in (0, 1) and after.text.isdecimal()
    ]


def _split_entries(name: str, text: str, is_list: bool) -> list[Concept]:
    """Splits a text at the commas outside quotes; a comma at the end is ignored."""
    entries = []
    start = 0
    while start < len(text):
        quoted = _QUOTED_ENTRY.match(text, start)
        if quoted:
            entries.append(_read_quoted(name, quoted, is_list))
            start = quoted.end()
            continue
        comma = text.find(",", start)
        end = len(text) if comma < 0 else comma
        entry = text[start:end].strip()
        # A single quote may be an apostrophe: '90s car.
        if is_list or entry.startswith('"'):
            raise value_error(name, f"{_EXPECTED}, quotes in pairs", text[start:])
        entries.append(_read_unquoted(name, entry))
        start = end + 1
    return entries


def _read_quoted(name: str, quoted: re.Match[str], is_list: bool) -> Concept:
    phrase = _unquote(name, quoted[1])
    if quoted[2] is not None:
        return Concept(phrase, _read_threshold(name, quoted[2], quoted[0]))
    inside = _THRESHOLD_IN_QUOTES.search(phrase) if is_list else None
    if inside and float(inside[1]) <= 1:
        return Concept(phrase[: inside.start()], float(inside[1]))
    return Concept(phrase)


def _read_unquoted(name: str, entry: str) -> Concept:
    phrase, colon, threshold = entry.rpartition(":")
    return Concept(phrase, _read_threshold(name, threshold, entry)) if colon else Concept(entry)


def _read_threshold(name: str, text: str, entry: str) -> float:
    stripped = text.strip()
    if not _THRESHOLD.fullmatch(stripped) or float(stripped) > 1:
        raise value_error(name, _EXPECTED_THRESHOLD, entry.strip(" ,"))
    return float(stripped)


def _unquote(name: str, quoted: str) -> str:
    if quoted.startswith("'"):
        quoted = '"' + quoted[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'
    try:
        return str(json.loads(quoted, strict=False))
    except ValueError:
        raise value_error(name, _EXPECTED, quoted) from None
