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
        from .infer_segment_anything_3_process import InferSegmentAnything3Factory

        return InferSegmentAnything3Factory()

    def get_widget_factory(self) -> Any:
        """Returns the factory of the widget. Only Studio calls it: it needs PyQt6."""
        from .infer_segment_anything_3_widget import InferSegmentAnything3WidgetFactory

        return InferSegmentAnything3WidgetFactory()

    def get_param_factory(self) -> Any:
        """Returns the factory of the parameters."""
        from .infer_segment_anything_3_process import InferSegmentAnything3ParamFactory

        return InferSegmentAnything3ParamFactory()
