"""``segment``: prompts, outputs, several images, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from .conftest import read_lines


def count(data):
    names = {category["id"]: category["name"] for category in data["categories"]}
    found = [names[annotation["category_id"]] for annotation in data["annotations"]]
    return {name: found.count(name) for name in names.values()}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--text", "circle, star"), {"circle": 6, "star": 2}),
        (("--text", "red circle:0.3"), {"red circle": 4}),
        (("--point", "231,266"), {"object": 1}),
        (("--point", "121,347", "--point", "231,266,0"), {"object": 1}),
        (("--box", "180,210,285,322", "--box", "245,65,350,155"), {"object": 2}),
        (("--box", "180,210,285,322", "--point", "231,266"), {"object": 1}),
        (("--example", "75,301,168,394"), {"exemplar": 4}),
    ],
)
def test_prompts(run, scene_path, options, found):
    code, out, err = run("segment", scene_path, *options, "--json")
    assert code == 0, err
    (data,) = read_lines(out)
    assert count(data) == found
    assert data["image"]["file_name"] == str(scene_path)


def test_everything_and_tiles(run, scene_path):
    _, out, _ = run("segment", scene_path, "--everything", "--json")
    assert len(read_lines(out)[0]["annotations"]) >= 7
    code, out, _ = run("segment", scene_path, "--text", "square", "--tiles", "2", "--json")
    assert code == 0
    assert len(read_lines(out)[0]["annotations"]) >= 2


def test_a_table_is_for_people(run, scene_path):
    code, out, _ = run("segment", scene_path, "--text", "square")
    assert code == 0
    assert "2 square" in out
    assert sum(line.strip().startswith("square") for line in out.splitlines()) == 2


def test_a_long_path_is_not_wrapped(run, scene_path, tmp_path):
    path = tmp_path / ("long_" * 30) / "a [red] scene.png"
    path.parent.mkdir()
    path.write_bytes(scene_path.read_bytes())
    _, out, _ = run("segment", path, "--text", "square")
    assert out.splitlines()[0] == f"{path}: 2 square"


@pytest.mark.parametrize("name", ["out.png", "new/out.jpg"])
def test_a_picture_is_saved(run, scene_path, tmp_path, name):
    code, _, err = run("segment", scene_path, "--text", "square", "--save", tmp_path / name)
    assert code == 0, err
    with Image.open(tmp_path / name) as picture, Image.open(scene_path) as scene:
        assert picture.size == scene.size
        difference = np.abs(np.asarray(picture).astype(int) - np.asarray(scene.convert("RGB")))
    assert (difference.max(axis=2) > 60).sum() > 5000
    assert err.splitlines()[-1] == f"Written: {tmp_path / name}"


def test_coco_is_saved(run, scene_path, tmp_path):
    run("segment", scene_path, "--text", "square", "--save", tmp_path / "out.json")
    assert count(json.loads((tmp_path / "out.json").read_text())) == {"square": 2}


def test_folders_and_globs_go_on_after_a_broken_image(run, scene_path, tmp_path):
    images = tmp_path / "images"
    (images / "sub").mkdir(parents=True)
    for name in ("a.png", "b.png", "sub/a.png"):
        (images / name).write_bytes(scene_path.read_bytes())
    (images / "broken.jpg").write_bytes(b"no image")
    (images / "notes.txt").write_text("not an image")
    out = tmp_path / "out"
    code, printed, err = run("segment", images, "--text", "star", "--save", out, "--json")
    assert code == 3
    assert len(read_lines(printed)) == 3
    assert "broken.jpg: image: " in err
    code, printed, _ = run("segment", f"{images}/*.png", "--text", "star", "--json")
    assert code == 0
    assert [row["image"]["file_name"] for row in read_lines(printed)] == [
        str(images / "a.png"),
        str(images / "b.png"),
    ]


def test_images_of_one_name_in_two_folders_are_both_saved(run, scene_path, tmp_path):
    for name in ("one/a.png", "two/a.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True)
        (tmp_path / "images" / name).write_bytes(scene_path.read_bytes())
    out = tmp_path / "out"
    assert run("segment", tmp_path / "images", "--text", "star", "--save", out)[0] == 0
    assert len(list(out.rglob("*.png"))) == 2
    assert len(list(out.rglob("*.json"))) == 2


def test_what_was_not_found_says_what_came_nearest(run, scene_path):
    code, out, err = run("segment", scene_path, "--text", "dog", "--json")
    assert code == 0
    assert read_lines(out)[0]["annotations"] == []
    assert "0 instances of 'dog' above 0.5; the best score was" in err
    assert "this model knows these words only" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "text: expected one kind of prompt"),
        (("--text", "star", "--point", "3,4"), "text: expected one kind of prompt"),
        (("--point", "3"), "point: expected X,Y or X,Y,0, got '3'"),
        (("--point", "3,x"), "point: expected X,Y or X,Y,0, got '3,x'"),
        (("--point", "9000,3"), "points_xy: "),
        (("--box", "1,2,3"), "box: expected X1,Y1,X2,Y2, got '1,2,3'"),
        (("--text", "star", "--threshold", "7"), "confidence_threshold: "),
        (("--text", "star", "--tiles", "many"), "tiles: "),
        (("--text", "star", "--save", "out.gif"), "save: expected a name that ends in"),
        (("--text", "star", "--weights", "no.pt"), "weights: No weights at 'no.pt'"),
        (("--text", "star", "--input-size", "100"), "input_size: "),
        (("--text", "star", "--reference", "no.png"), "no.png: there is no such file"),
    ],
)
def test_bad_options_are_refused_in_one_line(run, scene_path, options, message):
    code, out, err = run("segment", scene_path, *options)
    assert code == 2
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("name", ["no.png", "no*.png"])
def test_a_name_without_images_is_refused(run, tmp_path, name):
    code, _, err = run("segment", tmp_path / name, "--text", "star")
    assert code == 2
    assert name in err
