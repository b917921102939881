"""What a parameter is, and the kinds of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

from ...engine import parsing
from ...engine.validation import value_error

Kind = Literal["text", "bool", "int", "float", "choice", "open_choice", "file"]
Group = Literal["prompt", "points", "output", "model"]

EVERY_MODE = frozenset(("object", "concept", "everything"))
GROUPS: dict[Group, str] = {
    "prompt": "What to segment",
    "points": "Coordinates",
    "output": "Result",
    "model": "Model",
}


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        name: Its key in Ikomia.
        default: Its value when nobody sets one.
        label: What a form calls it.
        help: What it means, in a sentence or two.
        group: The section of a form it belongs to, a key of :data:`GROUPS`.
        reader: Takes the name and the text, gives the typed value or raises ValueError.
        kind: What edits it. An ``open_choice`` takes other values than its choices too.
        placeholder: An example to show in an empty field.
        choices: Values to offer.
        choice_labels: What a form calls them; empty for the values themselves.
        minimum: Smallest number.
        maximum: Largest number.
        step: What a spin box adds.
        modes: The prompt modes, ``auto`` apart, in which it matters.
    """

    name: str
    default: str
    label: str
    help: str
    group: Group
    reader: Callable[[str, str], Any]
    kind: Kind = "text"
    placeholder: str = ""
    choices: tuple[str, ...] = ()
    choice_labels: tuple[str, ...] = ()
    minimum: float = 0
    maximum: float = 0
    step: float = 1
    modes: frozenset[str] = EVERY_MODE

    def parse(self, text: str) -> Any:
        """Reads a value of this parameter.

        Args:
            text: The value as a string.

        Returns:
            The typed value.

        Raises:
            ValueError: In one line that begins with the parameter's name.
        """
        if not isinstance(text, str):
            raise value_error(self.name, "a string", text)
        return self.reader(self.name, text)

    def is_used_in(self, mode: str) -> bool:
        """Whether the parameter matters in a prompt mode; ``auto`` is object or concept."""
        return bool(self.modes & ({"object", "concept"} if mode == "auto" else {mode}))


def choice(name: str, choices: tuple[str, ...], **fields: Any) -> Parameter:
    """A parameter with a few values to choose from."""
    reader = functools.partial(parsing.choice, choices=choices)
    return Parameter(name, reader=reader, kind="choice", choices=choices, **fields)


def number(name: str, low: float, high: float, **fields: Any) -> Parameter:
    """A parameter from ``low`` to ``high``, both included."""
    reader = functools.partial(parsing.number, low=low, high=high)
    return Parameter(name, reader=reader, kind="float", minimum=low, maximum=high, **fields)


def integer(name: str, low: int, high: int, **fields: Any) -> Parameter:
    """A parameter of whole numbers from ``low`` to ``high``, both included."""
    reader = functools.partial(parsing.integer, low=low, high=high)
    return Parameter(name, reader=reader, kind="int", minimum=low, maximum=high, **fields)


def switch(name: str, default: str, **fields: Any) -> Parameter:
    """A parameter that is on or off."""
    return Parameter(name, default, reader=parsing.boolean, kind="bool", **fields)
