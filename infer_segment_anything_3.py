"""The plugin's entry point: its factories of the task, the widget and the parameters.

Ikomia imports this file as a module of the package, ``infer_segment_anything_3.
infer_segment_anything_3``. In the checkout's own folder Python finds it in place of the package:
there it stands in for the package, and needs no Ikomia.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

if __name__ in ("infer_segment_anything_3", "__main__"):
    __path__ = [str(Path(__file__).resolve().parent)]
else:
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


if __name__ == "__main__":  # python -m infer_segment_anything_3, in the checkout's folder
    # By name: what Ikomia loads must not depend on the command line.
    sys.exit(importlib.import_module("infer_segment_anything_3.cli.app").main())
