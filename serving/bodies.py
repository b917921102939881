"""Parses JSON bodies, so that the event loop answers others meanwhile.

A parser written in C holds Python's interpreter for the length of one call: 50 MB of small
objects stop every thread of a process for a second. Bodies of many values are therefore parsed in
a process of its own, and those of too many are refused.
"""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from .errors import ApiError, describe_validation

MAX_VALUES = 5_000_000
"""Of a body: commas, colons and opening brackets, those in texts included. Label Studio sends the
annotations of its tasks along; a large brush stroke is a list of some ten thousand numbers."""

MAX_VALUES_HERE = 500_000
"""More are parsed in another process. So many hold the interpreter for 50 ms at most."""

SMALL_BYTES = 64_000
"""Bodies up to this size are parsed in the event loop, within 3 ms: a thread would cost more."""

_MARKS = b",:[{"
_CHUNK_BYTES = 1_000_000


class BodyParser:
    """Parses bodies of requests to the models that pydantic checks."""

    def __init__(self) -> None:
        """Creates the parser; its process starts with the first large body."""
        self._process: ProcessPoolExecutor | None = None

    async def parse(self, body: bytes, schema: Any) -> Any:
        """Parses and checks a body.

        Args:
            body: JSON in UTF-8.
            schema: What it should be: a model of pydantic, or such a model or None.

        Returns:
            An instance of the schema.

        Raises:
            ApiError: 413 if it has too many values, 422 if it is no JSON or a field is wrong.
        """
        if len(body) <= SMALL_BYTES:
            return _expect_model(parse_body(body, schema))
        loop = asyncio.get_running_loop()
        values = await loop.run_in_executor(None, count_values, body)
        if values > MAX_VALUES:
            raise ApiError(413, f"body: expected at most {MAX_VALUES:,} values, got {values:,}")
        if values > MAX_VALUES_HERE:
            return _expect_model(await self._parse_elsewhere(body, schema))
        return _expect_model(await loop.run_in_executor(None, parse_body, body, schema))

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.shutdown(wait=False, cancel_futures=True)
            self._process = None

    async def _parse_elsewhere(self, body: bytes, schema: Any) -> Any:
        if self._process is None:
            # Not forked: the threads of PyTorch do not survive a fork.
            spawn = multiprocessing.get_context("spawn")
            self._process = ProcessPoolExecutor(1, mp_context=spawn)
        process = self._process
        try:
            return await asyncio.wrap_future(process.submit(parse_body, body, schema))
        except BrokenProcessPool:
            if self._process is process:
                self.close()
            raise ApiError(413, "body: its values take more memory than there is") from None


def count_values(body: bytes) -> int:
    """Counts the marks of JSON before which a value stands, or a few more."""
    count = 0
    for start in range(0, len(body), _CHUNK_BYTES):
        chunk = body[start : start + _CHUNK_BYTES]
        count += len(chunk) - len(chunk.translate(None, _MARKS))
    return count


def parse_body(body: bytes, schema: Any) -> Any:
    """Parses and checks a body; returns the message of an error instead of raising it."""
    try:
        return _get_adapter(schema).validate_json(body)
    except ValidationError as error:
        return describe_validation(error.errors(include_url=False))


@functools.cache
def _get_adapter(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


def _expect_model(parsed: Any) -> Any:
    if isinstance(parsed, str):
        raise ApiError(422, parsed)
    return parsed


class ParsedBodyRoute(APIRoute):
    """A route whose JSON body the app's :class:`BodyParser` parses."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps the handler: its request parses its body by itself."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        schema = self.body_field.field_info.annotation

        class ParsedRequest(Request):
            async def json(self) -> Any:
                parser: BodyParser = self.app.state.body_parser
                return await parser.parse(await self.body(), schema)

        async def handle_parsed(request: Request) -> Response:
            return await handle(ParsedRequest(request.scope, request.receive))

        return handle_parsed
