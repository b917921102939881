"""Bad input is refused in one line, changes nothing, and the next good run works."""

from __future__ import annotations

import numpy as np
import pytest

from .scenes import box, objects

IMAGE = np.full((80, 100, 3), 120, np.uint8)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"input_txt": "car"}, "input_text"),
        ({"confidence_threshold": "1.5"}, "confidence_threshold"),
        ({"confidence_threshold": "nan"}, "confidence_threshold"),
        ({"input_box": "[1, 2, 3]"}, "input_box"),
        ({"input_box": "[30, 2, 3, 40]"}, "input_box"),
        ({"input_point": "__import__('os')"}, "input_point"),
        ({"input_point_label": "[2]"}, "input_point_label"),
        ({"prompt_mode": "magic"}, "prompt_mode"),
        ({"model_name": "sam4"}, "model_name"),
        ({"precision": "float8"}, "precision"),
        ({"cuda": "perhaps"}, "cuda"),
        ({"input_size_percent": "0"}, "input_size_percent"),
        ({"input_text": "car, Car"}, "input_text"),
        ({"multimask_output": "True", "tiles": "-2"}, "tiles"),
        ({"multimask_output": None}, "multimask_output"),
    ],
)
def test_a_wrong_value_changes_nothing(make_algo, values, name):
    _, algo = make_algo()
    before = algo.get_parameters()
    with pytest.raises(ValueError, match=name) as caught:
        algo.set_parameters(values)
    assert "\n" not in str(caught.value)
    assert algo.get_parameters() == before


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"input_point": "[[5, 5], [9, 9]]", "input_point_label": "[1]"}, "input_point_label"),
        ({"input_point": "[500, 5]"}, "input_point"),
        ({"input_box": "[200, 200, 300, 300]"}, "input_box"),
        (
            {"input_box": "[1, 1, 9, 9]", "input_box_label": "[0]", "prompt_mode": "concept"},
            "input_text",
        ),
        ({"input_text": "circle", "model_weight_file": "/nowhere/at/all.pt"}, "model_weight_file"),
    ],
)
def test_what_only_the_run_can_tell_is_refused_by_it(make_algo, values, name):
    wf, algo = make_algo()
    before = {key: algo.get_parameters()[key] for key in values}
    algo.set_parameters(values)
    with pytest.raises(RuntimeError, match=name):
        wf.run_on(array=IMAGE)
    assert algo.get_output_count() == 4
    assert objects(algo) == []
    assert algo.get_output(3).data == {}
    algo.set_parameters(before)
    algo.set_parameters({"input_point": "[5, 5]"})
    wf.run_on(array=IMAGE)
    assert len(objects(algo)) == 1


def test_an_error_after_candidates_leaves_none_of_them(make_algo):
    wf, algo = make_algo(input_point="[5, 5]", multimask_output=True)
    wf.run_on(array=IMAGE)
    assert algo.get_output_count() == 6
    algo.set_parameters({"input_point": "[500, 5]"})
    with pytest.raises(RuntimeError, match="input_point"):
        wf.run_on(array=IMAGE)
    assert algo.get_output_count() == 4
    assert objects(algo) == []


@pytest.mark.parametrize(
    "values",
    [{}, {"prompt_mode": "concept"}, {"input_text": "square", "confidence_threshold": "1.0"}],
)
def test_nothing_asked_or_found_is_a_valid_run(make_algo, values):
    wf, algo = make_algo(**values)
    wf.run_on(array=IMAGE)
    assert (algo.get_output(0).get_image() == IMAGE).all()
    assert algo.get_output(1).get_mask().shape == IMAGE.shape[:2]
    assert not algo.get_output(1).get_mask().any()
    assert objects(algo) == []
    assert algo.get_output(3).data["annotations"] == []
    assert (algo.get_image_with_mask() == IMAGE).all()


def test_plain_values_are_taken_like_strings(make_algo, scene):
    shown = scene(seed=5)
    wf, algo = make_algo()
    boxes = [np.array(box(shown.shapes[0]), np.float32)]
    algo.set_parameters({"input_box": boxes, "multimask_output": np.True_})
    wf.run_on(array=shown.image)
    assert algo.get_output_count() == 6
