"""Reports what Roboflow's engine refuses, with the fields of Roboflow's server."""

from __future__ import annotations

from typing import Any

from ..errors import ApiError


class WorkflowFailedError(ApiError):
    """Reports a workflow that is none, or a step that failed.

    Attributes:
        content: The fields of Roboflow's server and ``detail``.
    """

    def __init__(self, status_code: int, content: dict[str, Any]) -> None:
        """Makes the error.

        Args:
            status_code: HTTP status.
            content: With a ``message``.
        """
        super().__init__(status_code, str(content["message"]))
        self.content = {**content, "detail": content["message"]}
