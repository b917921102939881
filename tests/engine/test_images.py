"""Images as users have them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_3.engine.images import count_pictures, decode_image, to_rgb_uint8

RAMP = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)
RGB = np.stack([RAMP, RAMP[::-1], RAMP.T.reshape(2, 3)], axis=-1)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (RAMP, RAMP),
        (RAMP[..., None], RAMP),
        (RAMP.astype(bool), np.where(RAMP > 0, 255, 0)),
        (RAMP.astype(np.uint16) * 257, RAMP),
        ((RAMP.astype(">u2") * 257).astype(">u2"), RAMP),
        # All of a 16-bit sequence is scaled alike, dark images too.
        (np.array([[0, 255, 256]], np.uint16), np.array([[0, 1, 1]])),
        (np.array([[0, 255, 250]], np.uint16), np.array([[0, 1, 1]])),
        (RAMP.astype(np.int64), RAMP),
        (RAMP.astype(np.uint32), RAMP),
        ((RAMP // 2).astype(np.int8), RAMP // 2),
        (RAMP.astype(np.float32), RAMP),
        (RAMP.astype(np.float64) + 0.4, RAMP),
        (RAMP / 255, RAMP),
        ((RAMP / 255).astype(np.float16), RAMP),
        (RAMP.astype(np.longdouble), RAMP),
        (RAMP / 255 * 1.005, np.minimum(np.rint(RAMP * 1.005), 255)),
        (RAMP * 1.01 - 1.2, np.clip(np.rint(RAMP * 1.01 - 1.2), 0, 255)),
        (np.zeros((2, 3)), np.zeros((2, 3))),
        (RAMP.tolist(), RAMP),
        (RAMP[:1], RAMP[:1]),
        (RAMP[:, :1], RAMP[:, :1]),
        (RAMP[:1, 1:2], RAMP[:1, 1:2]),
        (RAMP[::-1, ::-1], RAMP[::-1, ::-1]),
    ],
)
def test_gray(array, expected):
    rgb = to_rgb_uint8(array)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert rgb.shape == (*expected.shape[:2], 3)
    assert (rgb == expected[..., None]).all()


@pytest.mark.parametrize(
    "array",
    [
        RGB,
        np.dstack([RGB, RAMP]),
        RGB.astype(np.uint16) * 257,
        np.dstack([RGB, RAMP]) / 255,
        np.asfortranarray(RGB),
        np.repeat(RGB, 2, axis=1)[:, ::2],
    ],
)
def test_color(array):
    before = array.copy()
    array.flags.writeable = False
    rgb = to_rgb_uint8(array)
    assert rgb.flags.c_contiguous
    assert (rgb == RGB).all()
    assert (array == before).all()


def test_a_fine_array_is_not_copied():
    assert np.shares_memory(to_rgb_uint8(RGB), RGB)


@pytest.mark.parametrize(
    ("array", "shown"),
    [
        (np.zeros((0, 0, 3), np.uint8), r"\(0, 0, 3\)"),
        (np.zeros((0, 5), np.uint8), r"\(0, 5\)"),
        (np.zeros((5, 5, 0), np.uint8), r"\(5, 5, 0\)"),
        (np.zeros(5, np.uint8), r"\(5,\)"),
        (np.uint8(5), r"\(\)"),
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        (np.zeros((3, 40, 50), np.uint8), r"\(3, 40, 50\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"\(1, 4, 4, 3\)"),
        (np.full((4, 4), np.nan), "float64 from nan"),
        (np.array([[0.5, np.nan]]), "float64 from nan"),
        (np.array([[0, np.inf]]), "float64 from 0.0 to inf"),
        (np.array([[0, -np.inf]], np.float32), "float32 from -inf"),
        (np.array([[-0.5, 1.0]]), "float64 from -0.5 to 1.0"),
        (np.array([[-2.1, 2.6]]), "float64 from -2.1 to 2.6"),
        (np.array([[0, 300.0]]), "float64 from 0.0 to 300.0"),
        (np.array([[-1, 5]]), "int64 from -1 to 5"),
        (np.array([[0, 70_000]]), "int64 from 0 to 70000"),
        (np.zeros((4, 4), complex), "complex128"),
        (np.zeros((4, 4), object), "object"),
        (np.zeros((4, 4), "U1"), "<U1"),
        (np.zeros((4, 4), "datetime64[s]"), "datetime64"),
        (np.zeros((4, 4), [("r", "u1")]), "'r'"),
    ],
)
def test_refused(array, shown):
    with pytest.raises(ValueError, match=f"^image: expected an image of .*got .*{shown}") as caught:
        to_rgb_uint8(array)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_ikomia_turns_a_photo_as_its_exif_says(tmp_path, suffix):
    pytest.importorskip("ikomia")
    from ikomia.dataprocess.workflow import Workflow

    landscape = np.zeros((40, 80, 3), np.uint8)
    landscape[:, :40] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turned clockwise by a quarter
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(landscape).save(path, exif=exif)
    workflow = Workflow()
    workflow.set_image_input(path=str(path))
    rgb = to_rgb_uint8(workflow.get_input(0).get_image())
    assert rgb.shape == (80, 40, 3)
    assert rgb[:35].min() > 200
    assert rgb[45:].max() < 50


def saved(tmp_path, image, suffix="png", **options):
    path = tmp_path / f"image.{suffix}"
    image.save(path, **options)
    return str(path)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(RGB),
        Image.fromarray(np.dstack([RGB, RAMP])),
        Image.fromarray(RGB).quantize(256),
    ],
    ids=["RGB", "RGBA", "palette"],
)
def test_a_color_file(tmp_path, image):
    rgb = decode_image(saved(tmp_path, image))
    assert np.abs(rgb.astype(int) - RGB).max() <= 2


@pytest.mark.parametrize(
    ("array", "suffix"),
    [(RAMP, "png"), (RAMP.astype(np.uint16) * 257, "png"), ((RAMP / 255).astype("f4"), "tiff")],
)
def test_a_gray_file(tmp_path, array, suffix):
    rgb = decode_image(saved(tmp_path, Image.fromarray(array), suffix))
    assert (rgb == RAMP[..., None]).all()


def test_a_photo_is_turned_as_its_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, Image.fromarray(RGB), exif=exif)
    assert (decode_image(path) == np.rot90(RGB, -1)).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no known format"),
        (b"no image at all", "no known format"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00", "image: "),
    ],
)
def test_a_broken_file_is_refused(content, reason):
    with pytest.raises(ValueError, match=reason):
        decode_image(io.BytesIO(content))


def test_a_file_cut_off_is_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), "jpg")
    content = Path(path).read_bytes()
    with pytest.raises(ValueError, match=r"cannot be decoded: .*truncated"):
        decode_image(io.BytesIO(content[: len(content) // 2]))


def test_a_huge_file_is_refused_before_it_is_decoded(tmp_path):
    path = saved(tmp_path, Image.fromarray(RGB))
    with pytest.raises(ValueError, match="at most 5 pixels, got '3 x 2'"):
        decode_image(path, max_pixels=5)


@pytest.mark.parametrize(
    ("name", "pictures", "counted"),
    [("a.gif", 3, 3), ("a.tiff", 2, 2), ("a.WEBP", 2, 2), ("a.png", 2, 2), ("a.jpg", 1, 1)],
)
def test_pictures_of_a_file_are_counted(tmp_path, name, pictures, counted):
    frames = [Image.new("RGB", (8, 8), (40 * k, 0, 0)) for k in range(pictures)]
    path = tmp_path / name
    frames[0].save(path, save_all=pictures > 1, append_images=frames[1:])
    assert count_pictures(str(path)) == counted
    with path.open("rb") as file:
        assert count_pictures(file, name) == counted


@pytest.mark.parametrize("content", [b"", b"no image", b"GIF89a cut off"])
def test_a_broken_file_counts_as_one_picture(tmp_path, content):
    (tmp_path / "a.gif").write_bytes(content)
    assert count_pictures(str(tmp_path / "a.gif")) == 1
    assert count_pictures(str(tmp_path / "absent.gif")) == 1
