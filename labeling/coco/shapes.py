"""Checks the boxes, polygons and run lengths of COCO annotations.

``pycocotools`` checks none of this: it reads a polygon of two points as a box, walks
coordinates of any size and writes beyond its memory where run lengths are wrong.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np

from ...engine.images import MAX_FILE_PIXELS
from ...engine.validation import shorten
from .data_set import BoxXywh, Polygon, RunLengths

MAX_COORDINATE_PX = 1_000_000
MAX_OUTLINE_PX = 4_000_000
"""Length of a polygon's outline: ``pycocotools`` takes 40 bytes and more for each pixel of it."""

_MAX_ID = 2**53
_PRINTED_BYTES = re.compile(r"""b(['"]).*\1""", re.DOTALL)
_CHUNK_BITS = 5
_MAX_CHUNKS = 6
"""Characters of a compressed number; six hold 29 bits and a sign, above any image's pixels."""


class ShapeError(ValueError):
    """A value of an annotation that is wrong; the reader adds which annotation it is."""

    def __init__(self, field: str, expected: str, got: object) -> None:
        """Words what was expected of a field, and what came."""
        super().__init__(f"{field}: expected {expected}, got {shorten(got)}")


def to_id(value: object) -> int | None:
    """Converts an id, also "12" or 12.0, to an int; None if it is no whole number."""
    if type(value) is int:
        number = value
    elif (isinstance(value, float) and value.is_integer()) or (
        isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 17
    ):
        number = int(value)
    else:
        return None
    return number if -_MAX_ID <= number <= _MAX_ID else None


def is_number(value: object, low: float, high: float) -> TypeGuard[float]:
    """Tells whether a value is a number, not a bool, from ``low`` to ``high``."""
    return (type(value) is int or type(value) is float) and low <= value <= high


def read_box(value: Any) -> BoxXywh | None:
    """Checks ``bbox``: [x, y, width, height], neither size negative; None where it is missing."""
    if value is None or (isinstance(value, list) and not value):
        return None
    most = MAX_COORDINATE_PX
    if (
        not isinstance(value, (list, tuple))
        or len(value) != 4
        or not all(is_number(number, -most, most) for number in value)
        or value[2] < 0
        or value[3] < 0
    ):
        raise ShapeError("bbox", "[x, y, width, height] in pixels", value)
    x, y, width, height = value
    return float(x), float(y), float(width), float(height)


def read_mask(
    value: Any, image_hw: tuple[int, int] | None
) -> tuple[tuple[Polygon, ...] | RunLengths | None, int]:
    """Checks ``segmentation``.

    Args:
        value: Polygons or run lengths; null or empty where there is no mask.
        image_hw: Size of the image in pixels; None where it is not known.

    Returns:
        The mask, None where there is none; and how many polygons of fewer than three points,
        which have no area, were left out of it.

    Raises:
        ShapeError: If it is anything else.
    """
    if value is None or value in ([], {}, ""):
        return None, 0
    if isinstance(value, Mapping):
        return _read_run_lengths(value, image_hw), 0
    if not isinstance(value, (list, tuple)):
        raise ShapeError("segmentation", "polygons or run lengths", value)
    # One polygon without the list around it is seen in the wild.
    rings = [value] if type(value[0]) in (int, float) else value
    polygons = [_read_polygon(ring) for ring in rings]
    kept = tuple(polygon for polygon in polygons if len(polygon) >= 6)
    return kept or None, len(polygons) - len(kept)


def find_bounds(mask: tuple[Polygon, ...] | RunLengths) -> BoxXywh:
    """Computes the box around a mask."""
    if isinstance(mask, RunLengths):
        from pycocotools import mask as mask_api

        x, y, width, height = mask_api.toBbox(
            {"size": list(mask.hw), "counts": mask.counts}
        ).tolist()
        return x, y, width, height
    points = np.concatenate(mask).reshape(-1, 2)
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    return left, top, right - left, bottom - top


def _read_polygon(ring: Any) -> Polygon:
    expected = "polygons as [x, y, x, y, ...] in pixels"
    if not isinstance(ring, (list, tuple)):
        raise ShapeError("segmentation", expected, ring)
    if len(ring) % 2:
        expected = "an even number of coordinates in each polygon"
        raise ShapeError("segmentation", expected, len(ring))
    try:
        array = np.asarray(ring or (), None if ring else np.float64)
    except (ValueError, OverflowError, TypeError, RecursionError):
        raise ShapeError("segmentation", expected, ring) from None
    if array.ndim != 1 or array.dtype.kind not in "iuf":
        raise ShapeError("segmentation", expected, ring)
    polygon = array.astype(np.float64)
    largest = float(np.abs(polygon).max(initial=0))
    if not largest <= MAX_COORDINATE_PX:  # NaN compares false
        raise ShapeError("segmentation", expected, ring)
    if 2 * largest * polygon.size > MAX_OUTLINE_PX:
        outline = float(np.abs(polygon - np.roll(polygon, -2)).sum())
        if outline > MAX_OUTLINE_PX:
            expected = f"a polygon with an outline of at most {MAX_OUTLINE_PX:,} pixels"
            raise ShapeError("segmentation", expected, outline)
    return polygon


