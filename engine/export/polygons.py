"""Converts masks to polygons that COCO's tools rasterize back to the same mask.

COCO's polygons follow the edges of pixels, are filled by the even-odd rule, and are united
when an annotation has several. They cannot express a hole, so the hole's ring becomes
part of the outer ring: a bridge leads from one to the other and back along the same line,
and the even-odd rule cancels the bridge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..results import Mask

Ring = npt.NDArray[Any]

_AREA_SHARE_OF_TOLERANCE = 0.05
"""Straightening a staircase may move its outline by at most this share of area / perimeter.

Were all of the outline moved to one side by that much, IoU would fall by the same share; as
corners stay where they are and only steps between them go, random masks of all sizes keep
an IoU of 0.99.
"""
_MAX_TOLERANCE_PX = 1.0


def mask_to_polygons(mask: Mask) -> list[list[float]]:
    """Traces a mask as polygons, one for each connected part.

    Args:
        mask: Any binary mask: several parts, holes, islands in holes.

    Returns:
        One flat ``[x1, y1, x2, y2, ...]`` of at least three corners for each connected part,
        in pixels of the image (a corner at 1.0 is the edge between the first and the second
        pixel); none for an empty mask.
    """
    if not mask.crop.size:
        return []
    parts = []
    tolerance_px = _compute_tolerance_px(mask)
    for outer, holes in _trace_parts(mask.crop):
        ring = _simplify(outer, tolerance_px)
        for hole in holes:
            ring = _splice(ring, _simplify(hole, tolerance_px))
        parts.append((ring + np.array(mask.origin_xy, np.float64)).ravel().tolist())
    return parts


def mask_to_polygon(mask: Mask) -> list[float]:
    """Traces a mask as one polygon, for formats that allow one polygon an instance.

    Args:
        mask: Any binary mask.

    Returns:
        One flat ``[x1, y1, x2, y2, ...]``: the rings of all parts, joined along bridges that
        lead there and back; empty for an empty mask.
    """
    rings = [np.array(part).reshape(-1, 2) for part in mask_to_polygons(mask)]
    if not rings:
        return []
    ring = rings[0]
    for other in rings[1:]:
        ring = _splice(ring, other)
    flat: list[float] = ring.ravel().tolist()
    return flat


def mask_to_pixel_rings(mask: Mask) -> list[list[list[int]]]:
    """Traces a mask as OpenCV does: whole numbers, along the centers of its outermost pixels.

    ``cv2.fillPoly`` of a ring gives its part back, where :func:`mask_to_polygons` serves those
    who fill as COCO does.

    Args:
        mask: Any binary mask.

    Returns:
        One ring ``[[x, y], ...]`` of at least three corners for each connected part, from 0 to
        the width and height of the image less 1; holes are cut open along a line that is one
        pixel wide.
    """
    if not mask.crop.size:
        return []
    contours, hierarchy = cv2.findContours(
        mask.crop.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    rings = []
    for outer, holes in _group_parts([contour[:, 0] for contour in contours], hierarchy):
        ring = outer
        for hole in holes:
            ring = _splice(ring, hole)
        missing = max(0, 3 - len(ring))  # of a part one pixel wide
        ring = np.concatenate([ring, np.repeat(ring[-1:], missing, axis=0)])
        rings.append((ring + np.array(mask.origin_xy)).tolist())
    return rings


def _trace_parts(crop: npt.NDArray[np.bool_]) -> list[tuple[Ring, list[Ring]]]:
    """Traces the outer ring and the holes of every part, each (N, 2) xy on pixel edges."""
    # At twice the size an even coordinate is the first and an odd one the second half of its
    # pixel, which tells on which side of the pixel the edge runs.
    doubled = crop.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [(contour[:, 0, :].astype(np.float64) + 1) // 2 for contour in contours]
    return _group_parts(rings, hierarchy)


def _group_parts(
    rings: Sequence[Ring], hierarchy: npt.NDArray[Any]
) -> list[tuple[Ring, list[Ring]]]:
    """Groups the rings of ``cv2.RETR_CCOMP``: the outer ring and the holes of every part."""
    parts: dict[int, tuple[Ring, list[Ring]]] = {}
    for index, (*_, parent) in enumerate(hierarchy[0]):
        if parent < 0:
            parts[index] = (rings[index], [])
    for index, (*_, parent) in enumerate(hierarchy[0]):
        if parent >= 0:
            parts[parent][1].append(rings[index])
    return list(parts.values())


def _compute_tolerance_px(mask: Mask) -> float:
    """Computes how far an outline may be moved while IoU stays above 0.99."""
    crop = np.pad(mask.crop, 1)
    perimeter = np.count_nonzero(crop[1:] != crop[:-1])
    perimeter += np.count_nonzero(crop[:, 1:] != crop[:, :-1])
    return min(_MAX_TOLERANCE_PX, _AREA_SHARE_OF_TOLERANCE * mask.area / perimeter)


def _simplify(ring: Ring, tolerance_px: float) -> Ring:
    """Removes corners within the tolerance; of a ring that is too small, the repeated ones."""
    fewer = cv2.approxPolyDP(ring.astype(np.int32)[:, None], tolerance_px, True)[:, 0]
    if len(fewer) < 3:
        fewer = ring
    repeated = (fewer == np.roll(fewer, 1, axis=0)).all(axis=1)
    distinct: Ring = fewer[~repeated].astype(np.float64)
    return distinct


def _splice(ring: Ring, hole: Ring) -> Ring:
    """Joins two rings by the shortest bridge from the hole's leftmost corner."""
    start = int(hole[:, 0].argmin())
    bridge = int(np.square(ring - hole[start]).sum(axis=1).argmin())
    around = np.concatenate([np.roll(hole, -start, axis=0), hole[start : start + 1]])
    return np.concatenate([ring[: bridge + 1], around, ring[bridge:]])
