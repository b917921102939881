from __future__ import annotations

import itertools
import re

import pytest
from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtGui import QFont, QKeySequence
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QAbstractButton, QApplication, QFileDialog, QLabel, QScrollArea

from infer_segment_anything_3.adapter.parameters.settings import GROUPS, PARAMETERS, PROMPT_MODES
from infer_segment_anything_3.studio.accelerators import mark_accelerators
from infer_segment_anything_3.studio.sections import DRAWN_PROMPTS
from infer_segment_anything_3.tests.studio.measuring import cramped, visible

TAB_ORDER = [
    "input_text",
    "prompt_mode",
    "agent_model",
    "confidence_threshold",
    "Include point",
    "Exclude point",
    "Box",
    "Exclude box",
    "Coordinates",
    "input_point",
    "input_point_label",
    "input_box",
    "input_box_label",
    "reference_image",
    "Reference picture of the boxes: browse",
    "refine",
    "points_per_side",
    "Result",
    "multimask_output",
    "overlap",
    "min_area",
    "tracking",
    "tiles",
    "masks",
    "segmentation_format",
    "Model",
    "model_name",
    "model_weight_file",
    "Weight file: browse",
    "input_size",
    "input_size_percent",
    "precision",
    "backend",
    "cuda",
]


def open_all(panel):
    for section in panel.sections.values():
        section.set_open(True)


def name_of(widget):
    return widget.objectName() or widget.accessibleName()


def test_every_parameter_has_a_field_in_the_section_of_its_group(panel):
    assert panel.values() == {name: p.default for name, p in PARAMETERS.items()}
    assert [s.header.accessibleName() for s in panel.sections.values()] == [
        title for group, title in GROUPS.items() if group != "prompt"
    ]
    for group, section in panel.sections.items():
        assert {f.parameter.group for f in section.grid.fields} == {group}


@pytest.mark.parametrize("width_px", [220, 320, 500])
@pytest.mark.parametrize("scale", [1, 1.2])
def test_it_never_scrolls_sideways(qt, panel, settle, width_px, scale):
    font = qt.font()
    font.setPointSizeF(font.pointSizeF() * scale)
    qt.setFont(font)
    open_all(panel)
    page = panel.window()
    page.resize(width_px, 900)
    settle()
    assert page.horizontalScrollBar().maximum() == 0
    labels = [field.label for field in panel.fields.values() if field.label is not None]
    for part in (*labels, *panel.tools.buttons.values()):
        assert part.mapTo(panel, part.rect().bottomRight()).x() < panel.width()


@pytest.mark.parametrize("mode", PROMPT_MODES)
def test_a_mode_disables_what_it_does_not_use_and_hides_nothing(panel, settle, mode):
    open_all(panel)
    panel.fields["cuda"].set_unavailable("")
    panel.fields["prompt_mode"].set_value(mode)
    settle()
    used = {name for name, p in PARAMETERS.items() if p.is_used_in(mode)}
    assert {name for name, f in panel.fields.items() if f.editor.isEnabled()} == used
    assert all(f.editor.isVisible() for f in panel.fields.values())
    labels = [(n, f.label) for n, f in panel.fields.items() if f.label is not None]
    assert all(label.isEnabled() == (name in used) for name, label in labels)
    armed = {p.parameter for p, button in panel.tools.buttons.items() if button.isEnabled()}
    assert armed == {p.parameter for p in DRAWN_PROMPTS} & used


def test_a_mode_offers_the_drawing_tools_it_can_use(panel):
    enabled = {}
    for mode in PROMPT_MODES:
        panel.fields["prompt_mode"].set_value(mode)
        enabled[mode] = [p.label for p, b in panel.tools.buttons.items() if b.isEnabled()]
    assert enabled == {
        "auto": ["Include point", "Exclude point", "Box", "Exclude box"],
        "object": ["Include point", "Exclude point", "Box"],
        "concept": ["Box", "Exclude box"],
        "everything": [],
        "describe": [],
    }


@pytest.mark.parametrize(
    ("mode", "note", "told"),
    [
        ("auto", "", "Drawn points and boxes are added to the prompt of the next run."),
        ("object", "The last run used 1 of 2.", "The last run used 1 of 2."),
        ("everything", "The last run used 1 of 2.", "This mode uses no drawn points or boxes."),
    ],
)
def test_a_line_tells_about_what_is_drawn(panel, mode, note, told):
    panel.show_run_note(note)
    panel.fields["prompt_mode"].set_value(mode)
    assert panel.tools.last_run.text() == told


