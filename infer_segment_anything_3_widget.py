"""The plugin's widget in Ikomia Studio."""

from __future__ import annotations

from typing import Any

from ikomia import core, dataprocess

from .adapter.inputs.graphics import UNNAMED_CATEGORY
from .adapter.parameters.task_param import InferSegmentAnything3Param
from .studio.panel import Panel
from .studio.sections import DrawnPrompt
from .studio.task_widget import TaskWidget

NEGATIVE_CATEGORY = "negative"
_SHAPES = {"point": core.GraphicsShape.POINT, "box": core.GraphicsShape.RECTANGLE}


class InferSegmentAnything3Widget(TaskWidget):
    """Edits the parameters of a task.

    Args:
        param: The task's parameters; None for defaults.
        parent: The Qt parent, as Ikomia hands it over.
    """

    def __init__(self, param: InferSegmentAnything3Param | None, parent: Any) -> None:
        self.panel = Panel()
        self.panel.tool_requested.connect(self._start_drawing)
        self.panel.tracking.start_over.connect(self._start_over)
        own = InferSegmentAnything3Param() if param is None else param
        TaskWidget.__init__(self, own, self.panel, parent)

    def on_parameters_changed(self) -> None:
        """Shows the task's parameters and the notes of its last run."""
        TaskWidget.on_parameters_changed(self)
        self.panel.show_run_note(self.parameters.last_run_note)
        self.panel.tracking.show_text(self.parameters.tracking_note)

    def _start_over(self) -> None:
        self.parameters.start_over_requested = True
        self.on_apply()

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
