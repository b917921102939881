"""What a run that found nothing, or too much, says."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_3.engine import ConceptPrompt, Result
from infer_segment_anything_3.tools.tiny_shapes.crowds import draw_crowd


def read_notes(algo):
    return algo.get_output(3).data["info"]["notes"]


def test_a_run_that_found_nothing_says_what_came_nearest(make_algo, scene, caplog):
    wf, algo = make_algo(input_text="dog")
    with caplog.at_level(logging.INFO, "infer_segment_anything_3"):
        wf.run_on(array=scene(1).image)
    nearest, words = read_notes(algo)
    assert nearest.startswith("0 instances of 'dog' above 0.5; the best score was 0.")
    assert words.startswith("this model knows these words only: red, green,")
    assert nearest in caplog.messages
    assert nearest in algo.get_param_object().last_run_note


def test_what_was_found_needs_no_note(make_algo, scene):
    drawn = scene(1)
    wf, algo = make_algo(input_text=drawn.shapes[0].kind)
    wf.run_on(array=drawn.image)
    assert len(algo.get_output(2).get_objects()) >= 1
    assert read_notes(algo) == []


@pytest.mark.parametrize(("tiles", "grid"), [("off", [1, 1]), ("2", [2, 2])])
def test_the_tiles_that_were_used_are_named(make_algo, scene, tiles, grid):
    wf, algo = make_algo(input_text="circle", tiles=tiles)
    wf.run_on(array=scene(1).image)
    assert algo.get_output(3).data["info"]["tiles"] == grid


def test_with_tiles_no_note_advises_them(make_algo):
    crowd = draw_crowd(np.random.default_rng(0), (20, 24), (600, 900), (0.05, 0.08))
    name = f"{crowd.shapes[0].color} {crowd.shapes[0].kind}"
    advice = {}
    for tiles in ("off", "2"):
        wf, algo = make_algo(input_text=name, tiles=tiles, confidence_threshold=0)
        wf.run_on(array=crowd.image)
        advice[tiles] = [note for note in read_notes(algo) if "there may be more" in note]
    assert advice["off"][0].endswith("there may be more; set tiles")
    assert all(note.endswith("; set more tiles") for note in advice["2"])


def test_objects_have_no_tiles(make_algo, scene):
    wf, algo = make_algo(input_point="[50, 50]")
    wf.run_on(array=scene(1).image)
    assert "tiles" not in algo.get_output(3).data["info"]


def test_results_with_other_best_scores_differ():
    prompt = ConceptPrompt(("dog",))
    one = Result((2, 2), prompt.class_names, (), best_scores=(0.1,))
    assert one != Result((2, 2), prompt.class_names, (), best_scores=(0.2,))


@pytest.mark.parametrize(
    ("name", "count"), [("a.tif", 3), ("a.png", 2), ("a.webp", 2), ("b.tif", 1), ("b.png", 1)]
)
def test_only_the_first_of_several_pictures_is_used(make_algo, tmp_path, name, count):
    pages = [Image.new("RGB", (120, 90), color) for color in ("red", "green", "blue")[:count]]
    path = tmp_path / name
    pages[0].save(path, save_all=count > 1, append_images=pages[1:])
    wf, algo = make_algo(input_point="[50, 50]")
    wf.run_on(path=str(path))
    note = f"the file holds {count} pictures: only the first was used"
    assert read_notes(algo).count(note) == (count > 1)
