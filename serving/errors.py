"""Converts errors of a request to JSON: ``message`` and ``detail`` hold the same text."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from ..engine.validation import shorten

logger = logging.getLogger("infer_segment_anything_3.serving")

RETRY_AFTER_S = 2
"""Seconds that a client is told to wait when the queue is full."""


class ApiError(HTTPException):
    """Reports an error to the client; the message is shown to the user."""

    def __init__(
        self, status_code: int, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Makes the error.

        Args:
            status_code: HTTP status.
            message: One line that names the field and says what was expected.
            headers: Extra headers of the answer.
        """
        super().__init__(status_code, message, dict(headers) if headers else None)


class BusyError(ApiError):
    """Reports that too many requests wait for the model."""

    def __init__(self) -> None:
        """Makes the error, with the time to wait."""
        super().__init__(
            503,
            "The server is busy: too many requests are waiting for the model. Try again.",
            {"Retry-After": str(RETRY_AFTER_S)},
        )


def make_error_response(
    status_code: int, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Makes the JSON answer of an error."""
    return JSONResponse({"message": message, "detail": message}, status_code, headers)


def format_field_path(location: Sequence[str | int]) -> str:
    """Formats a location in a request as people write it: ``prompts[0].boxes[1].x``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.lstrip(".") or "body"


def describe_validation(errors: Sequence[Mapping[str, Any]]) -> str:
    """Describes the first of pydantic's errors in one line that names the field."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return f"body: expected JSON, {first['ctx']['error']}"
    location = first["loc"][1:] if first["loc"][:1] in (("body",), ("query",)) else first["loc"]
    message = first["msg"].removeprefix("Value error, ")
    line = f"{format_field_path(location)}: {message}"
    if first["type"] not in ("missing", "value_error"):
        line += f", got {shorten(first['input'])}"
    more = len(errors) - 1
    return line + (f" (and {more} more)" if more else "")


def install_error_handlers(app: FastAPI) -> None:
    """Makes the app answer every error as JSON.

    Args:
        app: The app.
    """

    @app.exception_handler(HTTPException)
    async def answer_http_error(request: Request, error: HTTPException) -> Response:
        return make_error_response(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def answer_validation_error(request: Request, error: RequestValidationError) -> Response:
        return make_error_response(422, describe_validation(error.errors()))

    @app.exception_handler(Exception)
    async def answer_defect(request: Request, error: Exception) -> Response:
        # The type alone: the message of an unforeseen error may hold what the client sent.
        message = f"The server failed ({type(error).__name__}); its log says where."
        return make_error_response(500, message)
