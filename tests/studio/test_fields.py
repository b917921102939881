from __future__ import annotations

import pytest
from PyQt6.QtCore import QPoint, QPointF, Qt
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QApplication, QComboBox, QLineEdit

from infer_segment_anything_3.adapter.parameters.settings import PARAMETERS
from infer_segment_anything_3.studio.choice_fields import CheckField, make_field
from infer_segment_anything_3.studio.theme import get_error_color

pytestmark = pytest.mark.usefixtures("qt")


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_field_takes_its_words_from_the_table(name):
    parameter = PARAMETERS[name]
    field = make_field(parameter)
    assert field.value() == parameter.default
    assert field.is_default() and not field.error()
    assert field.editor.accessibleName() == parameter.label
    assert name in field.editor.toolTip()
    assert field.editor.accessibleDescription() == parameter.help
    if isinstance(field.editor, QLineEdit):
        assert field.editor.placeholderText() == parameter.placeholder


@pytest.mark.parametrize("name", ["input_point", "input_point_label", "input_box", "input_text"])
def test_what_is_typed_has_an_example_that_can_be_read(name):
    parameter = PARAMETERS[name]
    assert parameter.placeholder
    assert parameter.parse(parameter.placeholder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_text", " person ,red car:0.4 "),
        ("input_text", '["person",\n "red, round sign"]'),
        ("input_text", "a" * 90_000),
        ("input_text", "nobody can read this,,"),
        ("input_box", "[1,2, 30,40]"),
        ("prompt_mode", "Concept"),
        ("prompt_mode", "not a mode"),
        ("confidence_threshold", "0.123456789"),
        ("confidence_threshold", "1e-1"),
        ("confidence_threshold", "seven"),
        ("input_size_percent", "50.0"),
        ("min_area", "1000000000"),
        ("multimask_output", "yes"),
        ("cuda", "0"),
        ("tiles", "7"),
        ("tiles", "seven"),
        ("model_weight_file", "~/a b/ü.pt"),
    ],
)
def test_a_value_that_nobody_edits_stays_as_it_is(name, value):
    field = make_field(PARAMETERS[name])
    field.set_value(value)
    assert field.value() == value


@pytest.mark.parametrize(
    ("name", "keys", "value"),
    [
        ("input_text", "red car", "red car"),
        ("input_point", "[3,4]", "[3,4]"),
        ("confidence_threshold", "0.35", "0.35"),
        ("input_size_percent", "40", "40"),
        ("min_area", "1200", "1200"),
        ("tiles", "3", "3"),
        ("tiles", "auto", "auto"),
        ("multimask_output", " ", "True"),
        ("prompt_mode", "This", "object"),
        ("precision", "bf", "bfloat16"),
        ("model_weight_file", "/x.pt", "/x.pt"),
    ],
)
def test_the_keyboard_edits_it(name, keys, value):
    field = make_field(PARAMETERS[name])
    heard = []
    field.changed.connect(lambda: heard.append(field.value()))
    editor = field.editor
    if hasattr(editor, "selectAll"):
        editor.selectAll()
    if isinstance(editor, QComboBox) and editor.isEditable():
        editor = editor.lineEdit()
        editor.selectAll()
    QTest.keyClicks(editor, keys)
    assert field.value() == value
    assert heard[-1] == value
    assert not field.error()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_point", "[1"),
        ("input_point", "[[1, 2], [3]]"),
        ("input_point_label", "[2]"),
        ("input_box", "[10, 10, 5, 5]"),
        ("input_box_label", "yes"),
        ("input_text", "car,,person"),
        ("tiles", "many"),
        ("confidence_threshold", "2"),
        ("cuda", "perhaps"),
        ("prompt_mode", "all"),
    ],
)
def test_a_value_that_cannot_be_read_is_marked_with_the_words_of_the_api(name, value):
    field = make_field(PARAMETERS[name])
    field.set_value(value)
    with pytest.raises(ValueError) as refusal:
        PARAMETERS[name].parse(value)
    assert field.error() == field.error_note.text() == str(refusal.value)
    assert field.editor.accessibleDescription() == str(refusal.value)
    assert not field.error_note.isHidden()
    field.set_value(PARAMETERS[name].default)
    assert not field.error()
    assert field.error_note.isHidden()


@pytest.mark.parametrize("name", ["input_box", "tiles"])
def test_a_line_that_cannot_be_read_is_outlined(name):
    field = make_field(PARAMETERS[name])
    editor = field.editor
    editor.resize(editor.sizeHint())
    line = editor if isinstance(editor, QLineEdit) else editor.lineEdit()
    line.resize(line.sizeHint())
    marks = []
    for value in (PARAMETERS[name].default, "[", PARAMETERS[name].default):
        field.set_value(value)
        image = line.grab().toImage()
        top = [image.pixelColor(x, 0) for x in range(image.width())]
        marks.append(top.count(get_error_color(line.palette())) > len(top) // 2)
    assert marks == [False, True, False]


def test_a_choice_that_cannot_be_had_says_why_and_keeps_its_value():
    field = make_field(PARAMETERS["cuda"])
    assert isinstance(field, CheckField)
    field.set_value("yes")
    field.set_unavailable("no such thing")
    assert field.value() == "yes"
    assert not field.editor.isEnabled()
    assert not field.editor.isChecked()
    assert field.reason_note.text() == "no such thing"
    field.set_value("False")
    assert field.value() == "False"
    field.set_value("True")
    field.set_unavailable("")
    assert field.value() == "True"
    assert field.editor.isEnabled()
    assert field.editor.isChecked()
    assert field.reason_note.isHidden()


@pytest.mark.parametrize("name", ["prompt_mode", "confidence_threshold", "tiles"])
def test_the_wheel_that_scrolls_the_page_changes_nothing(name):
    field = make_field(PARAMETERS[name])
    turn = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(0, -120),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(field.editor, turn)
    assert field.is_default()
    assert not turn.isAccepted()
