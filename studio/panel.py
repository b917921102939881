"""The complete form: a field for every parameter, and the drawing tools."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from ..adapter.parameters.settings import GROUPS, PARAMETERS
from .accelerators import mark_accelerators
from .choice_fields import CheckField, make_field
from .cuda import explain_missing_cuda
from .destination import explain_destination
from .fields import Field
from .sections import DrawingTools, DrawnPrompt, FieldGrid, Section
from .theme import Note, get_quiet_color
from .tracking_tools import TrackingTools

_TOP_GROUP = "prompt"
_MAY_DRAW = "Drawn points and boxes are added to the prompt of the next run."
_NO_DRAWING = "This mode uses no drawn points or boxes."


class Panel(QWidget):
    """A form for every parameter.

    Attributes:
        submitted: Emitted when Enter is pressed in a field, to start a run.
        tool_requested: Emitted with the :class:`DrawnPrompt` whose tool is wanted.
        fields: One for each parameter, by its name.
        tools: The drawing tools.
        tracking: What is followed through a video.
        destination: Says where pictures go in a mode that sends them.
        sections: The sections that fold, by their group.
    """

    submitted = pyqtSignal()
    tool_requested = pyqtSignal(object)

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, Field] = {n: make_field(p) for n, p in PARAMETERS.items()}
        self.tools = DrawingTools()
        self.tracking = TrackingTools()
        self.destination = Note(get_quiet_color)
        self._top = FieldGrid(self._list_fields(_TOP_GROUP))
        self.sections = {
            group: Section(title, self._list_fields(group))
            for group, title in GROUPS.items()
            if group != _TOP_GROUP
        }
        self._seen: dict[str, str] = {}
        self._note = ""
        self._lay_out()
        self._assign_accelerators()
        self._set_tab_order()
        self._connect_signals()
        self.show_run_note("")

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

    def show_run_note(self, note: str) -> None:
        """Shows the note of the last run, and whether CUDA can be used now.

        Args:
            note: One line; empty before the first run.
        """
        self._note = note
        self._update_drawing_note()
        cuda = self.fields["cuda"]
        if isinstance(cuda, CheckField):
            cuda.set_unavailable(explain_missing_cuda() or "")

    def list_tab_stops(self) -> list[QWidget]:
        """Lists the widgets that the tab key visits, from top to bottom."""
        stops = [stop for field in self._top.fields for stop in field.list_tab_stops()]
        stops += self.tools.buttons.values()
        if not self.tracking.isHidden():
            stops.append(self.tracking.button)
        for section in self.sections.values():
            stops.append(section.header)
            stops += [stop for field in section.grid.fields for stop in field.list_tab_stops()]
        return stops

    def _list_fields(self, group: str) -> list[Field]:
        return [field for field in self.fields.values() if field.parameter.group == group]

    def _lay_out(self) -> None:
        page = QVBoxLayout(self)
        page.setContentsMargins(0, 0, 0, 0)
        page.setSpacing(round(self.fontMetrics().height() * 0.8))
        page.addWidget(self._top)
        page.addWidget(self.destination)
        page.addWidget(self.tools)
        page.addWidget(self.tracking)
        for section in self.sections.values():
            page.addWidget(section)

    def _assign_accelerators(self) -> None:
        setters: list[tuple[str, Callable[[str], None]]] = [
            (field.parameter.label, field.set_title) for field in self._top.fields
        ]
        setters += [(button.text(), button.setText) for button in self.tools.buttons.values()]
        setters += [(s.header.text(), s.header.setText) for s in self.sections.values()]
        for section in self.sections.values():
            setters += [(f.parameter.label, f.set_title) for f in section.grid.fields]
        titles = mark_accelerators(title for title, _ in setters)
        for title, (_, set_title) in zip(titles, setters, strict=True):
            set_title(title)

    def _set_tab_order(self) -> None:
        stops = self.list_tab_stops()
        for before, after in itertools.pairwise(stops):
            self.setTabOrder(before, after)

    def _connect_signals(self) -> None:
        for field in self.fields.values():
            field.submitted.connect(self.submitted)
        self.tools.requested.connect(self.tool_requested)
        self.fields["prompt_mode"].changed.connect(self._apply_mode)
        self._apply_mode()

    def _apply_mode(self) -> None:
        mode = self.fields["prompt_mode"]
        if mode.error():
            return
        value = mode.parameter.parse(mode.value())
        for field in self.fields.values():
            field.set_mode(value)
        drawn: DrawnPrompt
        for drawn, button in self.tools.buttons.items():
            button.setEnabled(PARAMETERS[drawn.parameter].is_used_in(value))
        self.destination.show_text(explain_destination() if value == "describe" else "")
        self._update_drawing_note()

    def _update_drawing_note(self) -> None:
        may_draw = any(button.isEnabled() for button in self.tools.buttons.values())
        self.tools.last_run.show_text((self._note or _MAY_DRAW) if may_draw else _NO_DRAWING)
