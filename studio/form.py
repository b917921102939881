"""A form with a field for every parameter of a table, in sections that fold."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from ..adapter.parameters.parameter_table import ParameterTable
from .accelerators import mark_accelerators
from .choice_fields import make_field
from .fields import Field
from .sections import FieldGrid, Section


class Form(QWidget):
    """A form for every parameter of a table.

    Attributes:
        submitted: Emitted when Enter is pressed in a field, to start a run.
        fields: One for each parameter, by its name.
        top: The fields of the first group, which are always visible.
        sections: The sections that fold, by their group.
    """

    submitted = pyqtSignal()

    def __init__(self, parameters: ParameterTable, groups: Mapping[str, str]) -> None:
        """Makes the fields; :meth:`lay_out` places them.

        Args:
            parameters: The parameters.
            groups: Titles of their groups, in order. The first group has no title.
        """
        super().__init__()
        self.fields: dict[str, Field] = {n: make_field(p) for n, p in parameters.items()}
        top_group, *folded = groups
        self.top = FieldGrid(self._list_fields(top_group))
        self.sections = {
            group: Section(groups[group], self._list_fields(group)) for group in folded
        }
        self._seen: dict[str, str] = {}
        for field in self.fields.values():
            field.submitted.connect(self.submitted)

    def lay_out(self) -> None:
        """Places all parts below each other, in the order of the tab key, with accelerators."""
        page = QVBoxLayout(self)
        page.setContentsMargins(0, 0, 0, 0)
        page.setSpacing(round(self.fontMetrics().height() * 0.8))
        for part in (self.top, *self.list_tools(), *self.sections.values()):
            page.addWidget(part)
        self._assign_accelerators()
        for before, after in itertools.pairwise(self.list_tab_stops()):
            self.setTabOrder(before, after)

    def list_tools(self) -> list[QWidget]:
        """Lists the widgets between the first group and the sections; none by default."""
        return []

    def list_tool_stops(self) -> list[QWidget]:
        """Lists the tools that the tab key visits; none by default."""
        return []

    def list_tool_titles(self) -> list[tuple[str, Callable[[str], None]]]:
        """Lists the titles of the tools, each with what sets it; none by default."""
        return []

    def values(self) -> dict[str, str]:
        """Returns the values of all fields, as Ikomia's strings by name."""
        return {name: field.value() for name, field in self.fields.items()}

    def show_values(self, values: Mapping[str, str]) -> None:
        """Shows parameters; keeps an unapplied edit where the parameter did not change.

        Args:
            values: Strings by name, readable or not; unknown names are left alone.
        """
        for name, field in self.fields.items():
            if name in values and values[name] != self._seen.get(name):
                field.set_value(values[name])
        is_first = not self._seen
        self._seen = dict(values)
        for section in self.sections.values():
            fields = section.grid.fields
            if any(field.error() for field in fields):
                section.set_open(True)
            elif is_first:
                section.set_open(not all(field.is_default() for field in fields))

    def find_invalid_fields(self) -> list[Field]:
        """Returns the fields with an invalid value."""
        return [field for field in self.fields.values() if field.error()]

    def focus_field(self, field: Field) -> None:
        """Opens a field's section and gives the field the keyboard focus."""
        for section in self.sections.values():
            if field in section.grid.fields:
                section.set_open(True)
        field.editor.setFocus()

    def list_tab_stops(self) -> list[QWidget]:
        """Lists the widgets that the tab key visits, from top to bottom."""
        stops = [stop for field in self.top.fields for stop in field.list_tab_stops()]
        stops += self.list_tool_stops()
        for section in self.sections.values():
            stops.append(section.header)
            stops += [stop for field in section.grid.fields for stop in field.list_tab_stops()]
        return stops

    def _list_fields(self, group: str) -> list[Field]:
        return [field for field in self.fields.values() if field.parameter.group == group]

    def _assign_accelerators(self) -> None:
        setters: list[tuple[str, Callable[[str], None]]] = [
            (field.parameter.label, field.set_title) for field in self.top.fields
        ]
        setters += self.list_tool_titles()
        setters += [(s.header.text(), s.header.setText) for s in self.sections.values()]
        for section in self.sections.values():
            setters += [(f.parameter.label, f.set_title) for f in section.grid.fields]
        titles = mark_accelerators(title for title, _ in setters)
        for title, (_, set_title) in zip(titles, setters, strict=True):
            set_title(title)
