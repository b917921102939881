"""Joins what neighbouring views of one image show: each thing once, by its mask."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ..results import BoxXyxy, Instance, Mask

SAME_IOU = 0.5
"""Masks that agree more than this in the strip they share are one thing."""

EDGE_SHARE = 0.01
"""What is this near to the border of its tile, in shares of the tile's side, touches it."""

CUT_SHARE = 0.2
"""A mask that touches a border along this share of its own size is cut; a speck is not."""

SEEN_SHARE = 0.95
"""A tile that holds this share of a mask holds all of it but specks."""


class Tile(NamedTuple):
    """A part of an image, in pixels, exclusive right and bottom."""

    left: int
    top: int
    right: int
    bottom: int

    def shared_with(self, other: Tile) -> Tile:
        """The strip that two tiles share; empty (right <= left or so) where they do not."""
        return Tile(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )

    def meets(self, other: Tile) -> bool:
        """Whether two tiles share any pixel."""
        left, top, right, bottom = self.shared_with(other)
        return left < right and top < bottom

    def cuts(self, mask: Mask) -> bool:
        """Whether a mask ends at a border of this tile that is none of the image's."""
        x_px = math.ceil(EDGE_SHARE * (self.right - self.left))
        y_px = math.ceil(EDGE_SHARE * (self.bottom - self.top))
        height, width = mask.image_hw
        edges = (
            (self.left > 0, x_px, self._replace(right=self.left + x_px)),
            (self.top > 0, y_px, self._replace(bottom=self.top + y_px)),
            (self.right < width, x_px, self._replace(left=self.right - x_px)),
            (self.bottom < height, y_px, self._replace(top=self.bottom - y_px)),
        )
        size_px = math.sqrt(mask.area)
        return any(
            inner and _area_within(mask, edge) > CUT_SHARE * size_px * depth_px
            for inner, depth_px, edge in edges
        )


@dataclasses.dataclass(frozen=True)
class Part:
    """What one tile shows of a thing, in pixels of the image."""

    tile: Tile
    instance: Instance
    is_cut: bool


def merged(parts: Sequence[Part]) -> list[Instance]:
    """Joins the parts of each thing into one instance.

    Of several whole views of a thing the best-scored stays, and its cut views go. Cut
    views of a thing that no tile shows whole are united.

    Args:
        parts: What each tile showed, with pixels in each mask.

    Returns:
        One instance for each thing.
    """
    parts = sorted(parts, key=lambda p: -p.instance.score)
    same = _same_things(parts)
    whole = [k for k, part in enumerate(parts) if not part.is_cut]
    kept: list[int] = []
    for k in whole:
        if not same[k, kept].any():
            kept.append(k)
    cut = [k for k, part in enumerate(parts) if part.is_cut and not same[k, whole].any()]
    pieces = _connected(same[np.ix_(cut, cut)]) if cut else []
    united = [_united([parts[cut[k]].instance for k in piece]) for piece in pieces]
    return [*(parts[k].instance for k in kept), *united]


