"""Keyboard accelerators: assigns each title a letter of its own to use with Alt."""

from __future__ import annotations

import re
from collections.abc import Iterable


def mark_accelerators(titles: Iterable[str]) -> list[str]:
    """Marks a letter of each title with an ampersand, as Qt expects it.

    Args:
        titles: Plain texts; the earlier ones choose first.

    Returns:
        The same texts in the same order; one without a free letter stays unmarked.
    """
    taken: set[str] = set()
    marked = []
    for title in titles:
        place = _find_free_letter(title, taken)
        if place is not None:
            taken.add(title[place].lower())
        marked.append(_mark_letter(title, place))
    return marked


def _find_free_letter(title: str, taken: set[str]) -> int | None:
    starts = [match.start() for match in re.finditer(r"\b[A-Za-z]", title)]
    others = [match.start() for match in re.finditer(r"[A-Za-z]", title)]
    free = (place for place in (*starts, *others) if title[place].lower() not in taken)
    return next(free, None)


def _mark_letter(title: str, place: int | None) -> str:
    if place is None:
        return title.replace("&", "&&")
    head, tail = title[:place].replace("&", "&&"), title[place:].replace("&", "&&")
    return f"{head}&{tail}"
