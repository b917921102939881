"""Strings as users write them, read into numbers, lists and the parts of prompts.

Prompts are data: nothing here evaluates anything. Lengths, counts and nesting are
limited, and every value_error is a one-line ``ValueError`` that begins with the
parameter's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from . import validation
from .validation import BoxXyxy, PointXy, value_error

MAX_PATH_CHARS = 4_096
_MAX_DEPTH = 3
_MAX_NUMBER_CHARS = 40

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_THRESHOLD = re.compile(r":\s*([0-9]+\.?[0-9]*|\.[0-9]+)\Z")
_BRACKETS = str.maketrans("()", "[]")
_TRAILING_COMMA = re.compile(r"(?<=[0-9\])])\s*,\s*(?=[\])])")
_QUOTED_TUPLE = re.compile(r"\(\s*['\"]")
# Both kinds run on to the end when left open, so that a search never starts over inside.
_QUOTED = re.compile(r"""(?:"(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?)""", re.DOTALL)
_TRUE = frozenset(("true", "1", "yes", "y", "t", "on"))
_FALSE = frozenset(("false", "0", "no", "n", "f", "off"))

_POINTS = "[x, y], [[x, y], ...] or [[[x, y], ...], ...]"
_BOXES = "[x1, y1, x2, y2] or [[x1, y1, x2, y2], ...]"
_LABELS = "0 and 1 as [1, 0, ...] or [[1, 0, ...], ...]"
_CONCEPTS = 'concepts as red car, person or ["red car", "person"]'


class Concept(NamedTuple):
    """A phrase and the threshold written behind it, if any."""

    text: str
    threshold: float | None = None


def parse_points(name: str, text: str) -> tuple[tuple[PointXy, ...], ...]:
    """Reads points, one group for each object.

    Args:
        name: The parameter.
        text: ``[x, y]`` or ``[[x, y], ...]`` for one object, ``[[[x, y], ...], ...]`` for
            several; parentheses do as well; blank or ``[]`` for none.

    Returns:
        Points of each object.

    Raises:
        ValueError: If the text is anything else, or over the limits.
    """
    value = _numbers(name, text, _POINTS)
    depth = _depth(value)
    if depth == 0 or (value and depth < 0):
        raise value_error(name, _POINTS, text)
    groups = {1: [[value]], 2: [value], 3: value}[depth] if value else []
    checked = tuple(validation.to_points_xy(name, group) for group in groups)
    validation.check_at_most(name, len(checked), validation.MAX_OBJECTS, "objects")
    validation.check_at_most(name, sum(map(len, checked)), validation.MAX_POINTS, "points")
    return checked


def parse_point_labels(name: str, text: str) -> tuple[tuple[int, ...], ...]:
    """Reads the labels of points: like :func:`parse_points`, without the innermost brackets.

    Args:
        name: The parameter.
        text: ``1``, ``[1, 0, ...]`` or ``[[1, 0, ...], ...]``; blank or ``[]`` for none.

    Returns:
        Labels of each object.

    Raises:
        ValueError: If the text is anything else, or over the limits.
    """
    value = _numbers(name, text, _LABELS)
    depth = _depth(value)
    if depth > 2 or (value != [] and depth < 0):
        raise value_error(name, _LABELS, text)
    groups = {0: [[value]], 1: [value], 2: value}[depth] if value != [] else []
    checked = tuple(validation.to_labels(name, group) for group in groups)
    validation.check_at_most(name, sum(map(len, checked)), validation.MAX_POINTS, "labels")
    return checked


def parse_boxes(name: str, text: str) -> tuple[BoxXyxy, ...]:
    """Reads boxes.

    Args:
        name: The parameter.
        text: ``[x1, y1, x2, y2]`` or a list of these; blank or ``[]`` for none.

    Returns:
        The boxes, in order.

    Raises:
        ValueError: If the text is anything else, a box has no area or swapped corners, or
            there are too many.
    """
    value = _numbers(name, text, _BOXES)
    if not value and isinstance(value, list):
        return ()
    depth = _depth(value)
    if depth not in (1, 2):
        raise value_error(name, _BOXES, text)
    return validation.to_boxes_xyxy(name, [value] if depth == 1 else value)


def parse_box_labels(name: str, text: str) -> tuple[int, ...]:
    """Reads one label for each box: ``1`` or ``[1, 0, ...]``; blank or ``[]`` for none."""
    groups = parse_point_labels(name, text)
    if len(groups) > 1:
        raise value_error(name, "labels as [1, 0, ...]", text)
    return groups[0] if groups else ()


