"""The widget in its host: the real container, its Apply button, a real task and real runs."""

from __future__ import annotations

import json

import pytest
from PyQt6.QtCore import Qt
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QPushButton

from infer_segment_anything_3.adapter.parameters.settings import PARAMETERS, get_defaults


class Studio:
    """What Ikomia Studio does around a widget: takes what it sends and sets what it asks for."""

    def __init__(self, widget):
        self.widget = widget
        self.panel = widget.panel
        self.applied = []
        self.armed = []
        widget.emit_apply = self.applied.append
        widget.emit_set_graphics_tool = lambda tool: self.armed.append(tool.name)
        widget.emit_set_graphics_category = self.armed.append

    def click_apply(self):
        button = self.panel.window().findChildren(QPushButton)[-1]
        assert button.text().replace("&", "") == "Apply"
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def fill_in(self, **texts):
        for name, text in texts.items():
            field = self.panel.fields[name]
            if name in ("prompt_mode", "overlap", "model_name"):
                field.editor.setCurrentIndex(field.editor.findData(text))
            elif name == "confidence_threshold":
                field.editor.setValue(float(text))
            else:
                field.editor.clear()
                QTest.keyClicks(field.editor, text)


@pytest.fixture
def open_studio(new_widget):
    """``open_studio(param)``: a widget as Studio shows it."""

    def open_(param=None):
        studio = Studio(new_widget(param))
        studio.panel.window().show()
        return studio

    return open_


def drawn(shape, category, *place):
    from ikomia import core

    if shape == "POINT":
        prop = core.GraphicsPointProperty()
        prop.category = category
        return core.CGraphicsPoint(core.CPointF(*place), prop)
    prop = core.GraphicsRectProperty()
    prop.category = category
    return core.CGraphicsRectangle(*place, prop)


def test_what_is_filled_in_arrives_at_the_task_and_a_run_uses_it(make_algo, open_studio, scene):
    workflow, algo = make_algo()
    studio = open_studio(algo.get_param_object())
    image = scene(seed=3).image
    studio.fill_in(
        input_text="circle, star",
        prompt_mode="concept",
        confidence_threshold="0.25",
        overlap="best",
    )
    studio.click_apply()
    assert len(studio.applied) == 1
    algo.set_param_object(studio.applied[0])
    expected = {
        "input_text": "circle, star",
        "prompt_mode": "concept",
        "confidence_threshold": "0.25",
        "overlap": "best",
        "model_name": "tiny_shapes",
    }
    assert expected.items() <= algo.get_parameters().items()

    workflow.run_on(array=image)
    told = json.loads(algo.get_output(3).to_json())
    assert [category["name"] for category in told["categories"]] == ["circle", "star"]
    assert all(annotation["score"] > 0.25 for annotation in told["annotations"])

    studio.fill_in(input_text="", prompt_mode="object", input_box="[[20, 30, 120, 150]]")
    studio.click_apply()
    workflow.run_on(array=image)
    told = json.loads(algo.get_output(3).to_json())
    assert len(told["annotations"]) == 1


def test_apply_changes_only_what_was_edited(make_algo, open_studio):
    _, algo = make_algo(input_text='["a", "b"]', confidence_threshold="0.123456789", cuda="True")
    before = algo.get_parameters()
    studio = open_studio(algo.get_param_object())
    studio.click_apply()
    assert algo.get_parameters() == before
    studio.fill_in(input_text="dog")
    studio.click_apply()
    assert algo.get_parameters() == before | {"input_text": "dog"}


@pytest.mark.parametrize(
    ("name", "text"), [("input_box", "[[1, 2"), ("input_text", "car,,dog"), ("input_point", "x")]
)
def test_apply_is_not_sent_with_what_cannot_be_read(make_algo, open_studio, settle, name, text):
    _, algo = make_algo()
    before = algo.get_parameters()
    studio = open_studio(algo.get_param_object())
    field = studio.panel.fields[name]
    studio.fill_in(**{name: text})
    with pytest.raises(ValueError) as refusal:
        algo.set_parameters({name: text})
    assert field.error_note.text() == str(refusal.value)
    QTest.keyClick(field.editor, Qt.Key.Key_Return)
    studio.click_apply()
    settle()
    assert studio.applied == []
    assert algo.get_parameters() == before
    assert field.editor.isVisible()
    assert field.editor.hasFocus()
    field.editor.clear()
    studio.click_apply()
    assert len(studio.applied) == 1


def test_enter_applies_once(open_studio):
    studio = open_studio()
    editor = studio.panel.fields["input_text"].editor
    QTest.keyClicks(editor, "dog")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    assert [param.get_values()["input_text"] for param in studio.applied] == ["dog"]


