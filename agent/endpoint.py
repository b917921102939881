"""Asks a server that speaks OpenAI's chat completions.

That are vLLM, Ollama, LM Studio, llama.cpp, OpenRouter and the vendors. ``httpx`` is imported when
the first question is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .actions import clean_text
from .chat import Answer, Message, call_into
from .completions import (
    URL_VARIABLE,
    EndpointError,
    hide_key,
    read_completion,
    read_error,
    read_retry_after,
)

if TYPE_CHECKING:
    import httpx

KEY_VARIABLE, MODEL_VARIABLE = "SAM3_AGENT_KEY", "SAM3_AGENT_MODEL"

MAX_ANSWER_BYTES = 1 << 20
MAX_ANSWER_TOKENS = 4096
"""Asked of the server; models that think aloud need more than an action's 50."""

MAX_RETRIES = 2
FIRST_WAIT_S = 0.5
"""Before the first retry, where the server names no time; twice as long before the next."""

RETRY_STATUSES = (429, 500, 502, 503, 504)
_EXPLAINED = {
    401: ", the key is missing or wrong",
    403: ", the key may not use it",
    404: ", the path or the model is unknown",
    413: ", the picture is too large for it",
    429: ", too many requests or no credit",
}
_MAX_DETAIL_CHARS = 200

HTTPX_MISSING = 'httpx is not installed: python -m pip install "httpx>=0.27"'


@dataclasses.dataclass(frozen=True)
class ChatEndpoint:
    """Answers messages through one server. Safe to use from several threads.

    A question goes to that server alone: proxies and ``.netrc`` of the environment are not used,
    and a redirect is an error.

    Attributes:
        url: Address up to ``/v1``, as ``http://127.0.0.1:8000/v1``.
        model: Name of the language model there.
        key: Sent as ``Authorization: Bearer``; empty for none.

    Raises:
        ValueError: If the address is none of http or https, holds a user, a query or a fragment,
            or the model or the key cannot be sent.
    """

    url: str
    model: str
    key: str = dataclasses.field(default="", repr=False)
    _left_out: set[str] = dataclasses.field(default_factory=set, repr=False, compare=False)
    """Fields of the request that the server refused."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", check_url(self.url))
        if not self.model.strip() or not self.model.isprintable() or len(self.model) > 200:
            raise ValueError("agent_model: expected the name of a language model")
        if not self.key.isascii() or not self.key.isprintable():
            raise ValueError(f"{KEY_VARIABLE}: expected printable ASCII characters")

    @property
    def host(self) -> str:
        """Host and port of the server."""
        return urlsplit(self.url).netloc

    def __call__(self, messages: Sequence[Message]) -> Answer:
        """Asks and waits up to a minute.

        Args:
            messages: The question.

        Returns:
            The answer.

        Raises:
            EndpointError: If the server cannot be reached or answers with no chat completion.
            TimeoutError: If it does not answer in time.
        """
        return self.submit(messages, 60).result()

    def submit(self, messages: Sequence[Message], timeout_s: float) -> Future[Answer]:
        """Asks in another thread.

        Args:
            messages: The question.
            timeout_s: Seconds for the answer, retries included.

        Returns:
            Its result is what a call returns or raises. ``cancel`` closes the connection.

        Raises:
            ImportError: If httpx is not installed.
        """
        try:
            import httpx  # noqa: F401 - here, so that the caller gets the error at once
        except ImportError:
            raise ImportError(HTTPX_MISSING) from None
        future: Future[Answer] = Future()
        call_into(
            future, lambda: asyncio.run(self._ask_until_cancelled(messages, timeout_s, future))
        )
        return future

    async def _ask_until_cancelled(
        self, messages: Sequence[Message], timeout_s: float, future: Future[Answer]
    ) -> Answer:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(task.cancel)

        future.add_done_callback(stop)
        async with asyncio.timeout(timeout_s):
            return await self._ask(messages, timeout_s)

    async def _ask(self, messages: Sequence[Message], timeout_s: float) -> Answer:
        import httpx

        end = time.monotonic() + timeout_s
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        retries = 0
        async with httpx.AsyncClient(
            headers=headers, trust_env=False, follow_redirects=False, timeout=None
        ) as client:
            while True:
                status, answer_headers, data = await self._post(client, messages)
                if status == 200:
                    return read_completion(data, self.key)
                if status == 400 and self._leave_out_refused_field(data):
                    continue
                wait_s = read_retry_after(answer_headers) or FIRST_WAIT_S * 2**retries
                if status not in RETRY_STATUSES or retries == MAX_RETRIES:
                    raise self._make_error(status, data)
                if time.monotonic() + wait_s > end:
                    raise self._make_error(status, data, f"; it asks to wait {wait_s:.0f} s")
                await asyncio.sleep(wait_s)
                retries += 1

    async def _post(
        self, client: httpx.AsyncClient, messages: Sequence[Message]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Posts a question; returns the status, the headers and the body."""
        import httpx

        limit = "max_completion_tokens" if "max_tokens" in self._left_out else "max_tokens"
        body = {"model": self.model, "messages": list(messages), limit: MAX_ANSWER_TOKENS}
        if "temperature" not in self._left_out:
            body["temperature"] = 0
        reason = ""
        try:
            async with client.stream("POST", self.url + "/chat/completions", json=body) as answer:
                data = b""
                async for chunk in answer.aiter_raw():
                    data += chunk
                    if len(data) > MAX_ANSWER_BYTES:
                        reason = f"answers with more than {MAX_ANSWER_BYTES} bytes"
                        break
                else:
                    return answer.status_code, answer.headers, data
        except httpx.HTTPError as error:
            reason = f"cannot be reached ({type(error).__name__})"
        # Outside the block: errors of httpx hold the request, and with it the key.
        raise EndpointError(f"{URL_VARIABLE}: {self.host} {reason}")

    def _leave_out_refused_field(self, data: bytes) -> bool:
        """Remembers a field that the server does not know; tells whether asking again helps."""
        refused = read_error(data).get("param")
        if refused not in ("max_tokens", "temperature") or refused in self._left_out:
            return False
        self._left_out.add(refused)
        return True

    def _make_error(self, status: int, data: bytes, more: str = "") -> EndpointError:
        text = f"{URL_VARIABLE}: {self.host} answers with status {status}"
        if 300 <= status < 400:
            text += ": redirects are not followed, set its final address"
            return EndpointError(text, status)
        detail = read_error(data).get("message")
        # Of a refused key servers repeat parts.
        if isinstance(detail, str) and status not in (401, 403):
            more += f": {hide_key(clean_text(detail)[:_MAX_DETAIL_CHARS], self.key)}"
        return EndpointError(text + _EXPLAINED.get(status, "") + more, status)


