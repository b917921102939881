"""The parameters of the training task, and its form in Studio."""

from __future__ import annotations

import pytest

from infer_segment_anything_3.train_plugin.parameters import GROUPS, PARAMETERS, TrainParam
from infer_segment_anything_3.training.options import TrainingOptions


def test_defaults_are_those_of_the_training():
    values = PARAMETERS.parse_values({})
    options = TrainingOptions("a.json", "images", "out")
    for name in ("steps", "parts", "learning_rate", "patience", "mirror", "seed", "negatives"):
        assert values[name] == getattr(options, name), name
    assert values["anchors"] == options.anchors
    assert values["validation_share"] == options.val


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": "0"}, "steps: expected"),
        ({"rename": "cls_3"}, "rename: expected category=phrase"),
        ({"parts": "all"}, "parts: expected"),
        ({"step": "3"}, "'step': unknown parameter, did you mean steps"),
    ],
)
def test_a_wrong_value_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        PARAMETERS.merge_values({}, changes)


def test_a_saved_workflow_of_any_version_opens(caplog):
    param = TrainParam()
    param.set_values({"steps": "20", "parts": "everything", "old": "1"})
    assert param.get_values()["steps"] == "20"
    assert param.get_values()["parts"] == "detector"
    assert "parts: expected" in caplog.text and "'old': unknown parameter" in caplog.text


def test_the_form_has_a_field_for_each_parameter():
    from PyQt6.QtWidgets import QApplication

    from infer_segment_anything_3.train_plugin.widget import TrainForm

    application = QApplication.instance() or QApplication([])
    form = TrainForm()
    assert form.values() == PARAMETERS.get_defaults() | {"cuda": form.values()["cuda"]}
    assert {parameter.group for parameter in PARAMETERS.values()} == set(GROUPS)
    form.show_values({**PARAMETERS.get_defaults(), "steps": "77", "rename": "x"})
    assert form.values()["steps"] == "77"
    assert [field.parameter.name for field in form.find_invalid_fields()] == ["rename"]
    application.processEvents()
