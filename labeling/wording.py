"""Words counts and lists of ids for messages."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN_IDS = 5


def count_noun(count: int, noun: str) -> str:
    """Words a count: "1 error", "2 errors", "1,000 files"; a noun of a regular plural."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def list_first(values: Sequence[object], most: int = SHOWN_IDS) -> str:
    """Lists the first values: "3, 4, 5, 6, 7 and 20 more"."""
    more = f" and {len(values) - most:,} more" if len(values) > most else ""
    return ", ".join(str(value) for value in values[:most]) + more
