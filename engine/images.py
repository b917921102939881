"""Converts image files and arrays of any kind to the RGB arrays that the engine takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .validation import value_error

if TYPE_CHECKING:
    from PIL import Image

RgbImage = npt.NDArray[np.uint8]
"""An image of shape (H, W, 3), RGB."""

_EXPECTED_SHAPE = "an image of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not empty"
_MAX_8_BIT = 255
_MAX_16_BIT = 65_535
_OVERSHOOT = 0.01
"""How far beyond its range, as a share of white, a resized or filtered float image may go."""

MAX_FILE_PIXELS = 178_000_000
"""Pixels of the largest image that is decoded; Pillow itself refuses a little more."""

_MAX_REASON_CHARS = 200
_STRIP_PIXELS = 4_000_000

_ARRAY_MODES = ("1", "L", "I", "F", "RGB", "RGBA")
"""Pillow's modes whose arrays :func:`to_rgb_uint8` reads as they are; also ``I;16``."""


def decode_image(
    file: IO[bytes] | str,
    max_pixels: int = MAX_FILE_PIXELS,
    formats: Sequence[str] | None = None,
) -> npt.NDArray[np.uint8]:
    """Decodes an image file, turned as its EXIF orientation says.

    Args:
        file: The file's path, or an open binary file that can seek.
        max_pixels: A larger image is refused before its pixels are decoded.
        formats: Names of Pillow's formats; other files are refused. All of them by default.

    Returns:
        (H, W, 3) uint8, RGB. Alpha is dropped; see :func:`to_rgb_uint8`.

    Raises:
        ValueError: If the file is no image that Pillow reads, is broken or cut off, or has
            more than ``max_pixels`` pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    rgb = None
    try:
        with Image.open(file, formats=_list_known(formats)) as image:
            width, height = image.size
            if width * height <= max_pixels:
                ImageOps.exif_transpose(image, in_place=True)
                if image.mode in _ARRAY_MODES or image.mode.startswith("I;16"):
                    rgb = _to_array(image)
                else:
                    # Palettes, CMYK and the like. A palette's transparent entries have colors too.
                    rgb = _to_array(image.convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError("image: expected an image file, got one of no known format") from None
    except (OSError, SyntaxError, EOFError, ValueError, Image.DecompressionBombError) as error:
        # Pillow's readers raise these for broken files, some with what they read.
        reason = " ".join(ascii(str(error))[1:-1].split())[:_MAX_REASON_CHARS]
        raise ValueError(f"image: cannot be decoded: {reason}") from error
    if rgb is None:
        raise value_error("image", f"at most {max_pixels:,} pixels", f"{width} x {height}")
    return rgb


def _to_array(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Copies the pixels to (H, W, 3) uint8, strip by strip: Pillow makes further copies of each."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    if image.mode not in ("RGB", "RGBA", "L") or height <= rows:
        return to_rgb_uint8(np.asarray(image))
    rgb = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        rgb[top : top + rows] = to_rgb_uint8(np.asarray(strip))
    return rgb


def read_pixel_count(file: IO[bytes], formats: Sequence[str] | None = None) -> int:
    """Reads the number of pixels of an image file from its header.

    Args:
        file: An open binary file that can seek.
        formats: Names of Pillow's formats; other files are not read. All of them by default.

    Returns:
        Width times height; 0 if the file cannot be read, which :func:`decode_image` explains.
    """
    from PIL import Image

    try:
        with Image.open(file, formats=_list_known(formats)) as image:
            return int(image.size[0] * image.size[1])
    except Exception:  # Pillow's readers raise errors of many kinds for damaged files
        return 0


def _list_known(formats: Sequence[str] | None) -> list[str] | None:
    """Leaves out the formats that this build of Pillow cannot read."""
    from PIL import Image

    if formats is None:
        return None
    Image.init()
    return [name for name in formats if name in Image.OPEN]


SUFFIXES_OF_SEVERAL = (".apng", ".gif", ".png", ".tif", ".tiff", ".webp")
"""Suffixes of files that may hold several pictures. Not those of phones' photos with previews."""


def count_pictures(file: IO[bytes] | str, name: str = "") -> int:
    """Counts the pictures of a file: frames of an animation, pages of a TIFF.

    Args:
        file: The file's path, or an open binary file that can seek.
        name: Name of an open file; its suffix says whether it can hold several.

    Returns:
        Their number; 1 where the file cannot hold several, or cannot be read.
    """
    from PIL import Image

    if not str(name or file).lower().endswith(SUFFIXES_OF_SEVERAL):
        return 1
    try:
        with Image.open(file) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:  # whatever a broken file raises is told when it is decoded
        return 1


def to_rgb_uint8(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Converts an image to RGB with 8 bits a channel.

    Gray becomes three equal channels. Alpha is dropped: the pixels below it are what the
    model should see, and there is no background to blend them with. 16-bit unsigned integers
    count as 0..65535, so that all images of a sequence are scaled alike. Other integers count
    as 0..255 if none is larger, else as 0..65535; floats as 0..1 if none is larger, else as
    0..255.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, any real dtype. Never
            written to.

    Returns:
        (H, W, 3) uint8, C-contiguous; ``array`` itself where it is that already, else a
        new array.

    Raises:
        ValueError: If the shape is none of these, the dtype is no real number, or a value
            is NaN, infinite or out of range.

    Examples:
        >>> to_rgb_uint8(np.array([[0.0, 1.0]])).tolist()
        [[[0, 0, 0], [255, 255, 255]]]
    """
    image = np.asarray(array)
    is_image = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))
    if not is_image or 0 in image.shape:
        raise value_error("image", _EXPECTED_SHAPE, image.shape)
    if image.ndim == 2:
        image = image[:, :, None]
    channels = _to_uint8(image[:, :, :3])
    if channels.shape[2] == 1:
        channels = np.repeat(channels, 3, axis=2)
    return np.ascontiguousarray(channels)


def _to_uint8(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(_MAX_8_BIT)
    if values.dtype.kind not in "iuf":
        raise value_error("image", "an image of bools, integers or floats", str(values.dtype))
    low, high = values.min(), values.max()
    # NaN and infinity are in no range.
    top = next(
        (top for top in _list_white_values(values.dtype) if _is_in_range(low, high, top)), None
    )
    if top is None:
        expected = "an image of values " + " or ".join(
            f"0..{top}" for top in _list_white_values(values.dtype)
        )
        raise value_error("image", expected, f"{values.dtype} from {low} to {high}")
    scaled = values.astype(np.float32) * np.float32(_MAX_8_BIT / top)
    np.rint(scaled, out=scaled)
    return np.clip(scaled, 0, _MAX_8_BIT, out=scaled).astype(np.uint8)


def _list_white_values(dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Lists the values that white can have in images of a dtype."""
    if dtype.kind == "f":
        return 1, _MAX_8_BIT
    is_16_bit = dtype.kind == "u" and dtype.itemsize == 2
    return (_MAX_16_BIT,) if is_16_bit else (_MAX_8_BIT, _MAX_16_BIT)


def _is_in_range(low: Any, high: Any, top: int) -> bool:
    slack = _OVERSHOOT if isinstance(low, np.floating) else 0
    # Measured against the largest value: -2..2 is no image in 0..255 but a normalized one.
    return bool(low >= -slack * high and high <= top * (1 + slack))
