"""SECURITY.md names a test for each bound; the tests exist."""

from __future__ import annotations

import ast
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
COLUMNS = ["resource", "each", "in all", "setting", "test"]


def read_rows() -> list[list[str]]:
    lines = (CHECKOUT / "SECURITY.md").read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    start = cells.index(COLUMNS)
    return cells[start + 2 :]


def list_functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_each_bound_has_a_test_that_exists() -> None:
    rows = read_rows()
    assert len(rows) >= 14
    for row in rows:
        assert len(row) == len(COLUMNS), row
        names = row[-1].split(", ")
        for name in names:
            file, _, function = name.partition("::")
            assert function in list_functions(CHECKOUT / file), f"{row[0]}: {name}"


def test_the_settings_it_names_exist() -> None:
    settings = (CHECKOUT / "serving" / "settings.py").read_text("utf-8")
    named = [part.strip("` ") for row in read_rows() for part in row[3].split(",") if part]
    named = [name for name in named if name]
    assert len(named) >= 9
    assert all(f'"{name}"' in settings for name in named)