def parse_concepts(name: str, text: str) -> tuple[Concept, ...]:
    """Reads concepts.

    Args:
        name: The parameter.
        text: Phrases with commas between, or a list of quoted phrases. A trailing
            ``:number`` from 0 to 1 is that concept's threshold; any other colon belongs
            to the phrase.

    Returns:
        The concepts, in order.

    Raises:
        ValueError: If one is blank, comes twice, is too long, or there are too many.
    """
    stripped = _limited(name, text).strip()
    if not stripped:
        return ()
    is_list = stripped.startswith("[") or _QUOTED_TUPLE.match(stripped) is not None
    entries = _phrases(name, stripped) if is_list else stripped.split(",")
    validation.check_at_most(name, len(entries), validation.MAX_CONCEPTS, "concepts")
    read = [_concept(entry) for entry in entries]
    checked = validation.to_concepts(name, (entry.text for entry in read))
    return tuple(
        Concept(phrase, entry.threshold) for phrase, entry in zip(checked, read, strict=True)
    )


def parse_boolean(name: str, text: str) -> bool:
    """Reads ``True`` or ``False``, or what else Ikomia takes for them (1, yes, on, ...)."""
    word = text.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise value_error(name, "True or False", text)


def parse_number(name: str, text: str, low: float, high: float) -> float:
    """Reads a number from ``low`` to ``high``, both included; else ValueError."""
    return validation.to_number(name, _plain_number(text), low, high)


def parse_integer(name: str, text: str, low: int, high: int) -> int:
    """Reads a whole number (``50`` or ``50.0``) from ``low`` to ``high``; else ValueError."""
    return validation.to_whole_number(name, _plain_number(text), low, high)


def parse_choice(name: str, text: str, choices: Sequence[str]) -> str:
    """Reads one of the choices, in any case; else ValueError."""
    return validation.check_choice(name, text.strip().lower(), choices)


def parse_tiles(name: str, text: str) -> int:
    """Reads ``off`` as 1, ``auto`` as 0, and a number of tiles a side as itself."""
    word = text.strip().lower()
    if word in ("off", "auto"):
        return int(word == "off")
    try:
        return parse_integer(name, text, 1, validation.MAX_TILES)
    except ValueError:
        expected = f"off, auto or a whole number from 1 to {validation.MAX_TILES}"
        raise value_error(name, expected, text) from None


def parse_path(name: str, text: str) -> str:
    """Reads the path of a file, without asking whether it exists; blank for none."""
    stripped = text.strip()
    if len(stripped) > MAX_PATH_CHARS or validation.has_control_characters(stripped):
        expected = f"a path of at most {MAX_PATH_CHARS:,} characters without control characters"
        raise value_error(name, expected, text)
    return stripped


def _limited(name: str, text: str) -> str:
    validation.check_at_most(name, len(text), validation.MAX_TEXT_CHARS, "characters")
    return text


def _plain_number(text: str) -> float | str:
    stripped = text.strip()
    if len(stripped) <= _MAX_NUMBER_CHARS and _NUMBER.fullmatch(stripped):
        return float(stripped)
    return text


def _numbers(name: str, text: str, expected: str) -> Any:
    """Nested lists of floats, a single float, or [] for blank text."""
    stripped = _limited(name, text).strip()
    if not stripped:
        return []
    _check_brackets(name, stripped, expected)
    listed = _TRAILING_COMMA.sub("", stripped).translate(_BRACKETS)
    try:
        return json.loads(listed, parse_int=float, parse_constant=float)
    except ValueError:
        raise value_error(name, expected, text) from None


def _check_brackets(name: str, text: str, expected: str) -> None:
    closing_of = {"[": "]", "(": ")"}
    open_brackets: list[str] = []
    for character in re.findall(r"[\[\]()]", text):
        if character in closing_of:
            open_brackets.append(closing_of[character])
        elif not open_brackets or open_brackets.pop() != character:
            raise value_error(name, f"{expected} with brackets in pairs", text)
        if len(open_brackets) > _MAX_DEPTH:
            raise value_error(name, f"at most {_MAX_DEPTH} brackets inside each other", text)


def _depth(value: object) -> int:
    """How deep lists of numbers are nested, -1 if that is uneven or anything else is inside."""
    if isinstance(value, float):
        return 0
    if not isinstance(value, list) or not value:
        return -1
    depths = {_depth(item) for item in value}
    return depths.pop() + 1 if len(depths) == 1 and -1 not in depths else -1


def _phrases(name: str, text: str) -> list[str]:
    """A list of quoted phrases, in JSON's quotes or the single ones Python writes."""
    listed = _QUOTED.sub(_json_string, text)
    if text.startswith("("):
        listed = f"[{listed[1:].removesuffix(')').rstrip().removesuffix(',')}]"
    try:
        entries = json.loads(listed)
    except (ValueError, RecursionError):
        raise value_error(name, _CONCEPTS, text) from None
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise value_error(name, _CONCEPTS, text)
    return entries


def _json_string(quoted: re.Match[str]) -> str:
    text = quoted[0]
    if not (text.startswith("'") and text.endswith("'")):
        return text
    return '"' + text[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'


def _concept(entry: str) -> Concept:
    stripped = entry.strip()
    match = _THRESHOLD.search(stripped)
    if match and float(match[1]) <= 1:
        return Concept(stripped[: match.start()], float(match[1]))
    return Concept(stripped)
