"""Declares what a language model is asked and answers, and waits for an answer."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any

Message = dict[str, Any]
"""One message of OpenAI's chat completions: ``role`` and ``content``."""

WAIT_STEP_S = 0.05
"""How often a run that waits for an answer looks whether it is to stop."""


@dataclasses.dataclass(frozen=True)
class ToolCall:
    """Holds one native tool call of an answer.

    Attributes:
        name: Name of the tool.
        arguments: JSON, as the model wrote it.
    """

    name: str
    arguments: str


@dataclasses.dataclass(frozen=True)
class Answer:
    """Holds one answer of a language model.

    Attributes:
        text: What it wrote.
        tool_calls: Its native tool calls.
        tokens: Of the request and the answer; 0 where the server does not count them.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tokens: int = 0

    def __post_init__(self) -> None:
        # Half a surrogate pair, as a cut escape leaves it, cannot be written to any file.
        object.__setattr__(self, "text", self.text.encode("utf-8", "replace").decode())


Chat = Callable[[Sequence[Message]], Answer | str]
"""Answers messages.

It runs in another thread. Where it also has ``submit(messages, timeout_s) -> Future[Answer]``, that
is called instead, and ``cancel`` of the future when the run ends before it.
"""


def wait_for_answer(
    chat: Chat, messages: Sequence[Message], timeout_s: float, check_stop: Callable[[], None]
) -> Answer:
    """Asks a language model and waits for its answer.

    Args:
        chat: The language model.
        messages: What it is asked.
        timeout_s: How long to wait, in seconds.
        check_stop: Called every :data:`WAIT_STEP_S`; what it raises ends the wait at once.

    Returns:
        The answer.

    Raises:
        TimeoutError: If there is no answer in time.
    """
    submit = getattr(chat, "submit", None)
    future = submit(messages, timeout_s) if submit else _call_in_thread(chat, messages)
    end = time.monotonic() + timeout_s
    try:
        while not _is_done(future):
            check_stop()
            if time.monotonic() > end:
                raise TimeoutError
        answer = future.result()
    finally:
        future.cancel()
    return Answer(answer) if isinstance(answer, str) else answer


def _is_done(future: Future[Answer | str]) -> bool:
    with contextlib.suppress(TimeoutError):
        # What the call itself raised, a TimeoutError as well, is raised by ``result``.
        future.exception(WAIT_STEP_S)
    return future.done()


def _call_in_thread(chat: Chat, messages: Sequence[Message]) -> Future[Answer | str]:
    """Calls in a thread that does not keep the process alive; a future that nobody awaits drops."""
    future: Future[Answer | str] = Future()
    call_into(future, lambda: chat(messages))
    return future


def call_into(future: Future[Any], function: Callable[[], Any]) -> None:
    """Calls a function in a daemon thread and sets a future to what it returns or raises."""

    def work() -> None:
        # A future that was cancelled meanwhile takes no result.
        with contextlib.suppress(InvalidStateError):
            try:
                result = function()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

    threading.Thread(target=work, name="sam3-agent", daemon=True).start()
