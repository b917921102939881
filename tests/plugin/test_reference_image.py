"""The parameter ``reference_image`` through the task: boxes in another picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ikomia import core
from PIL import Image

from infer_segment_anything_3.tools.tiny_shapes.heldout.references import draw_pair

from .scenes import box, masks, matched, objects


@pytest.fixture
def pair():
    return draw_pair(np.random.default_rng(2), side_range_px=(200, 320))


@pytest.fixture
def reference(pair, tmp_path):
    path = tmp_path / "a reference.png"
    Image.fromarray(pair.reference.image).save(path)
    return path


def test_everything_like_the_box_is_found_in_the_image(make_algo, pair, reference):
    # auto is concept with a reference, though there is no text.
    wf, algo = make_algo(reference_image=reference, input_box=box(pair.example))
    wf.run_on(array=pair.target.image)
    assert matched(masks(algo), pair.matches)
    assert {found.label for found in objects(algo)} == {"exemplar"}
    data = algo.get_output(3).data
    assert data["info"]["prompt_mode"] == "concept"
    assert set(data["prompt"]["reference"]) == {"sha256"}
    algo.set_parameters({"input_text": pair.phrase})
    wf.run_on(array=pair.target.image)
    assert {found.label for found in objects(algo)} == {pair.phrase}


def test_a_negative_box_beside_a_text(make_algo, pair, reference):
    kind = pair.example.kind
    wf, algo = make_algo(input_text=kind)
    wf.run_on(array=pair.target.image)
    assert len(objects(algo)) >= len(pair.matches)
    algo.set_parameters(
        {"reference_image": reference, "input_box": box(pair.example), "input_box_label": "[0]"}
    )
    before = len(objects(algo))
    wf.run_on(array=pair.target.image)
    assert len(objects(algo)) < before


def test_a_folder_encodes_the_reference_once(make_algo, pair, reference, tmp_path, tiny_engine):
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(12):
        pixels = np.roll(pair.target.image, 3 * index, axis=1)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    wf, _ = make_algo(reference_image=reference, input_box=box(pair.example))
    # The task shares it.
    tiny_engine.clear_caches()
    before = tiny_engine.encodings
    wf.run_on(folder=str(folder))
    assert tiny_engine.encodings - before == 12 + 1
    results = Path(wf.get_last_run_folder()) / "infer_segment_anything_3"
    data = [json.loads(path.read_text()) for path in results.iterdir()]
    own = [d for d in data if d["image"]["file_name"].startswith(str(folder))]
    assert len(own) == 12
    assert all(d["annotations"] for d in own)


def test_a_changed_file_is_read_again(make_algo, pair, reference):
    wf, algo = make_algo(reference_image=reference, input_box=box(pair.example))
    wf.run_on(array=pair.target.image)
    first = algo.get_output(3).data["prompt"]["reference"]
    Image.fromarray(255 - pair.reference.image).save(reference)
    wf.run_on(array=pair.target.image)
    assert algo.get_output(3).data["prompt"]["reference"] != first


def test_boxes_drawn_on_the_image_are_left_out(make_algo, pair, reference, caplog):
    wf, algo = make_algo(reference_image=reference, input_box=box(pair.example))
    graphics = algo.get_input(1)
    graphics.set_items([core.CGraphicsRectangle(1.0, 1.0, 30.0, 30.0)])
    wf.run_on(array=pair.target.image)
    assert matched(masks(algo), pair.matches)
    assert "reference_image: its boxes are the exemplars, 1 here left out" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference_image": "/nowhere/ref.png"}, "reference_image: expected an image file"),
        ({"reference_image": __file__}, "reference_image: expected an image file"),
        ({"input_box": ""}, "input_box: expected a box in reference_image, got none"),
        (
            {"input_box": "[4000, 0, 4010, 10]"},
            "input_box: expected boxes that reach into the reference image of ",
        ),
        ({"input_box_label": "[1, 0]"}, "input_box_label: expected 1"),
        ({"input_box_label": "[0]"}, "input_text: expected a text beside boxes"),
        ({"prompt_mode": "object"}, "reference_image: expected none with prompt_mode object"),
        ({"tiles": "3"}, "tiles: expected off or auto with exemplar boxes"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_next_run_works(
    make_algo, pair, reference, changes, message
):
    wf, algo = make_algo(reference_image=reference, input_box=box(pair.example))
    wf.run_on(array=pair.target.image)
    before = algo.get_parameters()
    algo.set_parameters(changes)
    with pytest.raises(ValueError, match=message):
        algo.run()
    assert not objects(algo)
    algo.set_parameters(before)
    wf.run_on(array=pair.target.image)
    assert matched(masks(algo), pair.matches)


def test_everything_leaves_it_out(make_algo, pair, caplog):
    wf, _ = make_algo(prompt_mode="everything", reference_image="/gone.png", points_per_side=4)
    wf.run_on(array=pair.target.image)
    assert "prompt_mode everything: texts, points and boxes are left out" in caplog.text


def test_the_reference_is_one_step_of_the_progress(make_algo, pair, reference, monkeypatch):
    wf, algo = make_algo(reference_image=reference, input_box=box(pair.example))
    steps, added = [], []
    monkeypatch.setattr(algo, "emit_step_progress", lambda: steps.append(1))
    monkeypatch.setattr(algo, "emit_add_sub_progress_steps", added.append)
    wf.run_on(array=pair.target.image)
    assert len(steps) == algo.get_progress_steps() == 5
    assert not added
