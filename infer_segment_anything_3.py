"""The plugin: tells Ikomia how to make its task and its widget."""

from __future__ import annotations

from typing import Any

from ikomia import dataprocess


class IkomiaPlugin(dataprocess.CPluginProcessInterface):
    """What Ikomia looks for in a plugin's main module."""

    def __init__(self) -> None:
        dataprocess.CPluginProcessInterface.__init__(self)

    def get_process_factory(self) -> Any:
        """Makes the factory of the task."""
        from .infer_segment_anything_3_process import InferSegmentAnything3Factory

        return InferSegmentAnything3Factory()

    def get_widget_factory(self) -> Any:
        """Makes the factory of the widget. Only Studio asks for it: it needs PyQt6."""
        from .infer_segment_anything_3_widget import InferSegmentAnything3WidgetFactory

        return InferSegmentAnything3WidgetFactory()

    def get_param_factory(self) -> Any:
        """Makes the factory of the parameters."""
        from .infer_segment_anything_3_process import InferSegmentAnything3ParamFactory

        return InferSegmentAnything3ParamFactory()
