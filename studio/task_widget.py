"""The base class of the widgets in Ikomia Studio: a form, and what the Apply button does."""

from __future__ import annotations

from typing import Any

from ikomia import core
from ikomia.core.task import TaskParam
from ikomia.utils import qtconversion
from PyQt6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from .form import Form

_APPLY_BUTTON = "CProcessBtn"


class TaskWidget(core.CWorkflowTaskWidget):
    """Edits the parameters of a task in a form.

    Attributes:
        parameters: The task's parameters.
        form: Their fields.
    """

    def __init__(self, parameters: TaskParam, form: Form, parent: Any) -> None:
        core.CWorkflowTaskWidget.__init__(self, parent)
        self.parameters = parameters
        self.form = form
        self.form.submitted.connect(self.on_apply)
        self._layout = QVBoxLayout()
        self._layout.addWidget(self.form)
        self.on_parameters_changed()
        self.set_layout(qtconversion.PyQtToQt(self._layout))
        self._move_apply_last()

    def on_apply(self) -> None:
        """Applies the parameters; shows the first invalid one instead, if there is one."""
        invalid = self.form.find_invalid_fields()
        if invalid:
            self.form.focus_field(invalid[0])
            return
        self.parameters.set_values(self.form.values())
        self.form.show_values(self.parameters.get_values())
        self.emit_apply(self.parameters)

    def on_parameters_changed(self) -> None:
        """Shows the task's parameters."""
        self.form.show_values(self.parameters.get_values())

    def _move_apply_last(self) -> None:
        # The host makes its button before this form, and Qt would visit it first.
        host = self.form.window()
        button = host.findChild(QPushButton, _APPLY_BUTTON) if host is not None else None
        if button is not None:
            QWidget.setTabOrder(self.form.list_tab_stops()[-1], button)
