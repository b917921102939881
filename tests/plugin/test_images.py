"""Images as users have them, through a workflow."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_3.tests.helpers import compute_iou

from .scenes import box, masks


@pytest.fixture
def shown(scene):
    return scene(seed=5, side_range_px=(240, 320))


KINDS = {
    "RGB": lambda rgb: rgb,
    "RGBA": lambda rgb: np.dstack([rgb, np.full(rgb.shape[:2], 128, np.uint8)]),
    "16 bit": lambda rgb: rgb.astype(np.uint16) * 257,
    "float": lambda rgb: rgb.astype(np.float32) / 255,
    "not contiguous": lambda rgb: np.ascontiguousarray(rgb[:, ::-1])[:, ::-1],
}
GRAY = {"gray": lambda rgb: rgb[..., 0].copy(), "gray (H, W, 1)": lambda rgb: rgb[..., :1].copy()}


@pytest.mark.parametrize("kind", [*KINDS, *GRAY])
def test_every_kind_of_image_runs_and_stays_as_it_was(make_algo, shown, kind):
    image = {**KINDS, **GRAY}[kind](shown.image)
    before = image.copy()
    wf, algo = make_algo(input_box=box(shown.shapes[0]))
    wf.run_on(array=image)
    out = algo.get_output(0).get_image()
    assert out.dtype == np.uint8
    assert out.shape == shown.image.shape
    if kind in KINDS:
        assert np.abs(out.astype(int) - shown.image).max() <= 1
        assert compute_iou(masks(algo)[0], shown.shapes[0].mask) >= 0.6
    out[:] = 0
    assert (image == before).all(), "drawing on an output must not reach the user's image"


@pytest.mark.parametrize("hw", [(1, 1), (1, 40), (37, 2), (900, 45)])
def test_small_and_narrow_images(make_algo, hw):
    wf, algo = make_algo(input_text="circle")
    wf.run_on(array=np.full((*hw, 3), 120, np.uint8))
    assert algo.get_output(1).get_mask().shape == hw
    algo.set_parameters({"input_text": "", "input_point": "[0, 0]"})
    wf.run_on(array=np.full((*hw, 3), 120, np.uint8))
    assert masks(algo)[0].shape == hw


def test_thirty_megapixels(make_algo, scene):
    small = scene(seed=5, side_range_px=(240, 320))
    factor = 20
    image = np.repeat(np.repeat(small.image, factor, axis=0), factor, axis=1)
    wf, algo = make_algo(input_box=[value * factor for value in box(small.shapes[0])])
    wf.run_on(array=image)
    assert image.shape[0] * image.shape[1] > 25e6
    assert masks(algo)[0].shape == image.shape[:2]
    assert compute_iou(masks(algo)[0][::factor, ::factor], small.shapes[0].mask) >= 0.6


def test_a_phone_photo_is_upright(make_algo, shown, tmp_path):
    path = tmp_path / "phone.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it turned by 90 degrees clockwise
    Image.fromarray(np.rot90(shown.image)).save(path, exif=exif, quality=95)
    wf, algo = make_algo(input_box=box(shown.shapes[0]))
    wf.run_on(path=str(path))
    assert algo.get_output(0).get_image().shape == shown.image.shape
    assert masks(algo)[0].shape == shown.image.shape[:2]
    assert compute_iou(masks(algo)[0], shown.shapes[0].mask) >= 0.6


@pytest.mark.parametrize("percent", [100, 60, 25, 1])
def test_the_input_size_changes_neither_size_nor_coordinates(make_algo, shown, percent):
    wf, algo = make_algo(input_box=box(shown.shapes[0]), input_size_percent=percent)
    wf.run_on(array=shown.image)
    assert algo.get_output(0).get_image().shape == shown.image.shape
    assert masks(algo)[0].shape == shown.image.shape[:2]
    assert algo.get_output(1).get_mask().shape == shown.image.shape[:2]
    if percent >= 60:
        assert compute_iou(masks(algo)[0], shown.shapes[0].mask) >= 0.6


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_both_precisions(make_algo, shown, precision):
    wf, algo = make_algo(input_box=box(shown.shapes[0]), precision=precision)
    wf.run_on(array=shown.image)
    assert compute_iou(masks(algo)[0], shown.shapes[0].mask) >= 0.6
