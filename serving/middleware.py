"""Logs every request; checks its Host header and bounds count, bytes and time."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError, BusyError, make_error_response

logger = logging.getLogger("infer_segment_anything_3.access")

OPEN_PATHS = frozenset({"/health", "/healthz", "/readiness"})
"""Paths that supervisors ask for under any host name, without credentials."""

MAX_REQUESTS = 256
"""Requests at the same time, slow senders included."""

BODY_DEADLINE_S = 120.0
"""For a request's body to arrive."""

READ_DEADLINE_S = 60.0
"""For a client to take the next part of an answer."""


class AccessLog:
    """Logs a line a request: method, path, status, milliseconds. Never a query or a header."""

    def __init__(self, app: ASGIApp) -> None:
        """Wraps an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on and logs how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting_status)
        finally:
            elapsed_ms = (time.perf_counter() - started) * 1000
            # ascii() keeps a path with line breaks on its line.
            path = ascii(scope["path"][:200])[1:-1]
            level = logging.DEBUG if scope["path"] in OPEN_PATHS else logging.INFO
            logger.log(level, "%s %s %d %.1f ms", scope["method"], path, status, elapsed_ms)


@dataclasses.dataclass
class _Body:
    """Counts the bytes of a body as they arrive."""

    count: int = 0


class RequestGate:
    """Refuses requests for other hosts, too many at once, and too large or slow bodies."""

    def __init__(
        self,
        app: ASGIApp,
        allowed_hosts: Collection[str],
        max_body_bytes: int,
        max_total_bytes: int = 1_000_000_000,
        max_requests: int = MAX_REQUESTS,
        body_deadline_s: float = BODY_DEADLINE_S,
        read_deadline_s: float = READ_DEADLINE_S,
    ) -> None:
        """Wraps an app.

        Args:
            app: The app.
            allowed_hosts: Names the Host header may hold, without port; ``*`` for any.
            max_body_bytes: Larger bodies are refused, by header and by counting.
            max_total_bytes: Of the bodies of all requests that are being received or answered.
            max_requests: Requests at the same time.
            body_deadline_s: For a body to arrive.
            read_deadline_s: For a client to take the next part of an answer.
        """
        self._app = app
        self._allowed_hosts = allowed_hosts
        self._max_body_bytes = max_body_bytes
        self._max_total_bytes = max_total_bytes
        self._max_requests = max_requests
        self._body_deadline_s = body_deadline_s
        self._read_deadline_s = read_deadline_s
        self._requests = 0
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            self._check_headers(scope)
            if self._requests >= self._max_requests:
                raise BusyError
        except ApiError as error:
            response = make_error_response(error.status_code, str(error.detail), error.headers)
            await response(scope, receive, send)
            return
        is_stalled = False

        async def send_within_bounds(message: Message) -> None:
            nonlocal is_stalled
            try:
                async with asyncio.timeout(self._read_deadline_s):
                    await send(message)
            except TimeoutError:
                is_stalled = True
                raise

        self._requests += 1
        body = _Body()
        try:
            await self._app(scope, self._bound_body(receive, body), send_within_bounds)
        except Exception:
            if not is_stalled:
                raise
            # What answered has let go of all it held; the server closes the connection.
            path = ascii(scope["path"][:200])[1:-1]
            logger.warning("%s: dropped a client that stopped reading", path)
        finally:
            self._requests -= 1
            self._bytes -= body.count

    def _check_headers(self, scope: Scope) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = _strip_port(headers.get(b"host", "").lower())
        if "*" not in self._allowed_hosts and host not in self._allowed_hosts:
            raise ApiError(400, f"Host: {host!r:.80} is not in ALLOWED_HOSTS")
        length = headers.get(b"content-length", "")
        if length.isdecimal() and int(length) > self._max_body_bytes:
            raise self._make_size_error()

    def _make_size_error(self) -> ApiError:
        return ApiError(413, f"body: expected at most {self._max_body_bytes / 1e6:g} MB")

    def _bound_body(self, receive: Receive, body: _Body) -> Receive:
        is_complete = False
        deadline = time.monotonic() + self._body_deadline_s

        async def receive_within_bounds() -> Message:
            nonlocal is_complete
            if is_complete:  # the next message is the client's disconnect
                return await receive()
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                raise ApiError(408, "body: it did not arrive in time") from None
            if message["type"] == "http.request":
                count = len(message.get("body", b""))
                body.count += count
                self._bytes += count
                is_complete = not message.get("more_body", False)
                if body.count > self._max_body_bytes:
                    raise self._make_size_error()
                if self._bytes > self._max_total_bytes:
                    raise BusyError
            return message

        return receive_within_bounds


def _strip_port(host: str) -> str:
    if host.startswith("["):  # IPv6
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
