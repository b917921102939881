"""Concepts as users write them."""

import time

import pytest

from infer_segment_anything_3.engine import validation
from infer_segment_anything_3.engine.concept_text import (
    Concept,
    find_decimal_commas,
    parse_concepts,
)
from infer_segment_anything_3.tests.helpers import REFUSED, parse_or_refuse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        (" \t", ()),
        ("[]", ()),
        ("red car", (Concept("red car"),)),
        ("  red \n  car ", (Concept("red car"),)),
        ("person, red car", (Concept("person"), Concept("red car"))),
        ('["person", "red, round sign"]', (Concept("person"), Concept("red, round sign"))),
        ("['person', 'red, round sign']", (Concept("person"), Concept("red, round sign"))),
        ("""["driver's seat", 'a "sign"']""", (Concept("driver's seat"), Concept('a "sign"'))),
        ("('person', 'car')", (Concept("person"), Concept("car"))),
        ("('person',)", (Concept("person"),)),
        ('"red, round sign", car', (Concept("red, round sign"), Concept("car"))),
        ("'red, round sign', car", (Concept("red, round sign"), Concept("car"))),
        ('car, "red, round sign" : 0.4', (Concept("car"), Concept("red, round sign", 0.4))),
        ('"sign: stop":0.4', (Concept("sign: stop", 0.4),)),
        ('"scale 1:50", "person:0.4"', (Concept("scale 1:50"), Concept("person:0.4"))),
        ('["scale 1:50", "sign: stop":0.4]', (Concept("scale 1:50"), Concept("sign: stop", 0.4))),
        ('"a \\"sign\\"", b', (Concept('a "sign"'), Concept("b"))),
        ("'90s car, driver's seat", (Concept("'90s car"), Concept("driver's seat"))),
        ('19" wheel', (Concept('19" wheel'),)),
        ('["person",]', (Concept("person"),)),
        ("person:1e-1", (Concept("person", 0.1),)),
        ("person:40", REFUSED),
        ("person:1.5", REFUSED),
        ("person:abc", REFUSED),
        ("person:-1", REFUSED),
        ("http://person", REFUSED),
        ('"person":', REFUSED),
        ('"person":2', REFUSED),
        ('"person" car', REFUSED),
        ('"person', REFUSED),
        ('car, "person', REFUSED),
        ("(red) car", (Concept("(red) car"),)),
        ("person:0.4, car", (Concept("person", 0.4), Concept("car"))),
        ('["person:0.4", "car : 1"]', (Concept("person", 0.4), Concept("car", 1))),
        ("a:0, b:.5, c:1.0", (Concept("a", 0), Concept("b", 0.5), Concept("c", 1))),
        ("scale 1:50", REFUSED),
        ("person:1.1", REFUSED),
        ("person:-0.1", REFUSED),
        ("person:nan", REFUSED),
        ("person:", REFUSED),
        ("12:30:0.5", (Concept("12:30", 0.5),)),
        ("猫, 🚗, собака", (Concept("猫"), Concept("🚗"), Concept("собака"))),
        ("👩\u200d🚀", (Concept("👩\u200d🚀"),)),
        (
            ", ".join(f"c{k}" for k in range(validation.MAX_CONCEPTS)),
            tuple(Concept(f"c{k}") for k in range(validation.MAX_CONCEPTS)),
        ),
        (", ".join(f"c{k}" for k in range(validation.MAX_CONCEPTS + 1)), REFUSED),
        ("a,,b", REFUSED),
        ("a,", (Concept("a"),)),
        (",", REFUSED),
        (":0.4", REFUSED),
        ("car, person, car", REFUSED),
        ("car, Car", REFUSED),
        ("car:0.3, car:0.4", REFUSED),
        ('["car", ""]', REFUSED),
        ('["car", 5]', REFUSED),
        ('["car", ["bus"]]', REFUSED),
        ('["car"', REFUSED),
        ("['car", REFUSED),
        ("[car]", REFUSED),
        ("[", REFUSED),
        ("[" * 99_000, REFUSED),
        ("a\x00b", REFUSED),
        ("a\x1b[31mb", REFUSED),
        ("a\ud800", REFUSED),
        ('["\\ud800"]', REFUSED),
        ("x" * (validation.MAX_CONCEPT_CHARS + 1), REFUSED),
        ("x, " * validation.MAX_TEXT_CHARS, REFUSED),
    ],
)
def test_concepts(text, expected):
    assert parse_or_refuse(parse_concepts, "input_text", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "'" * 100_000,
        "['" + "\\'" * 49_000,
        '["' + "\\\\" * 49_000,
        "'\\'," * 25_000,
        "'a,b'c," * 14_000,
        "a:" + " " * 99_000,
        "[1" + " " * 99_000 + "x",
        ":0" * 50_000,
        "[" * 99_000,
        "'" + "," * 99_000,
    ],
)
def test_hostile_text_does_not_hang(text):
    started = time.process_time()
    parse_or_refuse(parse_concepts, "input_text", text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("a:0,4", "a:0,4 is read as two concepts; a decimal takes a point: a:0.4"),
        ("a:0.4, b:1, c", None),
        ("a, 4", None),
    ],
)
def test_a_decimal_comma_is_found(text, warning):
    assert find_decimal_commas(parse_concepts("input_text", text)) == ([warning] if warning else [])


def test_the_error_of_a_colon_says_what_to_write():
    with pytest.raises(ValueError, match=r"a threshold from 0 to 1 .*or quotes .*got .person:40."):
        parse_concepts("input_text", "car, person:40")
