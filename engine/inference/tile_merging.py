"""Merges the instances of overlapping views of an image into one instance for each object."""

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

STRIP_IOU = 0.5
"""Two masks with a higher IoU in the strip that their tiles share belong to one object."""

SAME_VIEW_IOU = 0.75
"""A tile's mask with a higher IoU with a mask of the whole image shows the same object."""

COVERED_SHARE = 0.5
"""A mask of which another covers more than this share shows a part of the same object."""

EDGE_SHARE = 0.01
"""A mask this near to the border of its tile, in shares of the tile's side, touches it."""

CUT_SHARE = 0.2
"""A mask that touches a border along this share of its own size is cut; less is noise."""

SEEN_SHARE = 0.95
"""A tile that holds this share of a mask holds the object; the rest is noise."""


class Tile(NamedTuple):
    """A part of an image, in pixels, exclusive right and bottom."""

    left: int
    top: int
    right: int
    bottom: int

    def intersect(self, other: Tile) -> Tile:
        """Returns the strip that two tiles share; without area where they share none."""
        return Tile(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )

    def intersects(self, other: Tile) -> bool:
        """Tells whether two tiles share any pixel."""
        left, top, right, bottom = self.intersect(other)
        return left < right and top < bottom

    def cuts(self, mask: Mask) -> bool:
        """Tells whether a border of this tile, not of the image, cuts a mask."""
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
            inner and _count_inside(mask, edge) > CUT_SHARE * size_px * depth_px
            for inner, depth_px, edge in edges
        )


@dataclasses.dataclass(frozen=True)
class TileInstance:
    """An instance found on a tile, in pixels of the image.

    Attributes:
        tile: The tile.
        instance: The instance.
        touches_tile_border: Whether the tile's border cuts it.
    """

    tile: Tile
    instance: Instance
    touches_tile_border: bool


def merge_views(
    found: Sequence[tuple[Tile, Instance]],
    tiles: Sequence[Tile],
    whole_view: Sequence[Instance] = (),
) -> list[Instance]:
    """Merges the instances of all tiles with those of the whole image.

    An instance of the whole image stays, unless tiles show several objects in its place; what
    tiles show of it is dropped, or takes its place if it shows all of it, in more detail.

    Args:
        found: Instances with the tile on which they were found, in pixels of the image, with
            pixels in each mask.
        tiles: Every tile.
        whole_view: Instances that the whole image shows well.

    Returns:
        One instance for each object.
    """
    parts = drop_partial_views(
        [TileInstance(tile, instance, tile.cuts(instance.mask)) for tile, instance in found], tiles
    )
    kept = []
    for instance in whole_view:
        if is_merged_group(instance, parts):
            continue
        same, other = _find_covered(instance, parts)
        if same is None:
            kept.append(instance)
        else:
            other.append(same)
        parts = other
    return [*merge_tile_instances(parts), *kept]


def _find_covered(
    whole: Instance, parts: Sequence[TileInstance]
) -> tuple[TileInstance | None, list[TileInstance]]:
    """Finds the best tile instance of the same object, and the tile instances of others."""
    same, other = None, []
    for part in parts:
        mask = part.instance.mask
        is_same_class = part.instance.class_index == whole.class_index
        shared = _count_shared(mask, whole.mask) if is_same_class else 0
        iou = shared / (mask.area + whole.mask.area - shared)
        if iou > SAME_VIEW_IOU and not part.touches_tile_border:
            if same is None or part.instance.score > same.instance.score:
                same = part
        elif shared <= COVERED_SHARE * mask.area:
            other.append(part)
    return same, other


def merge_tile_instances(parts: Sequence[TileInstance]) -> list[Instance]:
    """Merges what several tiles show of each object into one instance.

    Of several whole views of an object the best-scored stays, and its cut views are dropped.
    Cut views of an object that no tile shows whole are united.

    Args:
        parts: The instances of all tiles, with pixels in each mask.

    Returns:
        One instance for each object.
    """
    parts = sorted(parts, key=lambda p: -p.instance.score)
    same = _find_same_objects(parts)
    whole = [k for k, part in enumerate(parts) if not part.touches_tile_border]
    kept: list[int] = []
    for k in whole:
        if not same[k, kept].any():
            kept.append(k)
    cut = [k for k, p in enumerate(parts) if p.touches_tile_border and not same[k, whole].any()]
    groups = _group_connected(same[np.ix_(cut, cut)]) if cut else []
    united = [_unite_instances([parts[cut[k]].instance for k in group]) for group in groups]
    return [*(parts[k].instance for k in kept), *united]


def drop_partial_views(parts: Sequence[TileInstance], tiles: Sequence[Tile]) -> list[TileInstance]:
    """Drops cut instances where another tile holds all of the object.

    Args:
        parts: The instances of all tiles, with pixels in each mask.
        tiles: Every tile.

    Returns:
        The others, and those dropped at whose place nothing else was found.
    """
    partial: list[TileInstance] = []
    best: list[TileInstance] = []
    for part in parts:
        is_partial = part.touches_tile_border and _is_whole_in_one(part.instance.mask, tiles)
        (partial if is_partial else best).append(part)
    boxes = _get_boxes(best)
    return best + [
        part
        for part in partial
        if not any(_is_covered(part, best[k]) for k in _find_near(boxes, part))
    ]


