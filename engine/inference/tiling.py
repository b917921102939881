"""Concepts on overlapping tiles, for images with more or smaller things than one view shows.

Neighbouring tiles share a strip of :data:`OVERLAP` of a tile's side, so that whatever is
smaller than the strip is seen whole by one tile at least. What two tiles saw becomes one
instance where their masks agree in the strip; boxes are never compared, because the box of
a cut thing says little.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ..prompts import ConceptPrompt
from ..results import Instance, Mask
from .tile_merging import Part, Tile, best_views, is_a_clump, merged

OVERLAP = 1 / 3
"""Share of a tile's side that it has in common with the next."""

CROWDED_SHARE = 0.5
"""With more of its queries taken, a view may be missing things."""

MAX_AUTO_SIDE = 20
"""Most tiles along a side that are chosen by themselves."""

KEPT_TILES = 4
"""Up to so many encoded tiles go to the image cache; more would only push one another out."""

RgbImage = npt.NDArray[np.uint8]
StepCallback = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class View:
    """What a concept prompt gave on one view.

    Attributes:
        instances: In pixels of the view.
        truncated: Texts that filled every query.
        was_cached: Whether the view had been encoded before.
    """

    instances: tuple[Instance, ...]
    truncated: tuple[str, ...]
    was_cached: bool


Look = Callable[[RgbImage, ConceptPrompt, bool, StepCallback], View]
"""Runs a prompt on the pixels of one view; the flag says whether to keep the encoding."""


def look_closer(
    image: RgbImage,
    prompt: ConceptPrompt,
    look: Look,
    queries: int,
    image_size: int,
    on_step: StepCallback,
) -> View:
    """Runs a prompt whose ``tiles`` is not 1.

    With ``tiles`` 0 the whole image is seen first, and then, unless the model saw all its
    pixels and had queries to spare, as many tiles as :func:`automatic_grid` says; twice as
    many a side as long as one is still full. Exemplars, which show one place of the whole
    image, leave it at the first look.

    Args:
        image: (H, W, 3) uint8.
        prompt: The prompt.
        look: Runs a prompt on a view.
        queries: The most instances that one concept can give on a view.
        image_size: Side of the model's input, in pixels.
        on_step: Called after every step on every view.

    Returns:
        What was found, in pixels of the image.

    Raises:
        ValueError: If ``tiles`` asks for tiles and there are exemplars.
    """
    every = range(len(prompt.texts))
    if prompt.tiles:
        if prompt.exemplars_xyxy:
            raise ValueError(
                "tiles: expected off or auto with exemplar boxes, which the model sees only in "
                f"the whole image, got {prompt.tiles}"
            )
        return _look_at_tiles(image, prompt, every, (prompt.tiles,) * 2, look, on_step)
    image_hw = image.shape[0], image.shape[1]
    whole = look(image, prompt, True, on_step)
    by_class = [[i for i in whole.instances if i.class_index == k] for k in every]
    rows, columns = automatic_grid(image_hw, image_size)
    saw_all_pixels = rows == columns == 1
    crowd = CROWDED_SHARE * queries
    again = [k for k in every if not saw_all_pixels or len(by_class[k]) > crowd]
    if prompt.exemplars_xyxy or not again:
        return whole
    if saw_all_pixels:
        rows = columns = 2
    large = [i for k in again for i in by_class[k]]
    while True:
        closer = _look_at_tiles(image, prompt, again, (rows, columns), look, on_step, large)
        if not closer.truncated or rows == columns == MAX_AUTO_SIDE:
            break
        rows, columns = (min(2 * n, MAX_AUTO_SIDE) for n in (rows, columns))
    kept = [i for k in every if k not in again for i in by_class[k]]
    return View((*kept, *closer.instances), closer.truncated, whole.was_cached)


