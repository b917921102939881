"""Words what a run did, in the same sentences for every door."""

from __future__ import annotations


def count_things(count: int, noun: str) -> str:
    """Writes a number with its noun: ``1 error``, ``2 errors``, ``1,200 images``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