def test_what_cannot_be_read_stays_open_to_be_mended_in_every_mode(panel):
    points = panel.fields["input_point"]
    points.set_value("[1")
    panel.fields["prompt_mode"].set_value("concept")
    assert points.editor.isEnabled()
    points.set_value("")
    assert not points.editor.isEnabled()


def test_the_tab_key_visits_everything_from_top_to_bottom(panel, settle):
    open_all(panel)
    panel.fields["cuda"].set_unavailable("")
    settle()
    assert [name_of(stop) for stop in panel.list_tab_stops()] == TAB_ORDER
    places = [s.mapTo(panel, s.rect().center()) for s in panel.list_tab_stops()]
    rows = [(place.y() // 12, place.x()) for place in places]
    assert rows == sorted(rows)

    panel.fields["input_text"].editor.setFocus()
    visited = []
    for _ in panel.list_tab_stops():
        visited.append(QApplication.focusWidget())
        QTest.keyClick(visited[-1], Qt.Key.Key_Tab)
    enabled = [stop for stop in panel.list_tab_stops() if stop.isEnabled()]
    assert visited[: len(enabled)] == enabled
    unused = {"agent_model", "points_per_side"}
    assert {name_of(s) for s in panel.list_tab_stops() if not s.isEnabled()} == unused


def test_the_keyboard_reaches_fields_by_their_letter(panel, settle):
    open_all(panel)
    settle()
    buttons = [*panel.tools.buttons.values(), *(s.header for s in panel.sections.values())]
    texts = [f.label.text() for f in panel.fields.values() if f.label is not None]
    texts += [button.text() for button in buttons]
    letters = [re.search("&([a-z])", text.lower()) for text in texts]
    known = [letter.group(1) for letter in letters if letter is not None]
    assert len(known) == len(set(known))
    assert len(known) >= len(buttons) + 3

    for name in ("input_text", "prompt_mode", "confidence_threshold"):
        field = panel.fields[name]
        letter = QKeySequence.mnemonic(field.label.text())[0].key()
        QTest.keyClick(panel.window(), letter, Qt.KeyboardModifier.AltModifier)
        settle()
        assert QApplication.focusWidget() is field.editor


def test_space_folds_a_section(panel, settle):
    section = panel.sections["model"]
    assert not section.is_open()
    section.header.setFocus()
    QTest.keyClick(section.header, Qt.Key.Key_Space)
    assert section.is_open()
    assert panel.fields["model_name"].editor.isVisible()
    QTest.keyClick(section.header, Qt.Key.Key_Space)
    settle()
    assert not section.is_open()
    assert not panel.fields["model_name"].editor.isVisible()


@pytest.mark.parametrize(
    ("values", "opened"),
    [
        ({}, []),
        ({"input_text": "car"}, []),
        ({"input_box": "[1, 2, 3, 4]"}, ["points"]),
        ({"model_name": "tiny_shapes", "overlap": "best"}, ["output", "model"]),
        ({"tiles": "OFF", "min_area": "0.0"}, []),
        ({"input_point": "[1"}, ["points"]),
    ],
)
def test_sections_open_on_what_is_set(panel, values, opened):
    panel.show_values(values)
    assert [group for group, s in panel.sections.items() if s.is_open()] == opened


def test_a_folded_section_says_how_much_it_hides(panel):
    section = panel.sections["points"]
    summaries = []
    for box, is_open in (("", False), ("[1, 2, 3, 4]", False), ("[1, 2, 3, 4]", True)):
        panel.fields["input_box"].set_value(box)
        section.set_open(is_open)
        summaries.append(section.summary.text())
    assert summaries == ["", "1 set", ""]


def test_edits_under_way_outlast_a_change_elsewhere(panel):
    panel.show_values({"input_text": "car", "min_area": "0"})
    panel.fields["input_text"].editor.setText("red car")
    panel.show_values({"input_text": "car", "min_area": "9"})
    assert panel.values()["input_text"] == "red car"
    assert panel.values()["min_area"] == "9"
    panel.show_values({"input_text": "dog", "min_area": "9"})
    assert panel.values()["input_text"] == "dog"


def test_revealing_unfolds_and_takes_the_keyboard_there(panel, settle):
    panel.fields["tiles"].set_value("many")
    assert [field.parameter.name for field in panel.find_invalid_fields()] == ["tiles"]
    panel.focus_field(panel.find_invalid_fields()[0])
    settle()
    assert panel.sections["output"].is_open()
    assert panel.fields["tiles"].editor.hasFocus()


@pytest.mark.parametrize("mode", PROMPT_MODES)
@pytest.mark.parametrize("growth", [1.0, 1.2])
def test_nothing_is_clipped_at_320_px(panel, settle, qt, mode, growth):
    font = QFont(qt.font())
    font.setPointSizeF(font.pointSizeF() * growth)
    qt.setFont(font)
    panel.fields["prompt_mode"].set_value(mode)
    panel.fields["input_box"].set_value("[[10, 20, 5")
    panel.fields["tiles"].set_value("many")
    panel.show_run_note("The last run used 12 of 14 drawn prompts.")
    open_all(panel)
    settle()
    scroll = panel.window()
    assert isinstance(scroll, QScrollArea)
    assert scroll.horizontalScrollBar().maximum() == 0
    assert panel.width() == scroll.viewport().width() <= 320
    assert len(visible(panel, QLabel)) >= 20
    assert len(visible(panel, QAbstractButton)) >= 11
    assert cramped(panel) == []


@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize(
    ("name", "section", "file", "shown"),
    [
        ("model_weight_file", "model", "my weights.pt", "Checkpoints (*.pt *.safetensors)"),
        ("reference_image", "points", "my photo.jpg", "Images (*.bmp *.gif *.jpeg *.jpg"),
    ],
)
def test_a_dialog_chooses_a_file(panel, tmp_path, settle, name, section, file, shown, chosen):
    there = tmp_path / file
    there.write_bytes(b"")
    field = panel.fields[name]
    panel.fields["prompt_mode"].set_value("concept")
    field.set_value(str(tmp_path / f"other{there.suffix}"))
    panel.sections[section].set_open(True)
    seen = []

    def answer():
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, QFileDialog)
        seen.extend([dialog.directory().absolutePath(), dialog.nameFilters()[0]])
        dialog.selectFile(str(there))
        dialog.accept() if chosen else dialog.reject()

    QTimer.singleShot(0, answer)
    QTest.mouseClick(field.browse, Qt.MouseButton.LeftButton)
    assert seen[0] == str(tmp_path)
    assert seen[1].startswith(shown)
    assert field.value() == str(there if chosen else tmp_path / f"other{there.suffix}")


def test_enter_asks_for_a_run(panel):
    asked = []
    panel.submitted.connect(lambda: asked.append(True))
    for name in ("input_text", "input_box"):
        QTest.keyClick(panel.fields[name].editor, Qt.Key.Key_Return)
    QTest.keyClick(panel.fields["tiles"].editor.lineEdit(), Qt.Key.Key_Return)
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("titles", "marked"),
    [
        (["Text", "Tiles"], ["&Text", "T&iles"]),
        (["Include point", "Exclude point", "Box"], ["&Include point", "&Exclude point", "&Box"]),
        (["a", "a", "Size (%)"], ["&a", "a", "&Size (%)"]),
        (["R&D", "D & R"], ["&R&&D", "&D && R"]),
    ],
)
def test_no_letter_comes_twice(titles, marked):
    assert mark_accelerators(titles) == marked


