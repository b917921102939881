"""Image files: every form clients send, damaged ones, and those that want too much memory."""

from __future__ import annotations

import base64
import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from infer_segment_anything_3.serving.errors import ApiError
from infer_segment_anything_3.serving.images import decode_base64, decode_image
from infer_segment_anything_3.serving.sessions import ImageSessions

from .conftest import base64_source, to_file

MANY = 10_000_000


def draw(mode: str, size: tuple[int, int] = (8, 6)) -> Image.Image:
    return Image.new("RGB", size, (220, 40, 40)).convert(mode)


def save(image: Image.Image, image_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_formats(image_format: str) -> None:
    rgb = decode_image(save(draw("RGB"), image_format), MANY, "image").rgb
    assert rgb.shape == (6, 8, 3)
    assert np.abs(rgb.astype(int) - (220, 40, 40)).max() < 12


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1"])
def test_modes_become_rgb_without_alpha(mode: str) -> None:
    assert decode_image(save(draw(mode)), MANY, "image").rgb.shape == (6, 8, 3)


def test_16_bits_are_scaled_not_cut() -> None:
    wide = Image.fromarray(np.array([[0, 32_768, 65_535]], np.uint16))
    assert decode_image(save(wide), MANY, "image").rgb[0, :, 0].tolist() == [0, 128, 255]


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_image(save(draw("RGB"), "JPEG", exif=exif), MANY, "image").rgb.shape == (8, 6, 3)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", save(draw("RGB"))[:-30]])
def test_other_data_and_damaged_files_are_refused(data: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        decode_image(data, MANY, "image.value")
    assert refused.value.status_code == 400
    assert str(refused.value.detail).startswith("image.value: ")


def test_formats_that_start_programs_are_refused() -> None:
    with pytest.raises(ApiError, match="400"):
        decode_image(save(draw("RGB"), "EPS"), MANY, "image")


def bomb(side: int) -> bytes:
    """A PNG of side x side pixels whose data is a few kilobytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [4_000, 12_000, 60_000, 2_000_000_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    data = bomb(side)
    assert len(data) < 10_000
    tracemalloc.start()
    with pytest.raises(ApiError) as refused:
        decode_image(data, MANY, "image")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.status_code == 400
    assert peak < 2_000_000


def test_the_servers_own_limit_is_asked(make_client) -> None:
    limited = make_client(max_pixels=100)
    body = {"image": base64_source(to_file(np.zeros((11, 10, 3), np.uint8)))}
    answer = limited.post("/sam3/embed_image", json=body)
    assert answer.status_code == 400
    assert "at most 100 pixels, got '10 x 11'" in answer.json()["message"]
    body["image"] = base64_source(to_file(np.zeros((10, 10, 3), np.uint8)))
    assert limited.post("/sam3/embed_image", json=body).status_code == 200


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,", "DATA:image/x-y+z;base64,"])
def test_base64_with_and_without_data_uri(prefix: str) -> None:
    data = save(draw("RGB"))
    text = base64.encodebytes(data).decode()  # with line breaks
    assert decode_base64(prefix + text, "image") == data


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ({"type": "base64", "value": "/nope.png"}, 400),
        ({"type": "base64", "value": "aGVsbG8="}, 400),
        ({"type": "base64", "value": 5}, 422),
        ({"type": "numpy", "value": "gASVAAAAAAAAAA=="}, 400),
        ({"type": "file", "value": "/etc/passwd"}, 400),
        ({"type": "multipart", "value": "x"}, 400),
        ({"type": "url", "value": "file:///etc/passwd"}, 400),
        ({"type": "url"}, 422),
        ({"value": "aGVsbG8="}, 422),
        ([{"type": "url", "value": "a"}], 422),
    ],
)
def test_images_of_other_kinds_are_refused(client: TestClient, source, status: int) -> None:
    answer = client.post("/sam3/embed_image", json={"image": source})
    assert answer.status_code == status
    assert answer.json()["message"].startswith("image")


def test_the_same_file_under_many_ids_is_stored_once() -> None:
    data = save(draw("RGB", (1000, 1000)))
    sessions = ImageSessions()
    tracemalloc.start()
    try:
        ids = [
            sessions.put(owner, decode_image(data, MANY, "image"))
            for owner in ("alice", "bob")
            for _ in range(8)
        ]
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(set(ids)) == 16
    assert kept < 2 * 3_000_000, "bytes of two images"
    assert sessions.get("alice", ids[0]).hw == (1000, 1000)
    assert sessions.get("bob", ids[-1]).rgb[0, 0].tolist() == [220, 40, 40]
