"""Decodes image files of clients to RGB arrays; checks their size before."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import io
import re
import struct
from collections.abc import Iterator

from ..engine import images
from ..engine.images import RgbImage
from ..engine.validation import shorten
from .errors import ApiError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "MPO", "AVIF", "PPM")
"""Formats that are read. Pillow knows more, some of which start other programs."""

_PIECE_CHARS = 1_000_000

_DATA_URI = re.compile(r"data:[\w.+/;=-]{0,100};base64,", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class DecodedImage:
    """Holds an image and the digest of its file.

    Attributes:
        rgb: (H, W, 3) uint8.
        digest: Of the file's bytes.
    """

    rgb: RgbImage
    digest: bytes

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels."""
        return self.rgb.nbytes


def decode_base64(text: str, field: str) -> bytes:
    """Decodes a base64 text, with or without ``data:image/…;base64,`` before it.

    Args:
        text: The text; white space in it is ignored.
        field: What the user calls it.

    Returns:
        The bytes.

    Raises:
        ApiError: 400 if it is no base64.
    """
    prefix = _DATA_URI.match(text)
    encoded = text[prefix.end() :] if prefix else text
    try:
        return b"".join(_decode_pieces(encoded))
    except (binascii.Error, ValueError):
        raise ApiError(
            400, f"{field}: expected an image file in base64, got {shorten(text)}"
        ) from None


def _decode_pieces(encoded: str) -> Iterator[bytes]:
    """Decodes base64 piece by piece: between two pieces other threads run."""
    rest = ""
    for start in range(0, len(encoded), _PIECE_CHARS):
        piece = rest + "".join(encoded[start : start + _PIECE_CHARS].split())
        whole = len(piece) - len(piece) % 4
        is_last = start + _PIECE_CHARS >= len(encoded)
        if not is_last and "=" in piece:  # padding ends the text, but for white space
            is_last, piece = True, piece + "".join(encoded[start + _PIECE_CHARS :].split())
        yield base64.b64decode(piece if is_last else piece[:whole], validate=True)
        if is_last:
            return
        rest = piece[whole:]


def count_pixels(data: bytes) -> int:
    """Reads the number of pixels of an image file from its header; 0 if it cannot be read."""
    return images.read_pixel_count(io.BytesIO(data), FORMATS)


def decode_image(data: bytes, max_pixels: int, field: str) -> DecodedImage:
    """Decodes an image file, turned as its EXIF orientation says, without alpha.

    Args:
        data: The file.
        max_pixels: Images of more pixels are refused before they are decoded.
        field: What the user calls it.

    Returns:
        The image; the first frame of an animation.

    Raises:
        ApiError: 400 if it is no image file, a damaged one, or too large.
    """
    try:
        rgb = images.decode_image(io.BytesIO(data), max_pixels, FORMATS)
    except ValueError as error:
        message = str(error).removeprefix("image: ")
        raise ApiError(400, f"{field}: {message}") from None
    except (LookupError, TypeError, ArithmeticError, struct.error) as error:
        # Pillow's readers raise these, too, for damaged files.
        raise ApiError(400, f"{field}: cannot be decoded ({type(error).__name__})") from None
    rgb.setflags(write=False)
    return DecodedImage(rgb, hashlib.blake2b(data, digest_size=16).digest())
