"""One measured number with what it is held to, and tables of them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

Kind = Literal["ratio", "at most", "at least", "more than package", "none"]

HEADER = ("target", "what", "ours", "package", "ratio", "Ikomia", "limit", "met", "note")


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        target: Number of the target it belongs to.
        what: What was measured.
        ours: The engine's or plugin's number.
        unit: Of ``ours`` and ``package``.
        package: The package's number, where there is one to compare with.
        kind: What ``limit`` bounds: the ratio of the two, ours, or their difference.
        limit: The bound.
        ikomia: Time inside Ikomia's own calls, in ``unit``; not part of ``ours``.
        note: What a reader must know to judge the number.
    """

    target: str
    what: str
    ours: float
    unit: str = "ms"
    package: float | None = None
    kind: Kind = "none"
    limit: float = 0.0
    ikomia: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours as a multiple of the package's."""
        return self.ours / self.package if self.package else None

    @property
    def is_met(self) -> bool | None:
        """Whether the bound holds; None without one."""
        if self.kind == "at most":
            return self.ours <= self.limit
        if self.kind == "at least":
            return self.ours >= self.limit
        if self.kind == "ratio" and self.ratio is not None:
            return self.ratio <= self.limit
        if self.kind == "more than package" and self.package is not None:
            return self.ours - self.package <= self.limit
        return None

    def cells(self) -> tuple[str, ...]:
        """Texts under :data:`HEADER`."""
        bound = {
            "ratio": f"ratio ≤ {self.limit:g}",
            "at most": f"≤ {self.limit:g} {self.unit}".rstrip(),
            "at least": f"≥ {self.limit:g} {self.unit}".rstrip(),
            "more than package": f"package + {self.limit:g} {self.unit}",
            "none": "",
        }[self.kind]
        met = {True: "yes", False: "**no**", None: ""}[self.is_met]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        shown = [_shown(v, self.unit) for v in (self.ours, self.package)]
        ikomia = _shown(self.ikomia, self.unit)
        return (self.target, self.what, *shown, ratio, ikomia, bound, met, self.note)


def table(rows: Iterable[Row]) -> str:
    """Rows as a table in Markdown, columns that hold nothing left out."""
    lines = [row.cells() for row in rows]
    used = [i for i in range(len(HEADER)) if any(line[i] for line in lines)]
    cells = [[HEADER[i] for i in used], *([line[i] for i in used] for line in lines)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(used))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in cells
    )


def write_section(path: Path, preface: str, heading: str, body: str) -> None:
    """Puts a section into a Markdown file, in place of the one with the same heading.

    Args:
        path: The file; made if it is not there.
        preface: What stands above all sections; written anew each time.
        heading: Of the section, without ``##``.
        body: Its text.
    """
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    parts = re.split(r"^## ", before, flags=re.MULTILINE)[1:]
    sections = {part.split("\n", 1)[0].strip(): part.split("\n", 1)[1].strip() for part in parts}
    sections[heading] = body.strip()
    text = preface.strip() + "\n"
    for name in sorted(sections):
        text += f"\n## {name}\n\n{sections[name]}\n"
    path.write_text(text, encoding="utf-8")


def missed(rows: Sequence[Row]) -> list[Row]:
    """Those whose bound does not hold."""
    return [row for row in rows if row.is_met is False]


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if math.isnan(value):
        return "not measured"
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f} {unit}".rstrip()