def _read_run_lengths(value: Mapping[Any, Any], image_hw: tuple[int, int] | None) -> RunLengths:
    hw = _read_size(value.get("size"), image_hw)
    counts = value.get("counts")
    if isinstance(counts, (list, tuple)):
        return RunLengths(hw, _compress(counts, hw))
    if isinstance(counts, (bytes, bytearray)):
        counts = counts.decode("latin-1")
    if not isinstance(counts, str):
        raise ShapeError("segmentation.counts", "run lengths", counts)
    if _PRINTED_BYTES.fullmatch(counts):  # str() of Python's bytes
        try:
            counts = ast.literal_eval(counts).decode("latin-1")
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise ShapeError("segmentation.counts", "run lengths", counts) from None
    _check_compressed(counts, hw)
    return RunLengths(hw, counts)


def _read_size(size: Any, image_hw: tuple[int, int] | None) -> tuple[int, int]:
    if size is None and image_hw is not None:
        return image_hw
    sides = [to_id(side) for side in size] if isinstance(size, (list, tuple)) else []
    if len(sides) != 2 or None in sides or not is_image_size(*sides):  # type: ignore[arg-type]
        raise ShapeError("segmentation.size", "[height, width] in pixels", size)
    hw = sides[0], sides[1]
    if image_hw is not None and hw != image_hw:
        expected = f"[{image_hw[0]}, {image_hw[1]}], the height and width of its image"
        raise ShapeError("segmentation.size", expected, size)
    return hw  # type: ignore[return-value]


def is_image_size(height: int, width: int) -> bool:
    """Tells whether an image may have that size in pixels."""
    return height > 0 and width > 0 and height * width <= MAX_FILE_PIXELS


def _compress(counts: Any, hw: tuple[int, int]) -> str:
    from pycocotools import mask as mask_api

    try:
        runs = np.asarray(counts)
    except (ValueError, OverflowError, TypeError, RecursionError):
        raise ShapeError("segmentation.counts", "run lengths", counts) from None
    pixels = hw[0] * hw[1]
    if (
        runs.ndim != 1
        or runs.dtype.kind not in "iuf"
        or not ((runs >= 0) & (runs <= pixels) & (runs == np.floor(runs))).all()
    ):
        raise ShapeError("segmentation.counts", "run lengths", counts)
    _check_total(int(runs.sum()), hw)
    rle = {"size": list(hw), "counts": runs.astype(np.int64)}
    return str(mask_api.frPyObjects(rle, *hw)["counts"].decode("ascii"))


def _check_compressed(counts: str, hw: tuple[int, int]) -> None:
    """Decodes compressed run lengths, and checks that they fill the image exactly.

    Each number is written in characters of 5 bits, the lowest first; from the third on it is
    the difference from the one before the last.
    """
    expected = "compressed run lengths"
    if not counts.isascii() or not counts:
        raise ShapeError("segmentation.counts", expected, counts)
    codes = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - ord("0")
    ends = np.flatnonzero((codes & 0x20) == 0)
    if codes.min() < 0 or codes.max() > 0x3F or not ends.size or ends[-1] != codes.size - 1:
        raise ShapeError("segmentation.counts", expected, counts)
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    lengths = ends - starts + 1
    if lengths.max() > _MAX_CHUNKS:
        raise ShapeError("segmentation.counts", expected, counts)
    places = np.arange(codes.size) - np.repeat(starts, lengths)
    runs = np.add.reduceat((codes & 0x1F) << (_CHUNK_BITS * places), starts)
    runs -= ((codes[ends] & 0x10) != 0) * (np.int64(1) << (_CHUNK_BITS * lengths))
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    if runs.min() < 0:
        raise ShapeError("segmentation.counts", expected, counts)
    _check_total(int(runs.sum()), hw)


def _check_total(total: int, hw: tuple[int, int]) -> None:
    if total != hw[0] * hw[1]:
        expected = f"run lengths of {hw[0] * hw[1]} pixels in all, those of its image"
        raise ShapeError("segmentation.counts", expected, total)