def read_endpoint(environment: Mapping[str, str], model: str) -> ChatEndpoint:
    """Reads the address and the key of the language model's server.

    They are no parameters: a workflow of somebody else could name a server of theirs, and pictures
    and the key would go there.

    Args:
        environment: Environment variables.
        model: Name of the language model; empty for the one in the environment.

    Returns:
        The endpoint.

    Raises:
        ValueError: If no address is set, or something is wrong; the message begins with its name.
    """
    url = environment.get(URL_VARIABLE, "").strip()
    if not url:
        raise ValueError(
            f"{URL_VARIABLE}: expected the address of a server with OpenAI's chat completions in "
            "this environment variable, as http://127.0.0.1:8000/v1, got none"
        )
    model = model.strip() or environment.get(MODEL_VARIABLE, "").strip()
    if not model:
        raise ValueError(
            f"agent_model: expected the name of a language model, here or in {MODEL_VARIABLE}, "
            "got none"
        )
    return ChatEndpoint(url, model, environment.get(KEY_VARIABLE, "").strip())


def check_url(url: str) -> str:
    """Checks an address and cuts off what is added by itself; else ValueError.

    The message never shows the address: people paste keys into it.
    """
    expected = f"{URL_VARIABLE}: expected an address as http://127.0.0.1:8000/v1"
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_whole = is_whole and url.isascii() and url.isprintable() and " " not in url
        _ = parts.port
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ValueError(expected)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"{expected}, without a user, a query or a fragment; see {KEY_VARIABLE}")
    return url.rstrip("/").removesuffix("/chat/completions").rstrip("/")
