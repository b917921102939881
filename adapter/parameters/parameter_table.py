"""Handles the parameters of a task as a table: defaults, changes, saved values of any version."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from ...engine.validation import shorten
from .spec import Parameter

MODE = "prompt_mode"
"""The parameter that decides what the values of some others mean, in a table that has it."""


class ParameterTable(dict[str, Parameter]):
    """The parameters of a task by name, in the order in which they are shown."""

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        super().__init__((parameter.name, parameter) for parameter in parameters)

    def find(self, name: str) -> Parameter:
        """Finds a parameter by its name.

        Raises:
            ValueError: If the name is unknown; it says which one is like it.
        """
        if name in self:
            return self[name]
        near = difflib.get_close_matches(str(name)[:100], self, n=2)
        hint = f", did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"{shorten(name)}: unknown parameter{hint}")

    def get_defaults(self) -> dict[str, str]:
        """Returns the default of every parameter, as strings."""
        return {name: parameter.default for name, parameter in self.items()}

    def parse_values(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Parses and validates strings.

        Args:
            values: Strings by name; a missing parameter has its default.

        Returns:
            The typed value of every parameter, by name.

        Raises:
            ValueError: If a name is unknown or a value is invalid by itself.
        """
        texts = {**self.get_defaults(), **values}
        mode = texts.get(MODE, "")
        return {name: self.find(name).parse(text, mode) for name, text in texts.items()}

    def merge_values(
        self, current: Mapping[str, str], changes: Mapping[str, str]
    ) -> dict[str, str]:
        """Validates changed values and merges them into the current ones.

        Args:
            current: Strings by name, not validated again; a missing parameter has its default.
            changes: Strings by name.

        Returns:
            A new dict with a string for every parameter, in the table's order.

        Raises:
            ValueError: If a name is unknown or a changed value is invalid by itself.
        """
        merged = {**self.get_defaults(), **current, **changes}
        for name, text in changes.items():
            self.find(name).parse(text, merged.get(MODE, ""))
        return merged

    def keep_valid(self, values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """Keeps the valid values of a saved workflow, so that files of any version open.

        Args:
            values: Strings by name; names and values may be invalid.

        Returns:
            A string for every parameter (the default where a value is invalid), and one warning
            for each value that was left out.
        """
        kept, warnings = self.get_defaults(), []
        mode = values.get(MODE, "")
        for name, text in values.items():
            try:
                self.find(name).parse(text, mode)
            except ValueError as error:
                warnings.append(f"{error}; left out")
            else:
                kept[name] = text
        return kept, warnings


def to_text(value: Any) -> Any:
    """Converts a value to the string that Ikomia carries.

    Args:
        value: A string, number, bool, path, NumPy array, or a list or tuple of these.

    Returns:
        The string; any other value as it is, for :func:`merge_values` to refuse.
    """
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        value = value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, list | tuple):
        try:
            return json.dumps(value, default=_to_plain, ensure_ascii=False)
        except (TypeError, ValueError):
            return value
    return value


def _to_plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value)} is no value of a parameter")
