"""Strings as users write them."""

import time

import pytest

from infer_segment_anything_3.engine import parsing, validation
from infer_segment_anything_3.tests.helpers import REFUSED, parse_or_refuse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("  \n", ()),
        ("[]", ()),
        ("[10, 20]", (((10, 20),),)),
        (" [10.5,-20e-1] ", (((10.5, -2),),)),
        ("(10, 20)", (((10, 20),),)),
        ("((10, 20),)", (((10, 20),),)),
        ("[[1, 2], [3, 4]]", (((1, 2), (3, 4)),)),
        ("[(1, 2), (3, 4)]", (((1, 2), (3, 4)),)),
        ("[[[1, 2]], [[3, 4], [5, 6]]]", (((1, 2),), ((3, 4), (5, 6)))),
        ("null", REFUSED),
        ("{}", REFUSED),
        ("false", REFUSED),
        ('""', REFUSED),
        ("0", REFUSED),
        ("5", REFUSED),
        ("[5]", REFUSED),
        ("[1, 2, 3]", REFUSED),
        ("[[]]", REFUSED),
        ("[[1, 2], []]", REFUSED),
        ("[[1, 2], 3]", REFUSED),
        ("[[1, 2], [[3, 4]]]", REFUSED),
        ("[[[[1, 2]]]]", REFUSED),
        ("[1, 2", REFUSED),
        ("[1, 2)", REFUSED),
        ("[1, 2]]", REFUSED),
        ("[1, 2][3, 4]", REFUSED),
        ("[1,, 2]", REFUSED),
        ("[1 2]", REFUSED),
        ("[NaN, 1]", REFUSED),
        ("[1, Infinity]", REFUSED),
        ("[1, 1e999]", REFUSED),
        ("[1, " + "9" * 5_000 + "]", REFUSED),
        ("[true, 1]", REFUSED),
        ("[null, 1]", REFUSED),
        ('["1", 2]', REFUSED),
        ('{"x": 1}', REFUSED),
        ("[1, 2]\x00", REFUSED),
        ("[\u0661, 2]", REFUSED),
        ("__import__('os').getcwd()", REFUSED),
        ("[1, 2] + [3]", REFUSED),
        ("[" * 99_000, REFUSED),
        ("[[1, 2]" + ", [1, 2]" * validation.MAX_POINTS + "]", REFUSED),
        ("[[[1, 2]]" + ", [[1, 2]]" * validation.MAX_OBJECTS + "]", REFUSED),
        ("[1, 2]" + " " * validation.MAX_TEXT_CHARS, REFUSED),
    ],
)
def test_points(text, expected):
    assert parse_or_refuse(parsing.parse_points, "name", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("[]", ()),
        ("1", ((1,),)),
        ("0", ((0,),)),
        ("[1, 0]", ((1, 0),)),
        ("(1, 0.0)", ((1, 0),)),
        ("[[1], [0, 1]]", ((1,), (0, 1))),
        ("null", REFUSED),
        ("{}", REFUSED),
        ("[[1], []]", REFUSED),
        ("[[[1]]]", REFUSED),
        ("[2]", REFUSED),
        ("[-1]", REFUSED),
        ("[0.5]", REFUSED),
        ("[NaN]", REFUSED),
        ("[true]", REFUSED),
        ("foreground", REFUSED),
        ("[1" + ",1" * validation.MAX_POINTS + "]", REFUSED),
    ],
)
def test_point_labels(text, expected):
    assert parse_or_refuse(parsing.parse_point_labels, "name", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("[]", ()),
        ("[1, 2, 3, 4]", ((1, 2, 3, 4),)),
        ("[[1, 2, 3, 4], (-5, 6, 7.5, 8)]", ((1, 2, 3, 4), (-5, 6, 7.5, 8))),
        ("null", REFUSED),
        ("{}", REFUSED),
        ("[3, 2, 1, 4]", REFUSED),
        ("[1, 4, 3, 2]", REFUSED),
        ("[1, 2, 1, 4]", REFUSED),
        ("[1, 2, 3]", REFUSED),
        ("[[1, 2, 3, 4], [1, 2]]", REFUSED),
        ("[[[1, 2, 3, 4]]]", REFUSED),
        ("[[]]", REFUSED),
        ("0", REFUSED),
        ("[1, 2, 3, NaN]", REFUSED),
        ("[1, 2, 3, 1e400]", REFUSED),
        ("[[1, 2, 3, 4]" + ", [1, 2, 3, 4]" * validation.MAX_BOXES + "]", REFUSED),
    ],
)
def test_boxes(text, expected):
    assert parse_or_refuse(parsing.parse_boxes, "name", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ()), ("1", (1,)), ("[1, 0]", (1, 0)), ("[[1], [0]]", REFUSED), ("x", REFUSED)],
)
def test_box_labels(text, expected):
    assert parse_or_refuse(parsing.parse_box_labels, "name", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((word, True) for word in ("True", "true", " TRUE ", "1", "yes", "On", "t", "y")),
        *((word, False) for word in ("False", "false", "0", "no", "off", "f", "n")),
        *((word, REFUSED) for word in ("", "2", "maybe", "None", "1.0")),
    ],
)
def test_boolean(text, expected):
    assert parse_or_refuse(parsing.parse_boolean, "name", text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.3", 0.3),
        (".3", 0.3),
        ("1", 1),
        (" 0 ", 0),
        ("1e-1", 0.1),
        ("+0.5", 0.5),
        ("0.30000000000000004", 0.3),
        *(
            (text, REFUSED)
            for text in ("", "-0.1", "1.01", "nan", "inf", "0,3", "1_0", "0x1", "50%", "٠", "[0.5]")
        ),
        ("0" * 50, REFUSED),
    ],
)
def test_number(text, expected):
    read = parse_or_refuse(parsing.parse_number, "name", text, 0, 1)
    assert read is REFUSED if expected is REFUSED else read == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("100", 100), ("50.0", 50), ("0", REFUSED), ("101", REFUSED), ("33.3", REFUSED)],
)
def test_integer(text, expected):
    assert parse_or_refuse(parsing.parse_integer, "name", text, 1, 100) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("auto", "auto"), (" Auto ", "auto"), ("", REFUSED), ("x", REFUSED)]
)
def test_choice(text, expected):
    choices = ("auto", "float32")
    assert parse_or_refuse(parsing.parse_choice, "name", text, choices) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("off", 1),
        ("Auto", "auto"),
        ("1", 1),
        ("4", 4),
        ("0", REFUSED),
        ("17", REFUSED),
        ("", REFUSED),
    ],
)
def test_tiles(text, expected):
    assert parse_or_refuse(parsing.parse_tiles, "name", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" ~/my weights/sam3.pt ", "~/my weights/sam3.pt"),
        (r"C:\models\sam3.pt", r"C:\models\sam3.pt"),
        ("/données/\u00a0模型.safetensors", "/données/\u00a0模型.safetensors"),
        ("a\x00b", REFUSED),
        ("a\nb", REFUSED),
        ("x" * 5_000, REFUSED),
    ],
)
def test_path(text, expected):
    assert parse_or_refuse(parsing.parse_path, "name", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "'" * 100_000,
        "['" + "\\'" * 49_000,
        '["' + "\\\\" * 49_000,
        "[1" + " " * 99_000 + "x",
        "[," * 50_000,
        "1, " * 33_000,
        ":0" * 50_000,
        "[1" + ",\t" * 49_000,
    ],
)
@pytest.mark.parametrize(
    "read",
    [
        parsing.parse_points,
        parsing.parse_point_labels,
        parsing.parse_boxes,
        parsing.parse_path,
    ],
)
def test_hostile_text_does_not_hang(read, text):
    started = time.process_time()
    parse_or_refuse(read, "name", text)
    assert time.process_time() - started < 2


def test_errors_show_what_came_on_one_short_line():
    with pytest.raises(ValueError) as caught:
        parsing.parse_points("input_point", "[1,\r\n\x1b[2J" + "x" * 5_000)
    message = str(caught.value)
    assert message.startswith("input_point: expected [x, y], [[x, y], ...]")
    assert "\\x1b" in message
    assert len(message.splitlines()) == 1
    assert len(message) < 200


@pytest.mark.parametrize(
    ("read", "text", "shown"),
    [
        (parsing.parse_boxes, "[30, 2, 3, 40.5]", "got [30, 2, 3, 40.5]"),
        (lambda n, t: parsing.parse_integer(n, t, 1, 100), "0", "got 0"),
        (lambda n, t: parsing.parse_number(n, t, 0, 1), "7", "got 7"),
    ],
)
def test_errors_show_numbers_as_they_were_written(read, text, shown):
    with pytest.raises(ValueError) as caught:
        read("name", text)
    assert str(caught.value).endswith(shown)
