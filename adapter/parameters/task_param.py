"""Declares the class through which Ikomia loads, saves and shows the parameters."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ikomia.core.task import TaskParam

from .settings import get_defaults, keep_valid

logger = logging.getLogger("infer_segment_anything_3")


class InferSegmentAnything3Param(TaskParam):
    """Carries the parameters as strings, the form that Ikomia needs.

    Attributes:
        cfg: Strings by name.
        last_run_note: The widget's line about the last run.
        tracking_note: The widget's line about what is followed through a video.
        start_over_requested: Whether the widget asked to start tracking over.
    """

    def __init__(self) -> None:
        TaskParam.__init__(self)
        self.cfg: dict[str, str] = get_defaults()
        self.last_run_note = ""
        self.tracking_note = ""
        self.start_over_requested = False

    def set_values(self, params: Mapping[str, str]) -> None:
        """Takes the valid values, so that a workflow of any version opens.

        Args:
            params: Strings by name. Unknown names and invalid values are left out with a
                warning.
        """
        self.cfg, warnings = keep_valid({str(name): str(text) for name, text in params.items()})
        for line in warnings:
            logger.warning("%s", line)
