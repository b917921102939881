"""Encodes large answers as JSON, so that other threads run meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_DEPTH = 4
"""Levels whose parts are encoded one by one: below are the single regions and predictions."""


def encode_json(data: Mapping[str, Any]) -> bytes:
    """Encodes plain data as JSON in UTF-8, without white space.

    ``json.dumps`` holds the interpreter for the length of its call: an answer of 50 MB would stop
    the event loop for a second. An iterator stands for a list, whose parts are made as they are
    encoded.
    """
    return "".join(_encode_parts(data, _DEPTH)).encode()


def _encode_parts(value: Any, depth: int) -> Iterator[str]:
    if depth and isinstance(value, Mapping):
        yield "{"
        for index, (key, part) in enumerate(value.items()):
            yield f"{',' if index else ''}{_dump(key)}:"
            yield from _encode_parts(part, depth - 1)
        yield "}"
    elif isinstance(value, Iterator) or (depth and isinstance(value, (list, tuple))):
        yield "["
        for index, part in enumerate(value):
            if index:
                yield ","
            yield from _encode_parts(part, max(0, depth - 1))
        yield "]"
    else:
        yield _dump(value)


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
