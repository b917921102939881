"""The table of parameters, and changes of values."""

import dataclasses
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infer_segment_anything_3.adapter.parameters.parameter_table import to_text
from infer_segment_anything_3.adapter.parameters.settings import (
    GROUPS,
    PARAMETERS,
    PROMPT_MODES,
    Settings,
    get_defaults,
    keep_valid,
    merge_values,
)
from infer_segment_anything_3.engine import validation
from infer_segment_anything_3.engine.checkpoints.zoo import MODELS

VERSION_1 = {
    "input_size_percent": "100",
    "input_point": "",
    "input_point_label": "",
    "input_box": "",
    "input_text": "",
    "confidence_threshold": "0.5",
    "multimask_output": "False",
    "cuda": "True",
}


def _any_utf_16(data):
    """Any text there is, halves of surrogate pairs too; far cheaper than ``st.text()``."""
    return "".join(chr(number) for number in memoryview(data[: len(data) // 2 * 2]).cast("H"))


texts = st.binary(max_size=60).map(_any_utf_16)
# Importing ikomia makes the processor flush subnormal numbers to zero.
numbers = (
    st.floats(allow_subnormal=False)
    | st.integers()
    | st.sampled_from([0, 1, 1e400, -0.0, 10**400, None, True])
    | st.just("1")
)
nested = st.recursive(numbers, lambda inner: st.lists(inner, max_size=4), max_leaves=8)
symbols = "[](),0123456789.-+eE \"'NaInfty:\\"
brackets = st.binary(max_size=60).map(lambda data: "".join(symbols[i % len(symbols)] for i in data))
concepts = st.lists(texts | st.just("car"), max_size=4)
thresholds = st.builds("{}:{}".format, texts, numbers)
long_texts = st.builds(lambda piece, count: piece * count, texts, st.sampled_from([500, 30_000]))
anything = st.one_of(
    texts,
    nested.map(str),
    nested.map(lambda value: str(value).replace("'", '"')),
    nested.map(lambda value: str(value).replace("[", "(").replace("]", ")")),
    brackets,
    concepts.map(", ".join),
    concepts.map(str),
    thresholds,
    long_texts,
    st.sampled_from([parameter.default for parameter in PARAMETERS.values()]),
    st.sampled_from([choice for p in PARAMETERS.values() for choice in p.choices]),
)


@settings(
    max_examples=500,
    deadline=20_000,  # milliseconds for ten texts
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(texts=st.tuples(*[anything] * 10))
def test_any_text_is_read_or_refused_by_every_parameter(texts):
    for text in texts:
        check_every_parameter(text)


def check_every_parameter(text):
    for name, parameter in PARAMETERS.items():
        try:
            value = parameter.parse(text)
        except ValueError as error:
            message = str(error)
            assert message.startswith(f"{name}: expected ")
            assert message.isprintable()
            assert len(message) < 300
        else:
            assert all(math.isfinite(number) for number in numbers_in(value))


def numbers_in(value):
    if isinstance(value, tuple):
        return [number for item in value for number in numbers_in(item)]
    return [value] if isinstance(value, int | float) else []


def test_settings_have_a_field_for_every_parameter():
    assert {field.name for field in dataclasses.fields(Settings)} == set(PARAMETERS)


@pytest.mark.parametrize("parameter", PARAMETERS.values(), ids=PARAMETERS)
def test_declaration(parameter):
    parameter.parse(parameter.default)
    for choice in parameter.choices:
        parameter.parse(choice)
    assert parameter.default in (*parameter.choices, parameter.default)
    assert parameter.group in GROUPS
    assert parameter.label[0].isupper()
    assert parameter.help.endswith(".")
    assert parameter.modes <= set(PROMPT_MODES)
    if parameter.placeholder:
        parameter.parse(parameter.placeholder)
    if parameter.kind in ("int", "float"):
        low, high = parameter.minimum, parameter.maximum
        assert parameter.parse(f"{low:g}") == low
        assert parameter.parse(f"{high:g}") == high
        for outside in (low - 1, high + 1):
            with pytest.raises(ValueError, match=f"^{parameter.name}: expected a .*number from"):
                parameter.parse(str(outside))


def test_defaults_are_those_of_the_contract(checkout):
    rows = (checkout / "docs" / "contract.md").read_text().splitlines()
    cells = [[cell.strip(" `") for cell in row.split("|")] for row in rows if row.startswith("| `")]
    promised = {cell[1]: cell[2].strip('"') for cell in cells}
    assert promised == get_defaults()


@pytest.mark.parametrize(
    ("mode", "name", "is_used"),
    [
        ("auto", "input_point", True),
        ("auto", "points_per_side", False),
        ("concept", "input_point", False),
        ("concept", "tiles", True),
        ("object", "confidence_threshold", False),
        ("everything", "input_text", False),
        ("everything", "min_area", True),
        ("everything", "cuda", True),
    ],
)
def test_modes(mode, name, is_used):
    assert PARAMETERS[name].is_used_in(mode) is is_used


def test_parse():
    settings_ = Settings.parse(
        {"input_text": "red car:0.4", "input_box": "[1, 2, 3, 4]", "tiles": "auto", "cuda": "0"}
    )
    assert settings_.input_text[0] == ("red car", 0.4)
    assert settings_.input_box == ((1, 2, 3, 4),)
    assert settings_.tiles == "auto"
    assert settings_.cuda is False
    assert settings_.confidence_threshold == 0.5


def test_a_value_that_stays_is_validated_once(monkeypatch):
    validated = []
    to_points_xy = validation.to_points_xy
    monkeypatch.setattr(
        validation, "to_points_xy", lambda *given: validated.append(1) or to_points_xy(*given)
    )
    values = {"input_point": "[17, 4711]"}
    changed = merge_values({}, values)
    for _ in range(3):
        assert Settings.parse(changed).input_point == (((17, 4711),),)
    assert len(validated) == 1


def test_a_workflow_of_version_1_parses():
    saved = {**VERSION_1, "input_point": "[[1, 2]]", "input_point_label": "[1]", "cuda": "False"}
    assert keep_valid(saved) == ({**get_defaults(), **saved}, [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_txt": "car"}, "'input_txt': unknown parameter, did you mean input_text"),
        ({"zzz\n": "car"}, r"'zzz\\n': unknown parameter"),
        ({"input_text": "car", "cuda": "maybe"}, "cuda: expected True or False, got 'maybe'"),
        ({"cuda": True}, "cuda: expected a string, got True"),
        ({"input_text": None}, "input_text: expected a string, got None"),
    ],
)
def test_a_refused_change_changes_nothing(changes, message):
    current = {**get_defaults(), "input_text": "person"}
    before = dict(current)
    with pytest.raises(ValueError, match=f"^{message}"):
        merge_values(current, changes)
    assert current == before


def test_a_change_keeps_the_rest():
    current = {"input_text": "person"}
    after = merge_values(current, {"overlap": "best"})
    assert after == {**get_defaults(), "input_text": "person", "overlap": "best"}
    assert list(after) == list(PARAMETERS)
    assert current == {"input_text": "person"}


def test_keep_valid():
    kept, lines = keep_valid({"input_text": "car", "input_size_percent": "500", "update": "1"})
    assert kept == {**get_defaults(), "input_text": "car"}
    assert [line.split(":")[0] for line in lines] == ["input_size_percent", "'update'"]


def test_the_table_imports_no_heavy_package():
    code = (
        "import sys, infer_segment_anything_3.adapter.prompt_builder;"
        "print(*{'torch', 'sam3', 'ikomia', 'PyQt6'} & set(sys.modules))"
    )
    paths = ":".join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": paths},
    )
    assert done.stdout.strip() == ""


def test_the_models_offered_are_those_that_exist():
    assert set(PARAMETERS["model_name"].choices) == set(MODELS)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (" SAM3 ", "sam3"),
        ("Owner/Name@v1:a/b.safetensors", "Owner/Name@v1:a/b.safetensors"),
        ("modelscope:owner/name", "modelscope:owner/name"),
    ],
)
def test_models_and_repositories(text, parsed):
    assert PARAMETERS["model_name"].parse(text) == parsed


@pytest.mark.parametrize("text", ["sam2", "", "weights/sam3.pt", "owner/name:../x", "http://a/b"])
def test_what_names_no_model_is_refused(text):
    with pytest.raises(
        ValueError, match=r"^model_name: expected sam3, sam3\.1, tiny_shapes, or owner/name"
    ):
        PARAMETERS["model_name"].parse(text)


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("input_box", [np.float32(1.5), np.int64(2), 3, np.float64(4)], ((1.5, 2, 3, 4),)),
        ("input_box", [np.array([1, 2, 3, 4])], ((1, 2, 3, 4),)),
        ("input_box", np.array([[1, 2, 3, 4]], np.float32), ((1, 2, 3, 4),)),
        ("input_point", ((np.int32(1), 2),), (((1, 2),),)),
        ("input_point_label", [np.uint8(1), 0], ((1, 0),)),
        (
            "input_text",
            ["it's", 'a "b"', "\u732b:0.4"],
            (("it's", None), ('a "b"', None), ("\u732b", 0.4)),
        ),
        ("confidence_threshold", np.float64(0.25), 0.25),
        ("input_size_percent", np.int16(50), 50),
        ("multimask_output", np.bool_(True), True),
        ("model_weight_file", pathlib.PurePosixPath("/a b/sam3.pt"), "/a b/sam3.pt"),
    ],
)
def test_values_that_are_no_strings(name, value, parsed):
    assert PARAMETERS[name].parse(to_text(value)) == parsed


@pytest.mark.parametrize("value", [None, {"a": 1}, [object()], [None], b"car"])
def test_values_that_no_parameter_takes(value):
    with pytest.raises(ValueError, match=r"^input_point: expected"):
        merge_values({}, {"input_point": to_text(value)})