def is_merged_group(instance: Instance, parts: Sequence[TileInstance]) -> bool:
    """Tells whether tiles show several whole objects where a wider view shows one.

    Args:
        instance: The instance of the wider view.
        parts: The instances of all tiles.

    Returns:
        Whether most of its pixels belong to objects that are each less than half of it.
    """
    mask = instance.mask
    covered = [
        _count_shared(mask, part.instance.mask)
        for part in parts
        if part.instance.class_index == instance.class_index and not part.touches_tile_border
    ]
    return sum(area for area in covered if area < mask.area / 2) > mask.area / 2


def _group_connected(linked: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    count, labels = connected_components(csr_array(linked), directed=False)
    return [np.flatnonzero(labels == label) for label in range(count)]


def _find_same_objects(parts: Sequence[TileInstance]) -> npt.NDArray[np.bool_]:
    """Finds the pairs of instances that show the same object, (N, N) bool."""
    same = np.zeros((len(parts), len(parts)), bool)
    boxes = _get_boxes(parts)
    for k, part in enumerate(parts):
        for j in _find_near(boxes[:k], part):
            if part.instance.class_index == parts[j].instance.class_index:
                same[k, j] = same[j, k] = _compute_strip_iou(part, parts[j]) > STRIP_IOU
    return same


def _compute_strip_iou(one: TileInstance, other: TileInstance) -> float:
    """Computes the IoU of two masks in the strip that their tiles share."""
    strip = one.tile.intersect(other.tile)
    in_strip = [_count_inside(part.instance.mask, strip) for part in (one, other)]
    both = _count_shared(one.instance.mask, other.instance.mask, strip)
    return both / max(1, sum(in_strip) - both)


def _count_inside(mask: Mask, tile: Tile) -> int:
    return int(np.count_nonzero(_crop_mask(mask, tile)))


def _count_shared(one: Mask, other: Mask, within: Tile | None = None) -> int:
    box = Tile(*one.xyxy)
    window = box.intersect(Tile(*other.xyxy)).intersect(within or box)
    if not window.intersects(box):
        return 0
    return int(np.count_nonzero(_crop_mask(one, window) & _crop_mask(other, window)))


def _crop_mask(mask: Mask, tile: Tile) -> npt.NDArray[np.bool_]:
    """Returns the mask's pixels inside a tile; a view of its crop."""
    left, top = mask.origin_xy
    return mask.crop[
        max(0, tile.top - top) : max(0, tile.bottom - top),
        max(0, tile.left - left) : max(0, tile.right - left),
    ]


def _is_whole_in_one(mask: Mask, tiles: Sequence[Tile]) -> bool:
    box = Tile(*mask.xyxy)
    return any(
        _count_inside(mask, tile) >= SEEN_SHARE * mask.area and not tile.cuts(mask)
        for tile in tiles
        if tile.intersects(box)
    )


def _is_covered(part: TileInstance, other: TileInstance) -> bool:
    mask = part.instance.mask
    return _count_shared(mask, other.instance.mask) > COVERED_SHARE * mask.area


def _get_boxes(parts: Sequence[TileInstance]) -> npt.NDArray[np.int64]:
    return np.array([p.instance.mask.xyxy for p in parts], np.int64).reshape(-1, 4)


def _find_near(boxes: npt.NDArray[np.int64], part: TileInstance) -> list[int]:
    """Finds the boxes that share pixels with the box of an instance."""
    left, top, right, bottom = part.instance.mask.xyxy
    in_x = (boxes[:, 0] < right) & (boxes[:, 2] > left)
    in_y = (boxes[:, 1] < bottom) & (boxes[:, 3] > top)
    indices: list[int] = np.flatnonzero(in_x & in_y).tolist()
    return indices


def _unite_instances(instances: Sequence[Instance]) -> Instance:
    if len(instances) == 1:
        return instances[0]
    best = max(instances, key=lambda i: i.score)
    left, top, right, bottom = (int(v) for v in _enclose_boxes([i.mask.xyxy for i in instances]))
    crop = np.zeros((bottom - top, right - left), bool)
    for mask in (i.mask for i in instances):
        x, y, x_end, y_end = mask.xyxy
        crop[y - top : y_end - top, x - left : x_end - left] |= mask.crop
    mask = Mask(best.mask.image_hw, (left, top), crop)
    box_xyxy = _enclose_boxes([i.box_xyxy for i in instances])
    return dataclasses.replace(best, mask=mask, box_xyxy=box_xyxy)


def _enclose_boxes(boxes: Sequence[BoxXyxy]) -> BoxXyxy:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
