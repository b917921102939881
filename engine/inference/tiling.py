"""Segments concepts on overlapping tiles, for images with many or small instances.

Neighboring tiles share a strip of :data:`OVERLAP` of a tile's side, so that an instance
smaller than the strip is whole in at least one tile. :mod:`.tile_merging` makes one instance
of what several views show of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from ..images import RgbImage
from ..prompts import ConceptPrompt
from ..results import Instance, Mask
from .tile_merging import Tile, merge_views

OVERLAP = 1 / 3
"""Share of a tile's side that it has in common with the next."""

MAX_AUTO_SIDE = 20
"""Most tiles along a side that ``auto`` chooses."""

CROWD_SCORE = 0.2
"""Instances with a lower score do not make a view crowded: with a threshold of 0 every query
is an instance, and tiles would become smaller without end."""

CROWDED_SHARE = 0.5
"""A view on which a concept takes more of the queries than this may be missing instances."""

WELL_SEEN_PX = 42
"""An instance this large in the model's input, three patches, is seen well by the whole view."""

MAX_CACHED_TILES = 4
"""Encodings of more tiles than this are not cached: they would push out other images."""


@dataclasses.dataclass(frozen=True)
class View:
    """A part of an image to be segmented.

    Attributes:
        tile: Its place, in pixels of the image.
        prompt: What to segment there.
        classes: Index into the whole prompt's texts of each of its texts.
        name: For progress; empty for the whole image.
        is_cached: Whether its encoding is worth caching.
        views_left: How many views of the same prompt are known to come, this one included.
    """

    tile: Tile
    prompt: ConceptPrompt
    classes: tuple[int, ...]
    name: str = ""
    is_cached: bool = True
    views_left: int = 1

    def crop(self, image: RgbImage) -> RgbImage:
        """Returns the pixels of this view, a view of ``image``."""
        left, top, right, bottom = self.tile
        return image[top:bottom, left:right]


class TiledSegmentation:
    """Runs a concept prompt on the whole image and, where it asks for them, on tiles.

    Iterating gives the views to segment; :meth:`add` takes the instances of each before the
    next is asked for, :meth:`merge` returns those of the image::

        tiling = TiledSegmentation(image_hw, prompt, queries=200, input_side=1008)
        for view in tiling:
            tiling.add(view, *segment(view.crop(image), view.prompt))
        instances = tiling.merge()

    With ``tiles=1`` there is the whole image alone, with ``tiles=N`` also N x N tiles. With
    ``auto`` the whole image comes first; then, unless the model saw all its pixels and had
    queries to spare, as many tiles as :func:`choose_grid` says; twice as many a side as long
    as one is crowded. Exemplars, which mark a place of the whole image, allow no tiles.

    Attributes:
        grid: Rows and columns of the closest tiles taken so far; (1, 1) for none.
    """

    def __init__(
        self,
        image_hw: tuple[int, int],
        prompt: ConceptPrompt,
        queries: int,
        input_side: int,
    ) -> None:
        """Starts a run.

        Args:
            image_hw: Height and width of the image, in pixels.
            prompt: The prompt.
            queries: Most instances that one concept can have on a view.
            input_side: Side of the model's input, in pixels.
        """
        self._image_hw = image_hw
        self._prompt = prompt
        self._crowd = CROWDED_SHARE * queries
        self._input_side = input_side
        self._whole = Tile(0, 0, image_hw[1], image_hw[0])
        self._whole_instances: list[Instance] = []
        self._tile_instances: list[tuple[Tile, Instance]] = []
        self._tiles: list[Tile] = []
        self._tiled_classes: tuple[int, ...] = ()
        self._crowded: set[int] = set()
        self._truncated: set[str] = set()
        self._best_scores = [0.0] * len(prompt.class_names)
        self.grid = (1, 1)

    @property
    def best_scores(self) -> tuple[float, ...]:
        """Highest score of each class in the views so far."""
        return tuple(self._best_scores)

    @property
    def truncated(self) -> tuple[str, ...]:
        """Classes that have more instances than one of the last views can hold."""
        return tuple(name for name in self._prompt.class_names if name in self._truncated)

    def __iter__(self) -> Iterator[View]:
        every = tuple(range(len(self._prompt.class_names)))
        side = self._prompt.tiles
        if side == 1:
            yield View(self._whole, self._prompt, every)
            return
        if side != "auto":
            count = len(make_tile_grid(self._image_hw, side, side))
            yield View(self._whole, self._prompt, every, views_left=1 + count)
            yield from self._iterate_tiles(side, side, every)
            return
        yield View(self._whole, self._prompt, every)
        if self._prompt.exemplars_xyxy:
            return
        rows, columns = choose_grid(self._image_hw, self._input_side)
        if rows == columns == 1:
            # The model saw every pixel; only a crowd is worth a closer view.
            rows = columns = 2
            every = tuple(k for k in every if k in self._crowded)
        while every:
            self._tile_instances, self._crowded = [], set()
            yield from self._iterate_tiles(rows, columns, every)
            if not self._crowded or rows == columns == MAX_AUTO_SIDE:
                break
            rows, columns = (min(2 * n, MAX_AUTO_SIDE) for n in (rows, columns))

    def _iterate_tiles(self, rows: int, columns: int, classes: tuple[int, ...]) -> Iterator[View]:
        self._tiles = make_tile_grid(self._image_hw, rows, columns)
        self.grid = (rows, columns)
        self._tiled_classes = classes
        self._truncated -= {self._prompt.texts[k] for k in classes}
        prompt = dataclasses.replace(
            self._prompt,
            texts=tuple(self._prompt.texts[k] for k in classes),
            thresholds=tuple(
                self._prompt.thresholds[k] for k in classes if self._prompt.thresholds
            ),
        )
        count = len(self._tiles)
        for index, tile in enumerate(self._tiles):
            name = f"tile {index + 1} of {count}"
            yield View(tile, prompt, classes, name, count <= MAX_CACHED_TILES, count - index)

    def add(
        self,
        view: View,
        instances: list[Instance],
        crowded: list[str],
        best_scores: Sequence[float],
    ) -> None:
        """Adds what was found on a view.

        Args:
            view: The view.
            instances: In pixels of the view; class indices of the view's prompt.
            crowded: Names of the classes that took more than :data:`CROWDED_SHARE` of the
                queries.
            best_scores: The highest score of each class of the view's prompt.
        """
        self._truncated.update(crowded)
        for k, score in zip(view.classes, best_scores, strict=True):
            self._best_scores[k] = max(self._best_scores[k], score)
        found = [dataclasses.replace(i, class_index=view.classes[i.class_index]) for i in instances]
        counts = Counter(i.class_index for i in found if i.score > CROWD_SCORE)
        self._crowded.update(k for k, count in counts.items() if count > self._crowd)
        if not view.name:
            self._whole_instances += found
            return
        for instance in found:
            if instance.mask.area:
                moved = _move_to_image(instance, view.tile, self._image_hw)
                self._tile_instances.append((view.tile, moved))

    def merge(self) -> list[Instance]:
        """Merges the instances of all views, in pixels of the image."""
        if not self._tiles:
            return self._whole_instances
        strip_px = OVERLAP * min(min(t.right - t.left, t.bottom - t.top) for t in self._tiles)
        well_seen_px = WELL_SEEN_PX * max(self._image_hw) / self._input_side
        untiled, well_seen = [], []
        for instance in self._whole_instances:
            if instance.class_index not in self._tiled_classes:
                untiled.append(instance)
            # Anything smaller is whole in a tile, which shows it in more detail.
            elif _is_well_seen(instance.mask, min(strip_px, well_seen_px)):
                well_seen.append(instance)
        return [*untiled, *merge_views(self._tile_instances, self._tiles, well_seen)]


