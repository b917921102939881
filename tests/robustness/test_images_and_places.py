"""Odd images and prompts at odd places, through whole runs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ikomia")

from ikomia import dataprocess

from infer_segment_anything_3.engine.images import to_rgb_uint8

from .asking import BASE, answer, ask, boxes_of, check_is_empty

HEIGHT, WIDTH = 60, 80
IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
REAL = "?" + np.typecodes["AllInteger"] + np.typecodes["Float"]


@pytest.mark.parametrize("code", sorted(set(np.typecodes["All"])))
def test_every_dtype_is_read_or_refused(code):
    image = np.zeros((4, 5, 3), code)
    if code in REAL:
        assert not to_rgb_uint8(image).any()
    else:
        with pytest.raises(ValueError, match=r"^image: expected an image of bools, int"):
            to_rgb_uint8(image)


def test_every_dtype_runs_or_is_refused_and_the_next_run_is_right(make_algo, shown):
    wf, algo = make_algo()
    expected = ask(wf, algo, shown)
    ran = set()
    for code in sorted(set(np.typecodes["All"])):
        algo.set_parameters({**BASE, "input_point": "[1, 1]"})
        try:
            wf.run_on(array=np.zeros((6, 7, 3), code))
        except Exception as error:  # some Ikomia itself refuses, in its own words
            assert str(error)
        else:
            assert algo.get_output(2).get_object_count() == 1
            ran.add(code)
        assert ask(wf, algo, shown) == expected, code
    assert set("BHfd") <= ran <= set(REAL)


@pytest.mark.parametrize(
    "array",
    [
        np.full((6, 7, 3), np.nan),
        np.where(np.arange(7)[:, None] == 3, np.inf, np.zeros((7, 3)))[None].astype(np.float32),
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((0, 7, 3), np.uint8),
        np.zeros((6, 0, 3), np.uint8),
        np.zeros((6, 7, 2), np.uint8),
        np.zeros((6, 7, 5), np.uint8),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_what_is_no_image_is_refused_and_the_next_run_is_right(make_algo, shown, array):
    wf, algo = make_algo()
    expected = ask(wf, algo, shown)
    algo.set_parameters({**BASE, "input_point": "[1, 1]"})
    with pytest.raises(Exception, match=r"image|dimension|channel|empty"):
        wf.run_on(array=array)
    assert ask(wf, algo, shown) == expected


@pytest.mark.parametrize(
    "changed",
    [
        lambda image: np.asfortranarray(image),
        lambda image: np.repeat(image, 2, axis=0)[::2],
        lambda image: np.ascontiguousarray(image[::-1, :, ::-1])[::-1, :, ::-1],
    ],
    ids=["Fortran order", "every second row", "negative strides"],
)
def test_how_an_image_lies_in_memory_changes_nothing(make_algo, shown, changed):
    wf, algo = make_algo()
    expected = ask(wf, algo, shown)
    array = changed(shown.image)
    array.flags.writeable = False
    wf.run_on(array=array)
    assert answer(algo) == expected
    assert (array == shown.image).all()


@pytest.mark.parametrize(
    "point",
    [(0, 0), (WIDTH, HEIGHT), (WIDTH - 0.001, 0.001), (0, HEIGHT), (WIDTH - 1, HEIGHT - 1)],
)
def test_points_on_the_border(make_algo, point):
    wf, algo = make_algo(input_point=list(point))
    wf.run_on(array=IMAGE)
    assert algo.get_output(2).get_object_count() == 1


@pytest.mark.parametrize("point", [(-0.001, 5), (WIDTH + 0.001, 5), (5, -1), (5, HEIGHT + 1)])
@pytest.mark.parametrize("drawn", [False, True])
def test_points_beyond_the_border(make_algo, point, drawn):
    wf, algo = make_algo()
    before = ask_for_the_middle(wf, algo)
    if drawn:
        item = dataprocess.CGraphicsPoint(dataprocess.CPointF(*map(float, point)))
        algo.get_input(1).set_items([item])
    else:
        algo.set_parameters({"input_point": str(list(point)), "input_box": ""})
    name = "drawn points" if drawn else "input_point"
    with pytest.raises(RuntimeError, match=f"{name}: expected points inside the image of 80 x 60"):
        wf.run_on(array=IMAGE)
    check_is_empty(algo)
    algo.get_input(1).clear_data()
    assert ask_for_the_middle(wf, algo) == before


def ask_for_the_middle(wf, algo):
    algo.set_parameters({**BASE, "input_box": "[20, 15, 60, 45]"})
    wf.run_on(array=IMAGE)
    return answer(algo)


INFINITE = 1e308


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ([-20, -30, 40, 30], [0, 0, 40, 30]),
        ([40, 30, 900, 31], [40, 30, WIDTH, 31]),
        ([-INFINITE, -INFINITE, INFINITE, INFINITE], [0, 0, WIDTH, HEIGHT]),
        ([0, 0, WIDTH, HEIGHT], [0, 0, WIDTH, HEIGHT]),
        ([10, 10, 10.5, 10.25], [10, 10, 10.5, 10.25]),
    ],
)
@pytest.mark.parametrize("mode", ["object", "concept"])
def test_a_box_partly_outside_is_its_part_inside(make_algo, box, inside, mode):
    wf, algo = make_algo(prompt_mode=mode, confidence_threshold=0.1)
    algo.set_parameters({"input_box": str(box)})
    wf.run_on(array=IMAGE)
    partly = answer(algo)
    algo.set_parameters({"input_box": str(inside)})
    wf.run_on(array=IMAGE)
    assert answer(algo) == partly
    if mode == "object":
        assert algo.get_output(2).get_object_count() == 1


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ([WIDTH, 0, WIDTH + 9, 9], "reach into the image of 80 x 60"),
        ([-9, -9, -1, -1], "reach into the image of 80 x 60"),
        ([0, HEIGHT, 9, HEIGHT + 9], "reach into the image of 80 x 60"),
        ([10, 10, 10, 50], "x1 < x2"),
        ([10, 10, 50, 10], "x1 < x2"),
        ([50, 40, 10, 10], "x1 < x2"),
        ([10, 40, 50, 10], "x1 < x2"),
    ],
)
def test_a_box_that_holds_nothing_is_refused(make_algo, shown, box, told):
    wf, algo = make_algo()
    expected = ask(wf, algo, shown)
    with pytest.raises((ValueError, RuntimeError), match=f"input_box: expected boxes .*{told}"):
        algo.set_parameters({"input_box": str([box])}) or wf.run_on(array=IMAGE)
    assert ask(wf, algo, shown) == expected
    assert boxes_of(shown) == algo.get_parameters()["input_box"]
