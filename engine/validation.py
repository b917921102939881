"""Validates single values. An error is one line that begins with the value's name."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal

PointXy = tuple[float, float]
BoxXyxy = tuple[float, float, float, float]

MAX_TEXT_CHARS = 100_000
MAX_CONCEPTS = 100
MAX_CONCEPT_CHARS = 200
MAX_POINTS = 10_000
MAX_BOXES = 1_000
MAX_OBJECTS = 1_000
MAX_INPUT_SIZE_PX = 4096
MAX_TILES = 16
MAX_AREA_PX = 1_000_000_000
MAX_POINTS_PER_SIDE = 100

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class _ShortRepr(reprlib.Repr):
    """Makes a short ``repr`` that writes whole floats as users do: 5 instead of 5.0."""

    def repr_float(self, value: float, level: int) -> str:
        is_whole = value.is_integer() and abs(value) < 1e15
        return str(int(value)) if is_whole else repr(value)


_shortened = _ShortRepr()
_shortened.maxstring = _shortened.maxother = 60
_shortened.maxlist = _shortened.maxtuple = 4


def shorten(value: object) -> str:
    """Shortens a value for an error: one short line, control characters escaped."""
    try:
        text = _shortened.repr(value)
    except ValueError:  # an int of more digits than Python prints
        text = f"a huge {type(value).__name__}"
    return " ".join(text.split())


def value_error(name: str, expected: str, got: object) -> ValueError:
    """Makes the error for a value that is not what was expected.

    Args:
        name: Name of the value in the error.
        expected: What was expected.
        got: What was given.

    Returns:
        The error, to be raised by the caller.
    """
    return ValueError(f"{name}: expected {expected}, got {shorten(got)}")


def to_finite_number(name: str, value: object, expected: str = "a finite number") -> float:
    """Converts a value to a finite float.

    Args:
        name: Name of the value in the error.
        value: Anything.
        expected: What the error says of it.

    Returns:
        A Python float.

    Raises:
        ValueError: If it is no number, a bool, infinite or NaN.
    """
    try:
        number = math.nan if isinstance(value, (str, bytes, bool)) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise value_error(name, expected, value)
    return number


def to_number(name: str, value: object, low: float, high: float) -> float:
    """Converts a value to a float from ``low`` to ``high``, both included; else ValueError."""
    expected = f"a number from {low:g} to {high:g}"
    number = to_finite_number(name, value, expected)
    if not low <= number <= high:
        raise value_error(name, expected, value)
    return number


def to_whole_number(name: str, value: object, low: int, high: int) -> int:
    """Converts a value to an int from ``low`` to ``high``, both included; else ValueError."""
    expected = f"a whole number from {low} to {high}"
    number = to_finite_number(name, value, expected)
    if not (number.is_integer() and low <= number <= high):
        raise value_error(name, expected, value)
    return int(number)


def to_tiles(name: str, value: object) -> int | Literal["auto"]:
    """Converts a value to tiles a side, 1 to 16, or ``auto``; else ValueError."""
    if value == "auto":
        return "auto"
    try:
        return to_whole_number(name, value, 1, MAX_TILES)
    except ValueError:
        raise value_error(name, f"auto or a whole number from 1 to {MAX_TILES}", value) from None


def check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    """Returns the value, if it is one of the choices; else ValueError."""
    if value not in choices:
        raise value_error(name, "one of " + ", ".join(choices), value)
    return value


def to_points_xy(name: str, values: Iterable[Sequence[float]]) -> tuple[PointXy, ...]:
    """Converts points to tuples of floats.

    Args:
        name: Name of the values in the error.
        values: Pairs of numbers.

    Returns:
        The points, in order.

    Raises:
        ValueError: If one is no pair of finite numbers, or there are more than 10,000.
    """
    points = tuple(_to_row(name, value, 2, "points [x, y] of finite numbers") for value in values)
    check_at_most(name, len(points), MAX_POINTS, "points")
    return points  # type: ignore[return-value]


def to_boxes_xyxy(name: str, values: Iterable[Sequence[float]]) -> tuple[BoxXyxy, ...]:
    """Converts boxes to tuples of floats.

    Args:
        name: Name of the values in the error.
        values: Rows of four numbers.

    Returns:
        The boxes, in order.

    Raises:
        ValueError: If one is no [x1, y1, x2, y2] of finite numbers with x1 < x2 and
            y1 < y2, or there are more than 1,000.
    """
    boxes = tuple(
        _to_row(name, value, 4, "boxes [x1, y1, x2, y2] of finite numbers") for value in values
    )
    check_at_most(name, len(boxes), MAX_BOXES, "boxes")
    for box in boxes:
        if not (box[0] < box[2] and box[1] < box[3]):
            raise value_error(name, "boxes [x1, y1, x2, y2] with x1 < x2 and y1 < y2", list(box))
    return boxes  # type: ignore[return-value]


def check_inside(name: str, points: Iterable[PointXy], image_hw: tuple[int, int]) -> None:
    """Raises ValueError unless every point is in the image or on its border."""
    height, width = image_hw
    for x, y in points:
        if not (0 <= x <= width and 0 <= y <= height):
            raise value_error(name, f"points inside the image of {width} x {height} pixels", [x, y])


def clip_boxes_xyxy(
    name: str, boxes: Iterable[BoxXyxy], image_hw: tuple[int, int], image: str = "image"
) -> tuple[BoxXyxy, ...]:
    """Clips boxes to the borders of an image.

    Args:
        name: Name of the values in the error.
        boxes: Boxes in pixels.
        image_hw: Height and width of the image, in pixels.
        image: What the error calls the image.

    Returns:
        What of each box lies in the image.

    Raises:
        ValueError: If nothing of a box does.
    """
    height, width = image_hw
    clipped = []
    for left, top, right, bottom in boxes:
        box = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
        if not (box[0] < box[2] and box[1] < box[3]):
            expected = f"boxes that reach into the {image} of {width} x {height} pixels"
            raise value_error(name, expected, [left, top, right, bottom])
        clipped.append(box)
    return tuple(clipped)


def to_labels(name: str, values: Iterable[object]) -> tuple[int, ...]:
    """Converts labels to ints.

    Args:
        name: Name of the values in the error.
        values: Zeros and ones.

    Returns:
        The labels, in order.

    Raises:
        ValueError: If one is neither 0 nor 1, or there are more than 10,000.
    """
    checked = tuple(_to_label(name, value) for value in values)
    check_at_most(name, len(checked), MAX_POINTS, "labels")
    return checked


def check_same_count(name: str, label_count: int, count: int, things: str) -> None:
    """Raises ValueError unless there is one label for each thing, or none at all."""
    if label_count not in (0, count):
        raise ValueError(
            f"{name}: expected {count}, one for each of the {things}, got {label_count}"
        )


def check_at_most(name: str, count: int, limit: int, things: str) -> None:
    """Raises ValueError if there are more things than the limit."""
    if count > limit:
        raise ValueError(f"{name}: expected at most {limit:,} {things}, got {count:,}")


def to_concept(name: str, text: object) -> str:
    """Validates a concept and makes its white space single blanks.

    Args:
        name: Name of the value in the error.
        text: A noun phrase.

    Returns:
        The phrase, stripped.

    Raises:
        ValueError: If it is blank, longer than 200 characters, or holds control
            characters or half a surrogate pair.
    """
    if not isinstance(text, str):
        raise value_error(name, "a phrase", text)
    phrase = " ".join(text.split())
    if not phrase:
        raise value_error(name, "phrases that are not blank", text)
    if len(phrase) > MAX_CONCEPT_CHARS:
        raise value_error(name, f"phrases of at most {MAX_CONCEPT_CHARS} characters", text)
    if has_control_characters(phrase):
        raise value_error(name, "phrases without control characters", text)
    return phrase


def to_description(name: str, text: object) -> str:
    """Validates one description of what to find, and makes its white space single blanks.

    Args:
        name: Name of the value in the error.
        text: A description, which may hold commas and colons.

    Returns:
        The description, stripped.

    Raises:
        ValueError: If it is blank, longer than 200 characters, or holds control
            characters or half a surrogate pair.
    """
    expected = f"one description of at most {MAX_CONCEPT_CHARS} characters"
    words = " ".join(text.split()) if isinstance(text, str) else ""
    if not 0 < len(words) <= MAX_CONCEPT_CHARS or has_control_characters(words):
        raise value_error(name, expected, text)
    return words


def check_class_name(name: str, text: object) -> None:
    """Raises ValueError unless the text can name a class: not blank, no control characters."""
    if not isinstance(text, str) or not text.strip() or has_control_characters(text):
        raise value_error(name, "a name that is not blank, without control characters", text)


def to_concepts(name: str, texts: Iterable[object]) -> tuple[str, ...]:
    """Validates at most 100 concepts that all differ, as :func:`to_concept`; else ValueError."""
    phrases: dict[str, str] = {}
    for text in texts:
        phrase = to_concept(name, text)
        # The model's tokenizer folds case, so these would be the same concept twice.
        if phrase.casefold() in phrases:
            raise value_error(name, "every concept once", phrase)
        phrases[phrase.casefold()] = phrase
    check_at_most(name, len(phrases), MAX_CONCEPTS, "concepts")
    return tuple(phrases.values())


def has_control_characters(text: str) -> bool:
    """Tells whether a text holds control characters or half a surrogate pair.

    Format characters do not count: emoji and several scripts need joiners.
    """
    return _UNPRINTABLE.search(text) is not None


def _to_row(name: str, value: object, length: int, expected: str) -> tuple[float, ...]:
    try:
        row: tuple[Any, ...] = tuple(value)  # type: ignore[arg-type]
    except TypeError:
        raise value_error(name, expected, value) from None
    if len(row) != length:
        raise value_error(name, expected, value)
    return tuple(to_finite_number(name, number, expected) for number in row)


def _to_label(name: str, value: object) -> int:
    number = to_finite_number(name, value, "labels 0 or 1")
    if number not in (0, 1):
        raise value_error(name, "labels 0 or 1", value)
    return int(number)
