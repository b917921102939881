"""The benchmarks' tables say what was measured."""

from __future__ import annotations

import pytest

from infer_segment_anything_3.benchmarks.measuring import Stopwatch, in_turns, watched
from infer_segment_anything_3.benchmarks.rows import Row, missed, table, write_section


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("1", "x", 50.0, "ms", 25.0, "more than package", 30.0), True),
        (Row("1", "x", 56.0, "ms", 25.0, "more than package", 30.0), False),
        (Row("2", "x", 8.0, "ms", 10.0, "ratio", 0.8), True),
        (Row("2", "x", 8.1, "ms", 10.0, "ratio", 0.8), False),
        (Row("3", "x", 0, "", kind="at most", limit=0), True),
        (Row("3", "x", float("nan"), "", kind="at most", limit=1), False),
        (Row("4", "x", 0.98, "", kind="at least", limit=0.97), True),
        (Row("4", "x", 0.96, "", kind="at least", limit=0.97), False),
        (Row("5", "x", 1.0, "s", 2.0), None),
    ],
)
def test_a_bound_is_met_or_missed(row, met):
    assert row.is_met is met
    assert missed([row]) == ([row] if met is False else [])
    assert ("**no**" in table([row])) == (met is False)


def test_a_table_leaves_out_columns_without_a_value():
    lines = table([Row("5", "peak", 0.25, "GiB", 1.0), Row("5", "other", 1234.5)]).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        "target", "what", "ours", "package", "ratio",
    ]  # fmt: skip
    assert "0.250 GiB" in lines[2]
    assert "1,234 ms" in lines[3]
    assert len({len(line) for line in lines}) == 1


def test_a_section_replaces_its_own_and_leaves_the_others(tmp_path):
    path = tmp_path / "RESULTS.md"
    write_section(path, "# Measured", "b", "old\n\n- with a list")
    write_section(path, "# Measured", "a", "first")
    write_section(path, "# Measured anew", "b", "new")
    assert path.read_text() == "# Measured anew\n\n## a\n\nfirst\n\n## b\n\nnew\n"


def test_nested_calls_are_timed_once():
    watch = Stopwatch()
    inner = watch.timed(lambda: None)
    watch.timed(lambda: [inner(), inner()])()
    assert watch.calls == 1


def test_watching_leaves_classes_as_they_were():
    class Base:
        def said(self):
            return "base"

    class Derived(Base):
        pass

    with watched((Derived, "said")) as watch:
        assert Derived().said() == "base"
    assert watch.calls == 1
    assert "said" not in vars(Derived)


def test_calls_take_turns():
    order = []
    in_turns([lambda: order.append("a")] * 2, [lambda: order.append("b")] * 2)
    assert order == ["a", "b", "a", "b"]
