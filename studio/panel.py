"""The form of the segmentation task: its parameters, the drawing tools, the tracked objects."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QWidget

from ..adapter.parameters.settings import GROUPS, PARAMETERS
from .choice_fields import CheckField
from .cuda import explain_missing_cuda
from .destination import explain_destination
from .form import Form
from .sections import DrawingTools, DrawnPrompt
from .theme import Note, get_quiet_color
from .tracking_tools import TrackingTools

_MAY_DRAW = "Drawn points and boxes are added to the prompt of the next run."
_NO_DRAWING = "This mode uses no drawn points or boxes."


class Panel(Form):
    """A form for every parameter, with the drawing tools.

    Attributes:
        tool_requested: Emitted with the :class:`DrawnPrompt` whose tool is wanted.
        tools: The drawing tools.
        tracking: What is followed through a video.
        destination: Says where pictures go in a mode that sends them.
    """

    tool_requested = pyqtSignal(object)

    def __init__(self) -> None:
        super().__init__(PARAMETERS, GROUPS)
        self.tools = DrawingTools()
        self.tracking = TrackingTools()
        self.destination = Note(get_quiet_color)
        self._note = ""
        self.lay_out()
        self.tools.requested.connect(self.tool_requested)
        self.fields["prompt_mode"].changed.connect(self._apply_mode)
        self._apply_mode()
        self.show_run_note("")

    def list_tools(self) -> list[QWidget]:
        """Lists where pictures go, the drawing tools and the tracked objects."""
        return [self.destination, self.tools, self.tracking]

    def list_tool_stops(self) -> list[QWidget]:
        """Lists the buttons that the tab key visits."""
        stops: list[QWidget] = list(self.tools.buttons.values())
        return stops if self.tracking.isHidden() else [*stops, self.tracking.button]

    def list_tool_titles(self) -> list[tuple[str, Callable[[str], None]]]:
        """Lists the titles of the drawing tools."""
        return [(button.text(), button.setText) for button in self.tools.buttons.values()]

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
