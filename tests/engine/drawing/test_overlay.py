"""What is drawn over an image, and what is left alone."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_3.engine import Instance, Mask, Result
from infer_segment_anything_3.engine.drawing.overlay import choose_colors, draw_result
from infer_segment_anything_3.engine.drawing.palette import BRIGHT, PALETTE

HW = (300, 400)


def disc(x, y, radius, hw=HW):
    return Mask.from_full(cv2.circle(np.zeros(hw, np.uint8), (x, y), radius, 1, -1).astype(bool))


def make(*masks, names=("circle",), classes=None, ids=None, scores=None):
    instances = tuple(
        Instance(
            class_index=classes[k] if classes else 0,
            score=scores[k] if scores else 0.94,
            box_xyxy=tuple(map(float, mask.xyxy)),
            mask=mask,
            track_id=ids[k] if ids else None,
        )
        for k, mask in enumerate(masks)
    )
    return Result(masks[0].image_hw, tuple(names), instances, frame_index=0 if ids else None)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(60, 200, (*HW, 3), np.uint8)


def find_label(image, result):
    """Pixels that the labels change."""
    bare = draw_result(image, result, labels=False)
    return (draw_result(image, result) != bare).any(axis=2)


def test_the_pictures_own_colors_shine_through(image):
    result = make(disc(200, 150, 60))
    drawn = draw_result(image, result, labels=False)
    inner = disc(200, 150, 50).full()
    expected = image[inner] * 0.6 + np.array(BRIGHT[0]) * 0.4
    assert np.abs(drawn[inner] - expected).max() <= 1
    outside = ~disc(200, 150, 64).full()
    assert (drawn[outside] == image[outside]).all()


@pytest.mark.parametrize(
    ("hw", "width_px"), [((300, 300), 2), ((1200, 1800), 3), ((4000, 4000), 4)]
)
def test_the_outline_is_one_line_of_two_to_four_pixels(hw, width_px):
    image = np.full((*hw, 3), 128, np.uint8)
    side = hw[0] // 3
    full = np.zeros(hw, bool)
    full[side : 2 * side, side : 2 * side] = True
    drawn = draw_result(image, make(Mask.from_full(full)), labels=False)
    row = drawn[hw[0] // 2, side - 8 : side + 8]
    strong = (np.abs(row.astype(int) - BRIGHT[0]).max(axis=1) < 25).sum()
    assert strong == pytest.approx(width_px, abs=1)
    tinted = np.array([128 * 0.6 + channel * 0.4 for channel in BRIGHT[0]])
    others = np.minimum(np.abs(row - [128.0] * 3).max(axis=1), np.abs(row - tinted).max(axis=1))
    assert ((others < 3).sum() + strong) >= len(row) - 4, "no second line"


@pytest.mark.parametrize(
    ("case", "colors"),
    [
        (make(disc(50, 50, 20), disc(150, 50, 20)), BRIGHT[:2]),
        (
            make(
                disc(50, 50, 20), disc(150, 50, 20), disc(250, 50, 20),
                names=("circle", "star"), classes=(0, 1, 1),
            ),
            (PALETTE[0], PALETTE[1], PALETTE[1]),
        ),
        (
            make(
                disc(50, 50, 20), disc(150, 50, 20),
                names=("circle", "star"), classes=(0, 1), ids=(5, 14),
            ),
            (BRIGHT[5], BRIGHT[2]),
        ),
    ],
    ids=["one class: by instance", "several classes: by class", "video: by track"],
)  # fmt: skip
def test_colors(case, colors):
    assert choose_colors(case) == list(colors)


def test_boxes_are_drawn_where_there_are_no_masks(image):
    empty = Mask.from_full(np.zeros(HW, bool))
    boxes = ((100.2, 80.0, 300.0, 220.0), (-5.0, 10.0, 30.0, 410.0), (50.0, 50.0, 50.0, 50.0))
    result = Result(HW, ("circle",), tuple(Instance(0, 0.9, box, empty) for box in boxes))
    drawn = draw_result(image, result, labels=False)
    assert np.abs(drawn[149:152, 100].astype(int) - BRIGHT[0]).max() < 25
    assert (drawn[90:210, 110:290] == image[90:210, 110:290]).all(), "no tint"
    assert np.abs(drawn[149:152, 30].astype(int) - BRIGHT[1]).max() < 25
    assert find_label(image, result).any()


def test_a_mask_that_is_empty_among_others_is_not_drawn(image):
    found = make(disc(200, 150, 60)).instances[0]
    empty = Instance(0, 0.9, (5.0, 5.0, 60.0, 60.0), Mask.from_full(np.zeros(HW, bool)))
    drawn = draw_result(image, Result(HW, ("object",), (found, empty)))
    assert (drawn[:80, :80] == image[:80, :80]).all()


def test_colors_of_a_detector_are_kept(image):
    result = make(disc(200, 150, 60), disc(60, 60, 30))
    assert choose_colors(result, [(1, 2, 3)]) == [(1, 2, 3)] * 2


@pytest.mark.parametrize("hw", [(300, 300), (4000, 4000)])
def test_labels_are_legible_at_every_size(hw):
    image = np.full((*hw, 3), 128, np.uint8)
    result = make(disc(hw[1] // 2, hw[0] // 2, hw[0] // 4, hw))
    rows, _ = np.nonzero(find_label(image, result))
    height_px = np.ptp(rows) + 1
    assert height_px >= 14
    assert 0.02 <= height_px / hw[0] <= 0.08


def test_labels_do_not_cover_each_other(image):
    masks = [disc(60 + 40 * (k % 6), 60 + 30 * (k // 6), 22) for k in range(36)]
    result = make(*masks)
    areas = [np.count_nonzero(find_label(image, make(mask))) for mask in masks[:1]]
    together = find_label(image, result)
    count, _, stats, _ = cv2.connectedComponentsWithStats(together.astype(np.uint8))
    assert count > 3, "some are drawn"
    assert stats[1:, cv2.CC_STAT_HEIGHT].min() >= 14
    assert np.count_nonzero(together) <= 36 * max(areas) * 1.3


def test_the_label_of_a_mask_in_parts_is_at_the_largest(image):
    parts = disc(60, 230, 40).full() | disc(330, 60, 30).full()
    rows, columns = np.nonzero(find_label(image, make(Mask.from_full(parts))))
    assert 150 < rows.min() < rows.max() < 280
    assert columns.max() < 130


def test_a_label_that_hides_a_small_instance_is_left_out(image):
    assert not find_label(image, make(disc(100, 100, 8))).any()
    assert find_label(image, make(disc(100, 100, 40))).any()


@pytest.mark.parametrize("xy", [(5, 5), (395, 5), (5, 295), (395, 295), (200, 2)])
def test_labels_stay_inside_the_image(image, xy):
    labeled = find_label(image, make(disc(*xy, 60)))
    rows, columns = np.nonzero(labeled)
    assert len(rows) > 100
    assert np.ptp(columns) > 50, "the whole text is there"


def test_the_id_and_the_path_of_a_track_are_drawn(image):
    trail = {4: ((20.0, 250.0), (200.0, 150.0)), 7: ((10.0, 10.0), (80.0, 10.0))}
    result = make(disc(200, 150, 30), ids=(4,))
    drawn = draw_result(image, result, trails=trail, labels=False)
    assert (drawn[240:250, 30:40] == BRIGHT[4]).all(axis=2).any()
    assert (drawn[:20] == image[:20]).all(), "a track out of view has no path"
    without_id = make(disc(200, 150, 30))
    assert find_label(image, result).sum() > find_label(image, without_id).sum()


def test_the_better_instance_lies_on_top(image):
    both = (disc(200, 150, 60), disc(220, 150, 60))
    drawn = draw_result(image, make(*both, scores=(0.9, 0.5)), labels=False)
    alone = draw_result(image, make(both[0]), labels=False)
    assert (drawn[149:152, 140:144] == alone[149:152, 140:144]).all()


@pytest.mark.parametrize("side", [1, 2, 3, 7])
def test_tiny_images_and_masks_are_drawn(side):
    image = np.zeros((side, side, 3), np.uint8)
    drawn = draw_result(image, make(Mask.from_full(np.ones((side, side), bool))))
    assert drawn.shape == image.shape
    assert drawn.any()


def test_nothing_found_leaves_the_image(image):
    empty = Result(HW, ("circle",), ())
    assert (draw_result(image, empty) == image).all()


def test_another_size_is_refused(image):
    with pytest.raises(ValueError, match=r"image: expected shape \(300, 400, 3\)"):
        make(disc(50, 50, 20)).plot(image[:200])


class TestResult:
    """What a user of the Python API calls."""

    RESULT = make(disc(50, 50, 20), disc(150, 50, 20), names=("circle", "<star>"), classes=(0, 0))

    @pytest.mark.parametrize("name", ["out.png", "out.JPG", "out.jpeg"])
    def test_a_picture_is_saved(self, tmp_path, name):
        image = np.full((*HW, 3), 128, np.uint8)
        path = self.RESULT.save(tmp_path / name, image)
        with Image.open(path) as picture:
            error = np.abs(np.asarray(picture).astype(int) - self.RESULT.plot(image)).mean()
        assert error < (8 if name != "out.png" else 0.001)

    def test_coco_is_saved(self, tmp_path):
        path = self.RESULT.save(str(tmp_path / "out.json"))
        data = json.loads(path.read_text())
        assert [a["category_id"] for a in data["annotations"]] == [1, 1]

    @pytest.mark.parametrize(
        ("name", "message"),
        [("out.gif", "path: expected a name that ends in"), ("out.png", "image: expected")],
    )
    def test_what_cannot_be_saved_is_refused(self, tmp_path, name, message):
        with pytest.raises(ValueError, match=message):
            self.RESULT.save(tmp_path / name)
        assert not list(tmp_path.iterdir())

    def test_it_is_shown_in_one_line(self):
        assert repr(self.RESULT) == "<Result: 400 x 300 px, 2 circle, 0 <star>>"
        assert repr(Result((3, 4), (), (), frame_index=7)) == (
            "<Result: frame 7, 4 x 3 px, nothing>"
        )

    def test_notebooks_show_a_table(self):
        page = self.RESULT._repr_html_()
        assert page.count("<tr>") == 3
        assert "&lt;star&gt;" in page
        assert "<star>" not in page


def test_specks_do_not_widen_the_main_box():
    full = disc(200, 150, 60).full()
    full[5, 5] = full[290, 390] = True
    mask = Mask.from_full(full)
    assert mask.xyxy == (5, 5, 391, 291)
    assert mask.compute_main_box() == disc(200, 150, 60).xyxy
    full[10:40, 300:330] = True  # 900 of 12,000 pixels: no speck
    assert Mask.from_full(full).compute_main_box() == (140, 10, 330, 211)
    assert Mask.from_full(full).compute_main_box(1.0) == disc(200, 150, 60).xyxy
    assert Mask.from_full(np.zeros(HW, bool)).compute_main_box() == (0, 0, 0, 0)
