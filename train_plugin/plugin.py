"""The plugin's entry point: its factories of the task, the widget and the parameters."""

from __future__ import annotations

from typing import Any

from ikomia import dataprocess


class IkomiaPlugin(dataprocess.CPluginProcessInterface):
    """The class that Ikomia looks for in a plugin's main module."""

    def __init__(self) -> None:
        dataprocess.CPluginProcessInterface.__init__(self)

    def get_process_factory(self) -> Any:
        """Returns the factory of the task."""
        from ..engine.runtime.isolation import ask_float_limits

        # Before MLflow, which the base class of the task imports, asks for them with warnings.
        ask_float_limits()
        from .process import TrainFactory

        return TrainFactory()

    def get_widget_factory(self) -> Any:
        """Returns the factory of the widget. Only Studio calls it: it needs PyQt6."""
        from .widget import TrainWidgetFactory

        return TrainWidgetFactory()

    def get_param_factory(self) -> Any:
        """Returns the factory of the parameters."""
        from .process import TrainParamFactory

        return TrainParamFactory()
