"""Declares what a parameter is, and makes parameters of the common kinds."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

from ...engine import parsing
from ...engine.validation import value_error

Kind = Literal["text", "bool", "int", "float", "choice", "open_choice", "file"]

EVERY_MODE = frozenset(("object", "concept", "everything", "describe"))
GROUPS = {
    "prompt": "What to segment",
    "points": "Coordinates",
    "output": "Result",
    "model": "Model",
}


@dataclasses.dataclass(frozen=True)
class Parameter:
    """Declares one parameter.

    Attributes:
        name: Its key in Ikomia.
        default: Its default value, as a string.
        label: Its name in the widget.
        help: One or two sentences for the tooltip and the README.
        group: The widget's section it belongs to, a key of its task's groups.
        parser: Takes the name and the text, returns the typed value or raises ValueError.
        kind: Selects the widget's editor. An ``open_choice`` also takes values that are not
            among its choices.
        placeholder: An example shown in an empty text field.
        file_filter: The files that the widget's file dialog offers, as Qt writes them.
        choices: The values offered.
        choice_labels: Their names in the widget; empty to show the values themselves.
        minimum: Smallest number allowed.
        maximum: Largest number allowed.
        step: Increment of the spin box.
        modes: The prompt modes that use it, without ``auto``.
        mode_parsers: Prompt modes in which the value means something else, each with its parser.
    """

    name: str
    default: str
    label: str
    help: str
    group: str
    parser: Callable[[str, str], Any]
    kind: Kind = "text"
    placeholder: str = ""
    file_filter: str = ""
    choices: tuple[str, ...] = ()
    choice_labels: tuple[str, ...] = ()
    minimum: float = 0
    maximum: float = 0
    step: float = 1
    modes: frozenset[str] = EVERY_MODE
    mode_parsers: tuple[tuple[str, Callable[[str, str], Any]], ...] = ()

    def parse(self, text: str, mode: str = "auto") -> Any:
        """Parses and validates a value of this parameter.

        Args:
            text: The value as a string.
            mode: The prompt mode that it is for.

        Returns:
            The typed value.

        Raises:
            ValueError: If the value is invalid; one line that begins with the parameter's name.
        """
        if not isinstance(text, str):
            raise value_error(self.name, "a string", text)
        return _parse_once(self, text, dict(self.mode_parsers).get(mode, self.parser))

    def is_used_in(self, mode: str) -> bool:
        """Tells whether a prompt mode uses the parameter; ``auto`` is object or concept."""
        return bool(self.modes & ({"object", "concept"} if mode == "auto" else {mode}))


@functools.lru_cache(maxsize=64)
def _parse_once(parameter: Parameter, text: str, parser: Callable[[str, str], Any]) -> Any:
    # Every run parses all strings again, and most were parsed when they were set.
    return parser(parameter.name, text)


def make_choice(name: str, choices: tuple[str, ...], **fields: Any) -> Parameter:
    """Makes a parameter with a fixed list of values."""
    parser = functools.partial(parsing.parse_choice, choices=choices)
    return Parameter(name, parser=parser, kind="choice", choices=choices, **fields)


def make_number(name: str, low: float, high: float, **fields: Any) -> Parameter:
    """Makes a number parameter in the range ``low`` to ``high``, both included."""
    parser = functools.partial(parsing.parse_number, low=low, high=high)
    return Parameter(name, parser=parser, kind="float", minimum=low, maximum=high, **fields)


def make_integer(name: str, low: int, high: int, **fields: Any) -> Parameter:
    """Makes an integer parameter in the range ``low`` to ``high``, both included."""
    parser = functools.partial(parsing.parse_integer, low=low, high=high)
    return Parameter(name, parser=parser, kind="int", minimum=low, maximum=high, **fields)


def make_switch(name: str, default: str, **fields: Any) -> Parameter:
    """Makes a True or False parameter."""
    return Parameter(name, default, parser=parsing.parse_boolean, kind="bool", **fields)