def test_no_letter_comes_twice_however_many_titles():
    titles = ["".join(pair) for pair in itertools.product("abcdef", repeat=2)]
    marked = mark_accelerators(titles)
    letters = [text[text.index("&") + 1] for text in marked if "&" in text]
    assert sorted(letters) == list("abcdef")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "Set SAM3_AGENT_URL"),
        ("https://llm.example/v1", "pictures leave this machine: they are sent to llm.example ("),
        ("http://127.0.0.1:8000/v1", "to a server on this machine, 127.0.0.1:8000 ("),
        ("http://[::1]:8000/v1", "to a server on this machine, [::1]:8000 ("),
        ("https://user:secret@llm.example", "SAM3_AGENT_URL: expected an address"),
    ],
)
def test_a_description_says_where_pictures_go(panel, monkeypatch, url, told):
    monkeypatch.setenv("SAM3_AGENT_URL", url)
    assert panel.destination.isHidden()
    panel.fields["prompt_mode"].set_value("describe")
    assert told in panel.destination.text()
    assert "secret" not in panel.destination.text()
    assert not panel.destination.isHidden()
    panel.fields["prompt_mode"].set_value("concept")
    assert panel.destination.isHidden()


def test_a_text_is_checked_for_the_chosen_mode(panel):
    text = panel.fields["input_text"]
    text.set_value("the cup: left")
    assert text.error()
    panel.fields["prompt_mode"].set_value("describe")
    assert not text.error() and not text.error_note.isVisible()
    assert panel.fields["agent_model"].editor.isEnabled()
