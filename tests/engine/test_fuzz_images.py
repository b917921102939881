"""Mutated image files: decoded, or refused in one sentence."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from infer_segment_anything_3.engine.images import count_pictures, decode_image
from infer_segment_anything_3.tests.fuzzing import (
    FEW,
    MANY,
    bound_memory,
    examples,
    mutate_bytes,
    stop_hang,
)

FORMATS = ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm", "tga", "ico")
MAX_PIXELS = 1_000_000


def encode(name: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, name, **({"exif": exif} if name in ("jpeg", "png") else {}))
    return file.getvalue()


def fuzz(name: str, count: int) -> None:
    outcomes = {"read": 0, "refused": 0}

    @examples(count)
    @given(mutate_bytes(encode(name)))
    def read(content: bytes) -> None:
        with stop_hang():
            try:
                pixels = decode_image(io.BytesIO(content), MAX_PIXELS)
            except ValueError as error:
                text = str(error)
                assert text.startswith("image: "), text
                assert "\n" not in text
                assert len(text) < 300
                outcomes["refused"] += 1
            else:
                assert pixels.dtype == np.uint8
                assert pixels.ndim == 3
                assert pixels.shape[2] == 3
                outcomes["read"] += 1
            assert count_pictures(io.BytesIO(content), f"a.{name}") >= 1

    with bound_memory(300):
        read()
    assert outcomes["refused"], outcomes


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_images(name: str) -> None:
    fuzz(name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_mutated_images(name: str) -> None:
    fuzz(name, MANY)


def test_header_that_pillow_refuses_with_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^image: cannot be decoded: .*too long"):
        decode_image(io.BytesIO(b"P6\n16 12\n255" + b"0" * 20 + b"\n"))
