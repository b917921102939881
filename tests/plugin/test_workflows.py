"""Connected to other tasks, saved and loaded."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ikomia import dataprocess
from ikomia.dataprocess.workflow import Workflow

from .detector import Detector
from .scenes import box, inside, masks, matched, objects

NAME = "infer_segment_anything_3"
SEMANTIC_CONSUMER = "ik_semantic_segmentation_filter"
INSTANCE_CONSUMER = "ik_instance_segmentation_filter"


@pytest.fixture
def shown(scene):
    return scene(seed=5, side_range_px=(240, 320))


def edges(workflow, task):
    task_id = workflow.get_task_id(task)
    return [workflow.get_edge_info(edge) for edge in workflow.get_in_edges(task_id)]


@pytest.mark.parametrize(("consumer", "index"), [(SEMANTIC_CONSUMER, 1), (INSTANCE_CONSUMER, 2)])
def test_what_takes_masks_connects_by_itself(make_algo, shown, consumer, index):
    wf, algo = make_algo(input_box=[box(shape) for shape in shown.shapes[:2]])
    follower = wf.add_task(name=consumer, auto_connect=True)
    assert (index, 1) in edges(wf, follower)
    for multimask, count in (("False", 4), ("True", 6), ("False", 4)):
        algo.set_parameters({"multimask_output": multimask})
        wf.run_on(array=shown.image)
        assert algo.get_output_count() == count
        received = follower.get_output(1)
        if consumer == SEMANTIC_CONSUMER:
            assert (received.get_mask() == algo.get_output(1).get_mask()).all()
            assert set(np.unique(received.get_mask())) == {0, 1}
        else:
            assert received.get_object_count() == 2
            assert (received.get_object(1).mask == masks(algo)[1]).all()
    algo.set_parameters({"input_box": ""})
    wf.run_on(array=shown.image)
    if consumer == INSTANCE_CONSUMER:
        assert follower.get_output(1).get_object_count() == 0


def test_a_detectors_boxes_are_objects_with_its_names_and_colors(make_algo, shown):
    wf = Workflow()
    detector = Detector()
    detector.found = (
        ("wheel", (10, 200, 30), box(shown.shapes[0])),
        ("negative", (200, 10, 30), box(shown.shapes[1])),
    )
    wf.add_task(task=detector, auto_connect=True)
    _, algo = make_algo(workflow=wf)
    assert (1, 1) in edges(wf, algo)
    wf.run_on(array=shown.image)
    found = objects(algo)
    assert [(o.label, o.color) for o in found] == [
        ("wheel", [10, 200, 30]),
        ("negative", [200, 10, 30]),
    ]
    assert algo.get_output(1).get_class_names() == ["background", "wheel", "negative"]
    detector.found = ()
    wf.run_on(array=shown.image)
    assert objects(algo) == []
    assert not algo.get_output(1).get_mask().any()


@pytest.mark.parametrize("mode", ["auto", "object", "concept"])
def test_two_of_these_tasks_in_series(make_algo, shown, caplog, mode):
    first, second = shown.shapes[0].kind, shown.shapes[1].kind
    assert first != second
    wf, _ = make_algo(input_text=first)
    _, algo = make_algo(workflow=wf, input_text=second, prompt_mode=mode)
    wf.run_on(array=shown.image)
    found = matched(masks(algo), shown.find_matching(first if mode == "object" else second))
    left_out = [
        note for note in algo.get_output(3).data["info"]["notes"] if "of the earlier task" in note
    ]
    if mode == "auto":
        assert found, "each task runs its own text"
        assert left_out[0] in caplog.text
    else:
        assert not left_out
    if mode == "object":
        assert found, "the boxes of the first task are the objects of the second"
        assert {o.label for o in objects(algo)} == {first}


def test_drawn_points_and_boxes_are_prompts(make_algo, shown):
    wf, algo = make_algo()
    x1, y1, x2, y2 = box(shown.shapes[0])
    point = dataprocess.CPointF(*map(float, inside(shown.shapes[0])))
    algo.get_input(1).set_items(
        [
            dataprocess.CGraphicsRectangle(float(x1), float(y1), float(x2 - x1), float(y2 - y1)),
            dataprocess.CGraphicsPoint(point),
        ]
    )
    wf.run_on(array=shown.image)
    assert len(objects(algo)) == 1
    assert algo.get_param_object().last_run_note.startswith("The last run used 2 of 2")


def test_what_the_run_chose_and_left_out_is_said_in_output_3_and_the_widget(make_algo, shown):
    wf, algo = make_algo(input_text="circle", input_point="[5, 5]")
    notes = []
    for _ in range(2):
        wf.run_on(array=shown.image)
        info = algo.get_output(3).data["info"]
        assert info["prompt_mode"] == "concept"
        assert algo.get_param_object().last_run_note == "\n".join(info["notes"])
        notes.append(info["notes"])
    assert notes[0] == notes[1]
    assert any(note.startswith("input_point: a concept takes no points") for note in notes[0])
    assert any(note.startswith("prompt_mode auto: read as a concept") for note in notes[0])


def test_exemplars_without_a_text_have_a_name_that_users_understand(make_algo, shown):
    wf, algo = make_algo(input_box=box(shown.shapes[0]), prompt_mode="concept")
    wf.run_on(array=shown.image)
    assert {found.label for found in objects(algo)} == {"exemplar"}
    assert algo.get_output(1).get_class_names() == ["background", "exemplar"]


def version_1_file(url, parameters):
    """A workflow as version 1.0.0 wrote it: eight parameters, a semantic consumer."""
    image, semantic = {"name": "IODataType.IMAGE"}, {"name": "IODataType.SEMANTIC_SEGMENTATION"}
    links = [(-1, 0, 0, 0), (0, 0, 1, 0), (0, 1, 1, 1)]
    names = ("source_id", "source_index", "target_id", "target_index")

    def task(task_id, name, language, values, inputs, **more):
        listed = [{"name": key, "value": value} for key, value in values.items()]
        data = {"name": name, "language": language, "parameters": listed, "inputs": inputs}
        return {"task_id": task_id, "task_data": {**data, "outputs": [image, semantic], **more}}

    graphics = {"name": "IODataType.INPUT_GRAPHICS"}
    return {
        "api": {"python_version": "3.11", "version": "0.16.0"},
        "metadata": {"description": "", "keywords": "", "name": "Untitled"},
        "connections": [dict(zip(names, link, strict=True)) for link in links],
        "exposed_outputs": [],
        "exposed_parameters": [],
        "tasks": [
            task(0, NAME, 1, parameters, [image, graphics], url=url),
            task(1, SEMANTIC_CONSUMER, 0, {"categories": "all"}, [image, semantic]),
        ],
    }


def test_a_workflow_of_version_1_loads_and_runs(ikomia_home, shown, tmp_path):
    url = f"file://{ikomia_home}/Ikomia/Plugins/Python/{NAME}"
    parameters = {
        "input_size_percent": "50",
        "input_point": "",
        "input_point_label": "",
        "input_box": str(box(shown.shapes[0])),
        "input_text": "",
        "confidence_threshold": "0.5",
        "multimask_output": "False",
        "cuda": "True",
    }
    path = tmp_path / "old.json"
    path.write_text(json.dumps(version_1_file(url, parameters)))
    wf = Workflow()
    wf.load(str(path))
    algo, follower = wf.find_task(NAME, 0), wf.find_task(SEMANTIC_CONSUMER, 0)
    assert parameters.items() <= algo.get_parameters().items()
    algo.set_parameters({"model_name": "tiny_shapes", "cuda": "False", "precision": "float32"})
    wf.run_on(array=shown.image)
    assert algo.get_output_count() == 4
    assert follower.get_output(1).get_mask().any()
    assert (follower.get_output(1).get_mask() == algo.get_output(1).get_mask()).all()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("input_box", "nonsense", ""), ("confidence_threshold", "7", "0.5"), ("update", "1", None)],
)
def test_a_broken_file_opens_with_a_warning(ikomia_home, tmp_path, caplog, name, value, expected):
    url = f"file://{ikomia_home}/Ikomia/Plugins/Python/{NAME}"
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(version_1_file(url, {"input_text": "circle", name: value})))
    wf = Workflow()
    wf.load(str(path))
    values = wf.find_task(NAME, 0).get_parameters()
    assert values["input_text"] == "circle"
    assert values.get(name) == expected
    # Ikomia itself drops names that the parameters do not have.
    assert (name in caplog.text) == (name in values)


def test_parameters_survive_saving_and_loading(make_algo, tmp_path):
    changed = {
        "input_text": 'person:0.4, "red, round sign"',
        "input_box": "[[1, 2, 30, 40], [5, 6, 70, 80]]",
        "input_box_label": "[1, 0]",
        "prompt_mode": "concept",
        "tiles": "3",
    }
    wf, algo = make_algo(**changed)
    before = algo.get_parameters()
    wf.save(str(tmp_path / "saved.json"))
    loaded = Workflow()
    loaded.load(str(tmp_path / "saved.json"))
    assert loaded.find_task(NAME, 0).get_parameters() == before
    assert changed.items() <= before.items()