def _connected(linked: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    count, labels = connected_components(csr_array(linked), directed=False)
    return [np.flatnonzero(labels == label) for label in range(count)]


def _same_things(parts: Sequence[Part]) -> npt.NDArray[np.bool_]:
    """Which parts show the same thing, (N, N) bool."""
    same = np.zeros((len(parts), len(parts)), bool)
    boxes = _boxes(parts)
    for k, part in enumerate(parts):
        for j in _meeting(boxes[:k], part):
            if part.instance.class_index == parts[j].instance.class_index:
                same[k, j] = same[j, k] = _strip_iou(part, parts[j]) > SAME_IOU
    return same


def _strip_iou(one: Part, other: Part) -> float:
    """IoU of two masks in the strip that their tiles share."""
    strip = one.tile.shared_with(other.tile)
    in_strip = [_area_within(part.instance.mask, strip) for part in (one, other)]
    both = _shared_area(one.instance.mask, other.instance.mask, strip)
    return both / max(1, sum(in_strip) - both)


def _area_within(mask: Mask, tile: Tile) -> int:
    return int(np.count_nonzero(_window(mask, tile)))


def _shared_area(one: Mask, other: Mask, within: Tile) -> int:
    meeting = within.shared_with(Tile(*one.xyxy)).shared_with(Tile(*other.xyxy))
    if not within.meets(meeting):
        return 0
    return int(np.count_nonzero(_window(one, meeting) & _window(other, meeting)))


def _window(mask: Mask, tile: Tile) -> npt.NDArray[np.bool_]:
    """The mask's pixels inside a tile; a view of its crop."""
    left, top = mask.origin_xy
    return mask.crop[
        max(0, tile.top - top) : max(0, tile.bottom - top),
        max(0, tile.left - left) : max(0, tile.right - left),
    ]


def best_views(parts: Sequence[Part], tiles: Sequence[Tile]) -> list[Part]:
    """Leaves out parts that are cut where another tile sees all of them and what lies beyond.

    Args:
        parts: What each tile showed, with pixels in each mask.
        tiles: Every tile.

    Returns:
        The others; and those left out at whose place nothing else was found.
    """
    poorer = [part.is_cut and _is_whole_in_one(part.instance.mask, tiles) for part in parts]
    best = [part for part, is_poorer in zip(parts, poorer, strict=True) if not is_poorer]
    boxes = _boxes(best)
    missed = [
        part
        for part, is_poorer in zip(parts, poorer, strict=True)
        if is_poorer and not any(_is_covered(part, best[k]) for k in _meeting(boxes, part))
    ]
    return best + missed


def _is_whole_in_one(mask: Mask, tiles: Sequence[Tile]) -> bool:
    box = Tile(*mask.xyxy)
    return any(
        _area_within(mask, tile) >= SEEN_SHARE * mask.area and not tile.cuts(mask)
        for tile in tiles
        if tile.meets(box)
    )


def _is_covered(part: Part, other: Part) -> bool:
    mask = part.instance.mask
    shared = _shared_area(mask, other.instance.mask, Tile(*mask.xyxy))
    return shared > SAME_IOU * mask.area


def _boxes(parts: Sequence[Part]) -> npt.NDArray[np.int64]:
    return np.array([p.instance.mask.xyxy for p in parts], np.int64).reshape(-1, 4)


def _meeting(boxes: npt.NDArray[np.int64], part: Part) -> list[int]:
    """Which boxes share pixels with a part's."""
    left, top, right, bottom = part.instance.mask.xyxy
    in_x = (boxes[:, 0] < right) & (boxes[:, 2] > left)
    in_y = (boxes[:, 1] < bottom) & (boxes[:, 3] > top)
    indices: list[int] = np.flatnonzero(in_x & in_y).tolist()
    return indices


def is_a_clump(instance: Instance, parts: Sequence[Part]) -> bool:
    """Whether tiles show several whole things where a wider view shows one.

    Args:
        instance: What the wider view showed.
        parts: What the tiles showed.

    Returns:
        Whether most of its pixels belong to things that are each less than half of it.
    """
    mask = instance.mask
    within = Tile(*mask.xyxy)
    covered = [
        _shared_area(mask, part.instance.mask, within)
        for part in parts
        if part.instance.class_index == instance.class_index and not part.is_cut
    ]
    return sum(area for area in covered if area < mask.area / 2) > mask.area / 2


def _united(instances: Sequence[Instance]) -> Instance:
    if len(instances) == 1:
        return instances[0]
    best = max(instances, key=lambda i: i.score)
    left, top, right, bottom = (int(v) for v in _hull([i.mask.xyxy for i in instances]))
    crop = np.zeros((bottom - top, right - left), bool)
    for mask in (i.mask for i in instances):
        x, y, x_end, y_end = mask.xyxy
        crop[y - top : y_end - top, x - left : x_end - left] |= mask.crop
    mask = Mask(best.mask.image_hw, (left, top), crop)
    return dataclasses.replace(best, mask=mask, box_xyxy=_hull([i.box_xyxy for i in instances]))


def _hull(boxes: Sequence[BoxXyxy]) -> BoxXyxy:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
