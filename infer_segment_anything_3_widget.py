"""The plugin's widget in Ikomia Studio."""

from __future__ import annotations

from typing import Any

from ikomia import core, dataprocess
from ikomia.utils import qtconversion
from PyQt6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from .adapter.inputs.graphics import UNNAMED_CATEGORY
from .adapter.parameters.task_param import InferSegmentAnything3Param
from .studio.panel import Panel
from .studio.sections import DrawnPrompt

NEGATIVE_CATEGORY = "negative"
_APPLY_BUTTON = "CProcessBtn"
_SHAPES = {"point": core.GraphicsShape.POINT, "box": core.GraphicsShape.RECTANGLE}


class InferSegmentAnything3Widget(core.CWorkflowTaskWidget):
    """Edits the parameters of a task.

    Args:
        param: The task's parameters; None for defaults.
        parent: The Qt parent, as Ikomia hands it over.
    """

    def __init__(self, param: InferSegmentAnything3Param | None, parent: Any) -> None:
        core.CWorkflowTaskWidget.__init__(self, parent)
        self.parameters = InferSegmentAnything3Param() if param is None else param
        self.panel = Panel()
        self.panel.submitted.connect(self.on_apply)
        self.panel.tool_requested.connect(self._start_drawing)
        self.panel.tracking.start_over.connect(self._start_over)
        self._layout = QVBoxLayout()
        self._layout.addWidget(self.panel)
        self.on_parameters_changed()
        self.set_layout(qtconversion.PyQtToQt(self._layout))
        self._move_apply_last()

    def on_apply(self) -> None:
        """Applies the parameters; shows the first invalid one instead, if there is one."""
        invalid = self.panel.find_invalid_fields()
        if invalid:
            self.panel.focus_field(invalid[0])
            return
        self.parameters.set_values(self.panel.values())
        self.panel.show_values(self.parameters.get_values())
        self.emit_apply(self.parameters)

    def on_parameters_changed(self) -> None:
        """Shows the task's parameters and the notes of its last run."""
        self.panel.show_values(self.parameters.get_values())
        self.panel.show_run_note(self.parameters.last_run_note)
        self.panel.tracking.show_text(self.parameters.tracking_note)

    def _start_over(self) -> None:
        self.parameters.start_over_requested = True
        self.on_apply()

    def _move_apply_last(self) -> None:
        # The host makes its button before this form, and Qt would visit it first.
        host = self.panel.window()
        button = host.findChild(QPushButton, _APPLY_BUTTON) if host is not None else None
        if button is not None:
            QWidget.setTabOrder(self.panel.list_tab_stops()[-1], button)

    def _start_drawing(self, prompt: DrawnPrompt) -> None:
        self.emit_set_graphics_category(UNNAMED_CATEGORY if prompt.include else NEGATIVE_CATEGORY)
        self.emit_set_graphics_tool(_SHAPES[prompt.shape])


class InferSegmentAnything3WidgetFactory(dataprocess.CWidgetFactory):
    """Creates the widget for Studio."""

    def __init__(self) -> None:
        dataprocess.CWidgetFactory.__init__(self)
        self.name = "infer_segment_anything_3"

    def create(self, param: InferSegmentAnything3Param | None) -> InferSegmentAnything3Widget:
        """Creates a widget for these parameters; with None for the defaults."""
        return InferSegmentAnything3Widget(param, None)