def _look_at_tiles(
    image: RgbImage,
    prompt: ConceptPrompt,
    classes: Sequence[int],
    grid: tuple[int, int],
    look: Look,
    on_step: StepCallback,
    whole_view: Sequence[Instance] = (),
) -> View:
    """Looks for some of a prompt's concepts on tiles; class indices are those of the prompt."""
    tiles = tile_grid((image.shape[0], image.shape[1]), *grid)
    asked = dataclasses.replace(
        prompt,
        texts=tuple(prompt.texts[k] for k in classes),
        thresholds=tuple(prompt.thresholds[k] for k in classes if prompt.thresholds),
    )
    views: list[View] = []

    def find(pixels: RgbImage, index: int) -> list[Instance]:
        where = f"tile {index + 1} of {len(tiles)}"
        keep = len(tiles) <= KEPT_TILES
        view = look(pixels, asked, keep, lambda step: on_step(f"{where}: {step}"))
        views.append(dataclasses.replace(view, instances=()))
        return [dataclasses.replace(i, class_index=classes[i.class_index]) for i in view.instances]

    instances = find_on_tiles(image, tiles, find, whole_view)
    full = {text for view in views for text in view.truncated}
    return View(
        tuple(instances),
        tuple(text for text in asked.texts if text in full),
        all(view.was_cached for view in views),
    )


def tile_grid(image_hw: tuple[int, int], rows: int, columns: int) -> list[Tile]:
    """Overlapping tiles of equal size that cover an image.

    Args:
        image_hw: Height and width of the image, in pixels.
        rows: Tiles from top to bottom; fewer where they would have no pixels of their own.
        columns: Tiles from left to right, likewise.

    Returns:
        The tiles, row by row.
    """
    vertical, horizontal = (
        _intervals(length, count) for length, count in zip(image_hw, (rows, columns), strict=True)
    )
    return [
        Tile(left, top, right, bottom) for top, bottom in vertical for left, right in horizontal
    ]


def _intervals(length: int, count: int) -> list[tuple[int, int]]:
    count = min(count, length)
    side = min(length, math.ceil(length / (count - (count - 1) * OVERLAP)))
    starts = np.linspace(0, length - side, count).round().astype(int).tolist()
    return [(start, start + side) for start in starts]


def automatic_grid(image_hw: tuple[int, int], image_size: int) -> tuple[int, int]:
    """Rows and columns for which the model sees an image's own pixels, about.

    Args:
        image_hw: Height and width of the image, in pixels.
        image_size: Side of the model's input, in pixels.

    Returns:
        Tiles along each side, at most :data:`MAX_AUTO_SIDE`.
    """
    height, width = (
        max(1, min(MAX_AUTO_SIDE, round((n / image_size - OVERLAP) / (1 - OVERLAP))))
        for n in image_hw
    )
    return height, width


def find_on_tiles(
    image: RgbImage,
    tiles: Sequence[Tile],
    find: Callable[[RgbImage, int], Iterable[Instance]],
    whole_view: Iterable[Instance] = (),
) -> list[Instance]:
    """Looks for things on one tile after the other and joins what belongs together.

    Args:
        image: (H, W, 3) uint8.
        tiles: Where to look; :func:`tile_grid`.
        find: Gives the instances on a tile's pixels, in pixels of the tile; its second
            argument is the tile's index.
        whole_view: What was found on the whole image. Used for things too large to be
            whole in a tile.

    Returns:
        Instances in pixels of the image, each thing once.
    """
    image_hw = image.shape[0], image.shape[1]
    parts = []
    for index, tile in enumerate(tiles):
        pixels = image[tile.top : tile.bottom, tile.left : tile.right]
        for found in find(pixels, index):
            instance = _moved(found, tile, image_hw)
            parts.append(Part(tile, instance, tile.cuts(instance.mask)))
    parts = best_views([part for part in parts if part.instance.mask.area], tiles)
    strip = OVERLAP * min(min(t.right - t.left, t.bottom - t.top) for t in tiles)
    everywhere = Tile(0, 0, image_hw[1], image_hw[0])
    large = [
        Part(everywhere, i, False)
        for i in whole_view
        if _longer_side(i.mask) > strip and not is_a_clump(i, parts)
    ]
    return merged([*parts, *large])


def _moved(instance: Instance, tile: Tile, image_hw: tuple[int, int]) -> Instance:
    mask = instance.mask
    origin = mask.origin_xy[0] + tile.left, mask.origin_xy[1] + tile.top
    left, top, right, bottom = instance.box_xyxy
    box = left + tile.left, top + tile.top, right + tile.left, bottom + tile.top
    return dataclasses.replace(instance, box_xyxy=box, mask=Mask(image_hw, origin, mask.crop))


def _longer_side(mask: Mask) -> int:
    return max(mask.crop.shape)
