"""A result becomes Ikomia's outputs, on the real Ikomia classes."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("ikomia")

from ikomia import dataprocess
from pycocotools import mask as mask_api

from infer_segment_anything_3.adapter.outputs import coco_data
from infer_segment_anything_3.adapter.outputs import ikomia as outputs
from infer_segment_anything_3.adapter.outputs.overlay import draw_overlay
from infer_segment_anything_3.adapter.parameters.settings import Settings
from infer_segment_anything_3.adapter.prompt_builder import PromptReading
from infer_segment_anything_3.adapter.session import RunOutput
from infer_segment_anything_3.engine.drawing.palette import get_class_colors
from infer_segment_anything_3.engine.prompts import ConceptPrompt, ObjectPrompt
from infer_segment_anything_3.engine.results import Instance, Mask, Result

HW = (60, 90)


def block(x, y, width, height, hw=HW):
    mask = np.zeros(hw, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def instance(mask, class_index=0, score=0.9, box=None, alternatives=()):
    mask = Mask.from_full(mask)
    return Instance(class_index, score, box or tuple(map(float, mask.xyxy)), mask, alternatives)


def result(*instances, names=("circle", "star")):
    return Result(HW, names, instances)


@pytest.fixture
def image():
    return np.full((*HW, 3), 100, np.uint8)


@pytest.fixture
def task(image):
    task = dataprocess.C2dImageTask("sam")
    outputs.add_outputs(task)
    task.get_input(0).set_image(image)
    return task


def make_run(image, found, prompt=None, source=""):
    return RunOutput(image, Settings.parse({}), PromptReading(prompt, "concept"), found, source)


def fill(task, image, found, **fields):
    outputs.clear_outputs(task)
    task.begin_task_run()
    outputs.fill_outputs(task, make_run(image, found, **fields))
    task.end_task_run()
    return [task.get_output(index) for index in range(task.get_output_count())]


TWO = result(instance(block(5, 6, 20, 10)), instance(block(40, 20, 8, 30), 1, 0.75))


def test_each_instance_is_an_object_with_its_box(task, image):
    _, _, instances, _ = fill(task, image, TWO)
    first, second = instances.get_objects()
    assert [first.id, second.id] == [0, 1]
    assert [first.label, second.label] == ["circle", "star"]
    assert [first.class_index, second.class_index] == [0, 1]
    assert [first.box, second.box] == [[5, 6, 20, 10], [40, 20, 8, 30]]
    assert [first.confidence, second.confidence] == pytest.approx([0.9, 0.75])
    assert first.mask.dtype == np.uint8
    assert (first.mask == block(5, 6, 20, 10)).all()
    assert (second.mask == block(40, 20, 8, 30)).all()


def test_the_class_map_counts_classes_from_one(task, image):
    _, semantic, instances, _ = fill(task, image, TWO)
    expected = block(5, 6, 20, 10) + 2 * block(40, 20, 8, 30).astype(np.uint8)
    assert (semantic.get_mask() == expected).all()
    assert (instances.get_merge_mask() == expected).all()
    assert semantic.get_class_names() == ["background", "circle", "star"]
    assert semantic.get_colors()[1:] == [list(c) for c in get_class_colors(["circle", "star"])]


@pytest.mark.parametrize(
    ("box", "merged"),
    [
        ((9.5, 9.5, 30.5, 30.5), 400),
        ((10.2, 10.2, 24.8, 30.0), 15 * 20),
        ((50.0, 40.0, 60.0, 50.0), 0),
    ],
    ids=["mask in its box", "mask wider than its box", "mask outside of its box"],
)
def test_only_ikomias_merge_mask_ends_at_the_box(task, image, box, merged):
    found = result(instance(block(10, 10, 20, 20), box=box))
    _, semantic, instances, data = fill(task, image, found)
    assert np.count_nonzero(semantic.get_mask()) == 400
    assert np.count_nonzero(instances.get_object(0).mask) == 400
    assert data.data["annotations"][0]["area"] == 400
    assert np.count_nonzero(instances.get_merge_mask()) == merged


@pytest.mark.parametrize(("scores", "on_top"), [((0.9, 0.6), 1), ((0.6, 0.9), 2), ((0.7, 0.7), 1)])
def test_the_better_of_overlapping_instances_is_on_top(task, image, scores, on_top):
    both = block(10, 10, 20, 20)
    found = result(instance(both, 0, scores[0]), instance(both, 1, scores[1]))
    _, semantic, instances, _ = fill(task, image, found)
    assert set(np.unique(semantic.get_mask())) == {0, on_top}
    assert [np.count_nonzero(o.mask) for o in instances.get_objects()] == [400, 400]


def test_the_run_as_plain_data_agrees_with_the_other_outputs(task, image):
    prompt = ConceptPrompt(("circle", "star"))
    boxes = (4.5, 5.25, 25.5, 16.5), (39.5, 20.0, 48.25, 50.0)
    found = result(
        *(dataclasses.replace(i, box_xyxy=b) for i, b in zip(TWO.instances, boxes, strict=True))
    )
    _, _, instances, data = fill(task, image, found, prompt=prompt, source="a/b.png")
    assert [o.box for o in instances.get_objects()] == [[4, 5, 22, 12], [39, 20, 10, 30]]
    read = json.loads(data.to_json())
    assert read["image"] == {"id": 1, "width": 90, "height": 60, "file_name": "a/b.png"}
    assert read["prompt"]["texts"] == ["circle", "star"]
    listed = json.loads(instances.to_json(["json_format", "compact"]))["detections"]
    names = {category["id"]: category["name"] for category in read["categories"]}
    assert [one["bbox"] for one in read["annotations"]] == [
        [4.5, 5.25, 21.0, 11.25],
        [39.5, 20.0, 8.75, 30.0],
    ]
    for one, other, drawn in zip(read["annotations"], listed, instances.get_objects(), strict=True):
        assert one["id"] == other["id"] + 1
        assert names[one["category_id"]] == other["label"]
        assert one["score"] == pytest.approx(other["confidence"])
        assert one["area"] == np.count_nonzero(drawn.mask)
        assert (mask_api.decode(one["segmentation"]) == drawn.mask).all()


def test_plain_data_is_made_when_it_is_read(task, image, monkeypatch):
    made = []
    to_coco = coco_data.to_coco
    monkeypatch.setattr(coco_data, "to_coco", lambda *a: made.append(a) or to_coco(*a))
    data = fill(task, image, TWO)[3]
    assert data.is_data_available()
    assert made == []
    assert data.data is data.data
    assert len(data.data["annotations"]) == 2
    assert len(made) == 1
    outputs.clear_outputs(task)
    assert not data.is_data_available()
    assert data.data == {}


def test_plain_data_that_cannot_be_made_is_made_when_read_again(task, image, monkeypatch):
    def full(*_):
        raise MemoryError

    data = fill(task, image, TWO)[3]
    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(coco_data, "to_coco", full)
        data.to_json()
    assert len(data.data["annotations"]) == 2


def test_nothing_found_leaves_valid_outputs(task, image):
    made = fill(task, image, result())
    out_image, semantic, instances, data = made
    assert (out_image.get_image() == image).all()
    assert semantic.get_mask().shape == HW
    assert not semantic.get_mask().any()
    assert instances.get_object_count() == 0
    assert instances.get_merge_mask().shape == HW
    assert data.data["annotations"] == []
    for output in made:
        assert output.to_json(["json_format", "compact"]) is not None


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10.4, 20.0, 30.0, 40.6), [10, 20, 20, 21]),
        ((89.9, 59.9, 89.95, 59.95), [89, 59, 1, 1]),
        ((-5.0, -5.0, 500.0, 500.0), [0, 0, 90, 60]),
        ((0.0, 0.0, 0.0, 0.0), [0, 0, 1, 1]),
    ],
)
def test_an_empty_mask_keeps_its_place_with_the_box_of_the_prompt(task, image, box, expected):
    empty = instance(np.zeros(HW, bool), box=box)
    _, _, instances, data = fill(task, image, result(empty, instance(block(5, 6, 20, 10))))
    assert [o.id for o in instances.get_objects()] == [0, 1]
    assert instances.get_object(0).box == expected
    assert not instances.get_object(0).mask.any()
    assert data.data["annotations"][0]["area"] == 0


def test_candidates_come_and_go_with_multimask(task, image):
    candidates = (
        instance(block(1, 1, 5, 5), score=0.5),
        instance(block(2, 2, 6, 6), score=0.25),
    )
    found = result(instance(block(5, 6, 20, 10), alternatives=candidates))
    made = fill(task, image, found, prompt=ObjectPrompt(multimask=True))
    assert len(made) == 6
    assert [o.get_object(0).confidence for o in (made[2], made[4], made[5])] == [0.9, 0.5, 0.25]
    assert made[5].get_object(0).box == [2, 2, 6, 6]
    assert len(fill(task, image, TWO)) == 4
    assert task.get_output(2).get_object_count() == 2


def test_only_the_data_is_saved_by_itself(task, image):
    task.set_auto_save(True)
    made = fill(task, image, TWO, prompt=ObjectPrompt(multimask=True))
    assert [output.auto_save for output in made] == [False, False, False, True, False, False]


def test_an_overlay_for_studio_is_transparent_where_nothing_is(task, image):
    overlay = fill(task, image, TWO)[0].get_overlay_mask()
    colors = get_class_colors(["circle", "star"])
    assert overlay[0, 0].tolist() == [0, 0, 0, 0]
    assert overlay[8, 10].tolist() == [*colors[0], 255]
    assert overlay[30, 42].tolist() == [*colors[1], 255]


def test_drawing_leaves_the_background_and_the_image_alone(image):
    drawn = draw_overlay(make_run(image, TWO))
    assert (image == 100).all()
    outside = ~(block(4, 5, 22, 12) | block(39, 19, 10, 32))
    assert (drawn[outside] == 100).all()
    assert (drawn[10, 15] != 100).any()
