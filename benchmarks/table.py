"""Formats rows of measurements as Markdown tables."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable
from pathlib import Path

HEADER = ("what", "measured", "compared with", "ratio", "limit", "met", "note")


@dataclasses.dataclass(frozen=True)
class Row:
    """Holds one measurement; at most one of the limits is given.

    Attributes:
        what: What was measured, with the size of its input.
        value: The number.
        unit: Unit of ``value`` and ``reference``.
        reference: The same measured on something else, at the same time.
        reference_name: What that is, for instance ``sam3`` or ``float32``.
        at_most: Limit of ``value``.
        at_least: Limit of ``value``.
        ratio_at_most: Limit of ``value / reference``.
        excess_at_most: Limit of ``value - reference``.
        note: What a reader must know to judge the number.
    """

    what: str
    value: float
    unit: str = "ms"
    reference: float | None = None
    reference_name: str = "sam3"
    at_most: float | None = None
    at_least: float | None = None
    ratio_at_most: float | None = None
    excess_at_most: float | None = None
    note: str = ""

    def check_limit(self) -> tuple[str, bool] | None:
        """Checks the limit; returns its text and whether it holds, or None without a limit."""
        other = math.nan if self.reference is None else self.reference
        if self.at_most is not None:
            return f"≤ {self.at_most} {self.unit}".strip(), self.value <= self.at_most
        if self.at_least is not None:
            return f"≥ {self.at_least} {self.unit}".strip(), self.value >= self.at_least
        if self.ratio_at_most is not None:
            return f"ratio ≤ {self.ratio_at_most}", self.value / other <= self.ratio_at_most
        if self.excess_at_most is not None:
            text = f"{self.reference_name} + {self.excess_at_most} {self.unit}"
            return text, self.value - other <= self.excess_at_most
        return None

    def format_cells(self) -> tuple[str, ...]:
        """Returns the texts under :data:`HEADER`."""
        reference = ratio = limit = met = ""
        if self.reference is not None:
            reference = f"{self.reference_name}: {_format_number(self.reference, self.unit)}"
            ratio = f"{self.value / self.reference:.2f}" if self.reference else ""
        if checked := self.check_limit():
            limit, met = checked[0], "yes" if checked[1] else "**no**"
        value = _format_number(self.value, self.unit)
        return (self.what, value, reference, ratio, limit, met, self.note)


def format_table(rows: Iterable[Row]) -> str:
    """Formats rows as a Markdown table without its empty columns."""
    lines = [row.format_cells() for row in rows]
    used = [i for i in range(len(HEADER)) if any(line[i] for line in lines)]
    cells = [[line[i] for i in used] for line in (HEADER, *lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in cells
    )


def write_section(path: Path, heading: str, body: str) -> None:
    """Puts a section into a Markdown file, in place of the one with the same heading.

    Args:
        path: The file; made if it does not exist. What stands above its sections stays.
        heading: Of the section, without ``##``.
        body: Its text.
    """
    before = path.read_text(encoding="utf-8") if path.is_file() else "# Measurements\n"
    preface, *parts = re.split(r"^## ", before, flags=re.MULTILINE)
    sections = {part.partition("\n")[0].strip(): part.partition("\n")[2] for part in parts}
    sections[heading] = body
    texts = [f"## {name}\n\n{sections[name].strip()}\n" for name in sorted(sections)]
    path.write_text("\n".join([preface.strip() + "\n", *texts]), encoding="utf-8")


def _format_number(value: float, unit: str) -> str:
    if math.isnan(value):
        return "not measured"
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f} {unit}".rstrip()