def test_state_outlasts_the_widget_and_the_workflow(make_algo, open_studio, tmp_path):
    from ikomia.dataprocess.workflow import Workflow

    workflow, algo = make_algo()
    studio = open_studio(algo.get_param_object())
    studio.fill_in(input_text="red star", prompt_mode="concept", confidence_threshold="0.35")
    studio.panel.sections["points"].set_open(True)
    studio.fill_in(input_box="[1, 2, 30, 40]", input_box_label="[0]")
    studio.click_apply()
    state = studio.panel.values()
    studio.panel.window().close()

    again = open_studio(algo.get_param_object())
    assert again.panel.values() == state
    assert again.panel.sections["points"].is_open()

    path = tmp_path / "workflow.json"
    workflow.save(str(path))
    loaded = Workflow()
    loaded.load(str(path))
    (task,) = loaded.find_task("infer_segment_anything_3")
    assert open_studio(task.get_param_object()).panel.values() == state


def test_without_parameters_it_offers_the_defaults_and_starts_a_task(open_studio):
    from infer_segment_anything_3.infer_segment_anything_3 import IkomiaPlugin

    studio = open_studio(None)
    assert studio.panel.values() == get_defaults()
    studio.fill_in(input_text="circle")
    studio.click_apply()
    task = IkomiaPlugin().get_process_factory().create(studio.applied[0])
    assert task.get_parameters() == get_defaults() | {"input_text": "circle"}


def test_it_follows_the_task_without_losing_edits_under_way(make_algo, open_studio):
    _, algo = make_algo(input_text="circle")
    studio = open_studio(algo.get_param_object())
    studio.fill_in(input_text="red circle")
    algo.set_parameters({"confidence_threshold": "0.7"})
    studio.widget.on_parameters_changed()
    assert studio.panel.values()["confidence_threshold"] == "0.7"
    assert studio.panel.values()["input_text"] == "red circle"

    studio.click_apply()
    studio.fill_in(input_text="typed while it runs")
    studio.widget.on_parameters_changed()
    assert studio.panel.values()["input_text"] == "typed while it runs"


@pytest.mark.parametrize(
    ("label", "shape", "drawn_label"),
    [
        ("Include point", "POINT", 1),
        ("Exclude point", "POINT", 0),
        ("Box", "RECTANGLE", 1),
        ("Exclude box", "RECTANGLE", 0),
    ],
)
def test_a_button_arms_the_tool_and_what_is_drawn_with_it_means_that(
    open_studio, label, shape, drawn_label
):
    from ikomia import dataprocess

    from infer_segment_anything_3.adapter.inputs.graphics import read_drawing

    studio = open_studio()
    button = studio.panel.findChild(QPushButton, label)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    category, tool = studio.armed
    assert tool == shape

    graphics = dataprocess.CGraphicsInput()
    graphics.set_items([drawn(shape, category, *((5, 6) if shape == "POINT" else (5, 6, 7, 8)))])
    drawing = read_drawing(graphics)
    assert (*drawing.point_labels, *drawing.box_labels) == (drawn_label,)


def test_a_line_tells_how_much_of_the_drawing_the_last_run_used(make_algo, open_studio, scene):
    workflow, algo = make_algo(prompt_mode="object")
    studio = open_studio(algo.get_param_object())
    shown = scene(seed=1)
    left, top, right, bottom = shown.shapes[0].xyxy.tolist()
    algo.get_input(1).set_items(
        [
            drawn("RECTANGLE", "Default", left, top, right - left, bottom - top),
            drawn("RECTANGLE", "negative", 10, 10, 50, 50),
        ]
    )
    workflow.set_image_input(array=shown.image)
    workflow.run()
    studio.widget.on_parameters_changed()
    assert studio.panel.tools.last_run.text().splitlines() == [
        "The last run used 1 of 2 drawn prompts.",
        "input_box_label: objects take no negative box, 1 left out",
    ]


def test_apply_comes_last(open_studio):
    studio = open_studio()
    host = studio.panel.window()
    chain, widget = [], host.nextInFocusChain()
    while widget is not None and widget is not host:
        chain.append(widget)
        widget = widget.nextInFocusChain()
    apply = host.findChildren(QPushButton)[-1]
    places = [chain.index(stop) for stop in (*studio.panel.list_tab_stops(), apply)]
    assert places == sorted(places)


def test_every_parameter_of_the_task_is_in_the_form(make_algo, open_studio):
    _, algo = make_algo()
    studio = open_studio(algo.get_param_object())
    assert set(algo.get_parameters()) == set(studio.panel.fields) == set(PARAMETERS)


def test_start_over_begins_a_new_video(make_algo, open_studio, scene):
    workflow, algo = make_algo(input_text="circle", tracking="on")
    studio = open_studio(algo.get_param_object())
    image = scene(seed=1).image

    def run():
        workflow.run_on(array=image)
        studio.widget.on_parameters_changed()
        return algo.get_output(3).data["image"]["frame_index"]

    assert [run(), run()] == [0, 1]
    assert studio.panel.tracking.note.text().startswith("Tracking: ")
    studio.panel.tracking.button.click()
    assert run() == 0
