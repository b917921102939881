"""Parses parameters' strings into numbers, points, boxes and labels.

Nothing here evaluates code. Lengths, counts and nesting are limited, and every error is a
one-line ``ValueError`` that begins with the parameter's name. :mod:`concept_text` parses
concepts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal

from . import validation
from .validation import BoxXyxy, PointXy, value_error

MAX_PATH_CHARS = 4_096
_MAX_DEPTH = 3
_MAX_NUMBER_CHARS = 40

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BRACKETS = str.maketrans("()", "[]")
_TRAILING_COMMA = re.compile(r"(?<=[0-9\])])\s*,\s*(?=[\])])")
_TRUE = frozenset(("true", "1", "yes", "y", "t", "on"))
_FALSE = frozenset(("false", "0", "no", "n", "f", "off"))

_POINTS = "[x, y], [[x, y], ...] or [[[x, y], ...], ...]"
_BOXES = "[x1, y1, x2, y2] or [[x1, y1, x2, y2], ...]"
_LABELS = "0 and 1 as [1, 0, ...] or [[1, 0, ...], ...]"


def parse_points(name: str, text: str) -> tuple[tuple[PointXy, ...], ...]:
    """Parses points, one group for each object.

    Args:
        name: The parameter.
        text: ``[x, y]`` or ``[[x, y], ...]`` for one object, ``[[[x, y], ...], ...]`` for
            several; parentheses do as well; blank or ``[]`` for none.

    Returns:
        Points of each object.

    Raises:
        ValueError: If the text is anything else, or over the limits.
    """
    groups = _parse_groups(name, text, _POINTS, item_depth=1)
    checked = tuple(validation.to_points_xy(name, group) for group in groups)
    validation.check_at_most(name, len(checked), validation.MAX_OBJECTS, "objects")
    validation.check_at_most(name, sum(map(len, checked)), validation.MAX_POINTS, "points")
    return checked


def parse_point_labels(name: str, text: str) -> tuple[tuple[int, ...], ...]:
    """Parses the labels of points: like :func:`parse_points`, without the innermost brackets.

    Args:
        name: The parameter.
        text: ``1``, ``[1, 0, ...]`` or ``[[1, 0, ...], ...]``; blank or ``[]`` for none.

    Returns:
        Labels of each object.

    Raises:
        ValueError: If the text is anything else, or over the limits.
    """
    groups = _parse_groups(name, text, _LABELS, item_depth=0)
    checked = tuple(validation.to_labels(name, group) for group in groups)
    validation.check_at_most(name, sum(map(len, checked)), validation.MAX_POINTS, "labels")
    return checked


def parse_boxes(name: str, text: str) -> tuple[BoxXyxy, ...]:
    """Parses boxes.

    Args:
        name: The parameter.
        text: ``[x1, y1, x2, y2]`` or a list of these; blank or ``[]`` for none.

    Returns:
        The boxes, in order.

    Raises:
        ValueError: If the text is anything else, a box has no area or swapped corners, or
            there are too many.
    """
    value = _parse_numbers(name, text, _BOXES)
    if value == []:
        return ()
    depth = _get_depth(value)
    if depth not in (1, 2):
        raise value_error(name, _BOXES, text)
    return validation.to_boxes_xyxy(name, [value] if depth == 1 else value)


def parse_box_labels(name: str, text: str) -> tuple[int, ...]:
    """Parses one label for each box: ``1`` or ``[1, 0, ...]``; blank or ``[]`` for none."""
    groups = parse_point_labels(name, text)
    if len(groups) > 1:
        raise value_error(name, "labels as [1, 0, ...]", text)
    return groups[0] if groups else ()


def parse_boolean(name: str, text: str) -> bool:
    """Parses ``True`` or ``False``, or another word that Ikomia accepts (1, yes, on, ...)."""
    word = text.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise value_error(name, "True or False", text)


def parse_number(name: str, text: str, low: float, high: float) -> float:
    """Parses a number from ``low`` to ``high``, both included; else ValueError."""
    return validation.to_number(name, _parse_number(text), low, high)


def parse_integer(name: str, text: str, low: int, high: int) -> int:
    """Parses a whole number (``50`` or ``50.0``) from ``low`` to ``high``; else ValueError."""
    return validation.to_whole_number(name, _parse_number(text), low, high)


def parse_choice(name: str, text: str, choices: Sequence[str]) -> str:
    """Parses one of the choices, in any case; else ValueError."""
    return validation.check_choice(name, text.strip().lower(), choices)


def parse_tiles(name: str, text: str) -> int | Literal["auto"]:
    """Parses ``off`` as 1, ``auto``, and a number of tiles a side as itself."""
    word = text.strip().lower()
    if word == "auto":
        return "auto"
    if word == "off":
        return 1
    try:
        return parse_integer(name, text, 1, validation.MAX_TILES)
    except ValueError:
        expected = f"off, auto or a whole number from 1 to {validation.MAX_TILES}"
        raise value_error(name, expected, text) from None


def parse_input_size(name: str, text: str) -> int | Literal["auto"]:
    """Parses ``auto`` or a side in pixels; which sides a model has is known at the run."""
    if text.strip().lower() == "auto":
        return "auto"
    try:
        return parse_integer(name, text, 1, validation.MAX_INPUT_SIZE_PX)
    except ValueError:
        raise value_error(name, "auto or a side in pixels, such as 672", text) from None


def parse_path(name: str, text: str) -> str:
    """Parses the path of a file, without checking that it exists; blank for none."""
    stripped = text.strip()
    if len(stripped) > MAX_PATH_CHARS or validation.has_control_characters(stripped):
        expected = f"a path of at most {MAX_PATH_CHARS:,} characters without control characters"
        raise value_error(name, expected, text)
    return stripped


def _parse_number(text: str) -> float | str:
    """Parses a number written in ASCII digits; returns any other text as it is."""
    stripped = text.strip()
    is_number = len(stripped) <= _MAX_NUMBER_CHARS and _NUMBER.fullmatch(stripped)
    return float(stripped) if is_number else text


def _parse_groups(name: str, text: str, expected: str, item_depth: int) -> list[Any]:
    """Parses groups of items; a single item or a single group needs no brackets around it."""
    value = _parse_numbers(name, text, expected)
    if value == []:
        return []
    depth = _get_depth(value) - item_depth
    if not 0 <= depth <= 2:
        raise value_error(name, expected, text)
    return {0: [[value]], 1: [value], 2: value}[depth]


def _parse_numbers(name: str, text: str, expected: str) -> Any:
    """Parses nested lists of numbers, a single number, or [] for blank text."""
    validation.check_at_most(name, len(text), validation.MAX_TEXT_CHARS, "characters")
    stripped = text.strip()
    if not stripped:
        return []
    _check_brackets(name, stripped, expected)
    listed = _TRAILING_COMMA.sub("", stripped).translate(_BRACKETS)
    try:
        return json.loads(listed, parse_constant=float)
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


def _get_depth(value: object) -> int:
    """Returns how deep lists of numbers are nested, -1 if uneven or not only numbers."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0
    if not isinstance(value, list) or not value:
        return -1
    depths = {_get_depth(item) for item in value}
    return depths.pop() + 1 if len(depths) == 1 and -1 not in depths else -1
