"""The training task's widget in Ikomia Studio."""

from __future__ import annotations

from typing import Any

from ikomia import dataprocess

from ..studio.choice_fields import CheckField
from ..studio.cuda import explain_missing_cuda
from ..studio.form import Form
from ..studio.task_widget import TaskWidget
from .parameters import GROUPS, NAME, PARAMETERS, TrainParam


class TrainForm(Form):
    """A form for every parameter."""

    def __init__(self) -> None:
        super().__init__(PARAMETERS, GROUPS)
        self.lay_out()
        cuda = self.fields["cuda"]
        assert isinstance(cuda, CheckField)
        cuda.set_unavailable(explain_missing_cuda() or "")


class TrainWidget(TaskWidget):
    """Edits the parameters of a task.

    Args:
        param: The task's parameters; None for defaults.
        parent: The Qt parent, as Ikomia hands it over.
    """

    def __init__(self, param: TrainParam | None, parent: Any) -> None:
        TaskWidget.__init__(self, TrainParam() if param is None else param, TrainForm(), parent)


class TrainWidgetFactory(dataprocess.CWidgetFactory):
    """Creates the widget for Studio."""

    def __init__(self) -> None:
        dataprocess.CWidgetFactory.__init__(self)
        self.name = NAME

    def create(self, param: TrainParam | None) -> TrainWidget:
        """Creates a widget for these parameters; with None for the defaults."""
        return TrainWidget(param, None)
