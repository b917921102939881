"""Reads what a server of OpenAI's chat completions answers. None of it is trusted."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from typing import Any

from .chat import Answer, ToolCall

URL_VARIABLE = "SAM3_AGENT_URL"
"""The environment variable with the server's address, which errors name."""


class EndpointError(RuntimeError):
    """The language model's server cannot be used; one line that names no key.

    Attributes:
        status: HTTP status of its answer; None where there is none, or it is no error.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def read_completion(data: bytes, key: str = "") -> Answer:
    """Reads the answer to a chat completion.

    Args:
        data: The body.
        key: Removed from the text, should the server repeat it.

    Returns:
        The answer.

    Raises:
        EndpointError: If it is no chat completion.
    """
    try:
        body = json.loads(data)
        message = body["choices"][0]["message"]
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(str(part.get("text", "")) for part in content)
        calls = tuple(
            ToolCall(str(call["function"]["name"]), hide_key(_to_json(call), key))
            for call in message.get("tool_calls") or ()
        )
        tokens = (body.get("usage") or {}).get("total_tokens")
        if not isinstance(tokens, int) or not 0 <= tokens < 10**9:
            tokens = 0
        return Answer(hide_key(str(content), key), calls, tokens)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    # Outside the block, so that its traceback does not hold what was read.
    raise EndpointError(f"{URL_VARIABLE}: its answer is no chat completion of OpenAI's form")


def _to_json(call: Mapping[str, Any]) -> str:
    """Returns the arguments of a tool call as JSON; some servers send them as an object."""
    arguments = call["function"].get("arguments") or "{}"
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def read_error(data: bytes) -> Mapping[str, Any]:
    """Reads the ``error`` of a body; empty where there is none."""
    try:
        error = json.loads(data)["error"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Reads how many seconds to wait: a number or a date, at least 0; None where neither."""
    text = headers.get("retry-after", "")
    try:
        return (
            max(0.0, float(text))
            if text.replace(".", "", 1).isdecimal()
            else max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
        )
    except (ValueError, TypeError, OverflowError):
        return None


def hide_key(text: str, key: str) -> str:
    """Removes a key from what a server wrote."""
    return text.replace(key, "[key]") if key else text
