"""The benchmarks' tables say what was measured."""

from __future__ import annotations

import pytest

from infer_segment_anything_3.benchmarks import __main__ as command
from infer_segment_anything_3.benchmarks.table import Row, format_table, write_section
from infer_segment_anything_3.benchmarks.timing import time_in_turns, watch_calls


@pytest.mark.parametrize(
    ("row", "is_met"),
    [
        (Row("x", 50.0, "ms", 25.0, excess_at_most=30.0), True),
        (Row("x", 56.0, "ms", 25.0, excess_at_most=30.0), False),
        (Row("x", 8.0, "ms", 10.0, ratio_at_most=0.8), True),
        (Row("x", 8.1, "ms", 10.0, ratio_at_most=0.8), False),
        (Row("x", 1.0, "s", at_most=1.0), True),
        (Row("x", float("nan"), "s", at_most=1.0), False),
        (Row("x", 0.98, "", at_least=0.97), True),
        (Row("x", 0.96, "", at_least=0.97), False),
        (Row("x", 1.0, "s", 2.0), None),
    ],
)
def test_limits(row, is_met):
    assert (row.check_limit() or (None, None))[1] is is_met
    assert ("**no**" in format_table([row])) == (is_met is False)


def test_table_leaves_out_empty_columns():
    table = format_table([Row("peak", 0.25, "GiB", 1.0), Row("other", 1234.5)])
    lines = table.splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        "what", "measured", "compared with", "ratio",
    ]  # fmt: skip
    assert "0.250 GiB" in lines[2]
    assert "sam3: 1 GiB" in lines[2]
    assert "1,234 ms" in lines[3]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("arguments", "name"), [([], None), (["--write"], "RESULTS.md"), (["--out", "a.md"], "a.md")]
)
def test_a_file_is_written_only_where_it_is_asked_for(arguments, name):
    out = command._parse([*arguments, "--only", "speed"]).out
    assert (out and out.name) == name


def test_section_replaces_the_one_of_its_name(tmp_path):
    path = tmp_path / "RESULTS.md"
    path.write_text("# Measurements\n\nA preface.\n\n## c\n\nkept\n")
    write_section(path, "b", "old\n\n- with a list")
    write_section(path, "a", "first")
    write_section(path, "b", "new")
    expected = "# Measurements\n\nA preface.\n\n## a\n\nfirst\n\n## b\n\nnew\n\n## c\n\nkept\n"
    assert path.read_text() == expected


def test_watched_classes_are_left_unchanged():
    class Base:
        def get_name(self):
            return "base"

    class Derived(Base):
        pass

    with watch_calls((Derived, "get_name"), (Base, "get_name")) as seconds:
        assert Derived().get_name() == "base"
    assert len(seconds) == 1
    assert seconds[0] > 0
    assert Derived().get_name.__qualname__.endswith("Base.get_name")
    assert "get_name" not in vars(Derived)


def test_calls_are_timed_in_turns():
    order = []
    time_in_turns([1, 2], lambda value: order.append(value), lambda value: order.append(-value))
    assert order == [1, -1, 2, -2]