def _is_well_seen(mask: Mask, extent_px: float) -> bool:
    """Tells whether the largest connected part of a mask is larger than ``extent_px``.

    The whole view of many small things gives masks with specks far apart, in a large box.
    """
    if max(mask.crop.shape) <= extent_px:
        return False
    _, _, parts, _ = cv2.connectedComponentsWithStats(mask.crop.astype(np.uint8))
    inside = parts[1:]
    largest = inside[inside[:, cv2.CC_STAT_AREA].argmax()]
    return bool(max(largest[cv2.CC_STAT_WIDTH], largest[cv2.CC_STAT_HEIGHT]) > extent_px)


def make_tile_grid(image_hw: tuple[int, int], rows: int, columns: int) -> list[Tile]:
    """Makes overlapping tiles of equal size that cover an image.

    Args:
        image_hw: Height and width of the image, in pixels.
        rows: Tiles from top to bottom; fewer where they would have no pixels of their own.
        columns: Tiles from left to right, likewise.

    Returns:
        The tiles, row by row.
    """
    vertical, horizontal = (
        _make_intervals(length, count)
        for length, count in zip(image_hw, (rows, columns), strict=True)
    )
    return [
        Tile(left, top, right, bottom) for top, bottom in vertical for left, right in horizontal
    ]


def _make_intervals(length: int, count: int) -> list[tuple[int, int]]:
    count = min(count, length)
    side = min(length, math.ceil(length / (count - (count - 1) * OVERLAP)))
    starts = np.linspace(0, length - side, count).round().astype(int).tolist()
    return [(start, start + side) for start in starts]


def choose_grid(image_hw: tuple[int, int], input_side: int) -> tuple[int, int]:
    """Chooses tiles of about the size of the model's input, which shows their own pixels.

    Args:
        image_hw: Height and width of the image, in pixels.
        input_side: Side of the model's input, in pixels.

    Returns:
        Rows and columns, at most :data:`MAX_AUTO_SIDE` each.
    """
    height, width = (
        max(1, min(MAX_AUTO_SIDE, round((n / input_side - OVERLAP) / (1 - OVERLAP))))
        for n in image_hw
    )
    return height, width


def _move_to_image(instance: Instance, tile: Tile, image_hw: tuple[int, int]) -> Instance:
    mask = instance.mask
    origin = mask.origin_xy[0] + tile.left, mask.origin_xy[1] + tile.top
    left, top, right, bottom = instance.box_xyxy
    box = left + tile.left, top + tile.top, right + tile.left, bottom + tile.top
    return dataclasses.replace(instance, box_xyxy=box, mask=Mask(image_hw, origin, mask.crop))
