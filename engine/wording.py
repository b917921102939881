"""Words what a run did, in the same sentences for every door."""

from __future__ import annotations

from collections.abc import Sequence


def count_things(count: int, noun: str) -> str:
    """Writes a number with its noun: ``1 error``, ``2 errors``, ``1,200 images``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def list_first(values: Sequence[object], most: int = 5) -> str:
    """Lists the first values: ``3, 4, 5, 6, 7 and 20 more``."""
    more = f" and {len(values) - most:,} more" if len(values) > most else ""
    return ", ".join(str(value) for value in values[:most]) + more
