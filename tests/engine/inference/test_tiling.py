"""Concepts on overlapping tiles: where they lie, what they are joined to, what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from infer_segment_anything_3.engine import ConceptPrompt, Engine, Instance, Mask
from infer_segment_anything_3.engine.inference.tile_merging import Tile, merge_views
from infer_segment_anything_3.engine.inference.tiling import (
    MAX_CACHED_TILES,
    OVERLAP,
    TiledSegmentation,
    choose_grid,
    make_tile_grid,
)
from infer_segment_anything_3.tools.tiny_shapes.heldout.crowded_images import crowd
from infer_segment_anything_3.tools.tiny_shapes.heldout.matching import (
    compute_ious,
    count_hits,
    get_true_mask,
)
from infer_segment_anything_3.tools.tiny_shapes.scenes import KINDS, Scene, draw_scene

CELLS = 84
"""Side of the mask grid of a simulated model that is no worse than a small one."""

Find = Callable[[npt.NDArray[np.uint8], Tile], Iterable[Instance]]
"""Finds instances on the pixels of a tile, in pixels of the tile."""


def find_on_tiles(image: npt.NDArray[np.uint8], tiles: list[Tile], find: Find) -> list[Instance]:
    """Merges what is found on tiles alone."""
    image_hw = image.shape[:2]
    found = []
    for tile in tiles:
        left, top, right, bottom = tile
        for i in find(image[top:bottom, left:right], tile):
            x, y = i.mask.origin_xy
            moved = Mask(image_hw, (x + left, y + top), i.mask.crop)
            box = np.add(i.box_xyxy, (left, top, left, top)).tolist()
            found.append((tile, Instance(i.class_index, i.score, tuple(box), moved)))
    return merge_views(found, tiles)


def segment_tiled(
    image: npt.NDArray[np.uint8], tiles: int | str, find: Find, whole: list[Instance]
) -> list[Instance]:
    """Runs one concept on the whole image and on tiles, for a model of input side 84."""
    prompt = ConceptPrompt(("thing",), tiles=tiles)
    tiling = TiledSegmentation(image.shape[:2], prompt, queries=200, input_side=84)
    for view in tiling:
        found = list(find(view.crop(image), view.tile)) if view.name else whole
        tiling.add(view, found, [], [0.5])
    return tiling.merge()


@pytest.mark.parametrize(
    ("image_hw", "rows", "columns"),
    [((2000, 3000), 6, 6), ((2000, 3000), 8, 12), ((101, 57), 3, 2), ((5, 3), 16, 16)],
)
def test_tiles_cover_the_image_and_overlap(
    image_hw: tuple[int, int], rows: int, columns: int
) -> None:
    tiles = make_tile_grid(image_hw, rows, columns)
    seen = np.zeros(image_hw, int)
    for left, top, right, bottom in tiles:
        assert 0 <= left < right <= image_hw[1] and 0 <= top < bottom <= image_hw[0]
        seen[top:bottom, left:right] += 1
    assert seen.min() == 1
    assert len({(t.right - t.left, t.bottom - t.top) for t in tiles}) == 1
    assert len(tiles) == min(rows, image_hw[0]) * min(columns, image_hw[1])
    first, second = tiles[:2]
    shared = first.right - second.left
    assert shared >= OVERLAP * (first.right - first.left) - 2


@pytest.mark.parametrize(
    ("image_hw", "grid"),
    [((336, 336), (1, 1)), ((400, 300), (1, 1)), ((200, 900), (1, 4)), ((9000, 2000), (20, 8))],
)
def test_automatic_tiles_show_the_image_s_own_pixels(
    image_hw: tuple[int, int], grid: tuple[int, int]
) -> None:
    assert choose_grid(image_hw, 336) == grid


def simulate_model(scene: Scene, rng: np.random.Generator) -> Find:
    """Finds what the scene has on a tile, as ragged as a model's mask grid, cut or whole."""

    def find(pixels: npt.NDArray[np.uint8], tile: Tile) -> Iterator[Instance]:
        for shape in scene.shapes:
            visible = shape.mask[tile.top : tile.bottom, tile.left : tile.right]
            if np.count_nonzero(visible) < 0.1 * np.count_nonzero(shape.crop):
                continue
            cells = cv2.resize(visible.astype(np.float32), (CELLS, CELLS), None, 0, 0, 3)
            cells += (cells > 0) * rng.normal(0, 0.2, cells.shape).astype(np.float32)
            mask = Mask.from_full(cv2.resize(cells, visible.shape[::-1]) > 0.5)
            if mask.area:
                left, top, right, bottom = mask.xyxy
                yield Instance(
                    KINDS.index(shape.kind), rng.uniform(0.5, 1), (left, top, right, bottom), mask
                )

    return find


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("grid", "extent_range", "count"),
    [
        ((3, 3), (0.03, 0.07), 60),
        ((5, 4), (0.03, 0.07), 60),
        ((2, 6), (0.04, 0.1), 40),
        ((4, 4), (0.2, 0.6), 6),  # larger than the strip, and some larger than a tile
        ((8, 8), (0.2, 0.5), 6),
    ],
)
def test_each_thing_is_found_once_whatever_borders_it_crosses(
    grid: tuple[int, int], extent_range: tuple[float, float], count: int, seed: int
) -> None:
    rng = np.random.default_rng((seed, count))
    scene = draw_scene(rng, (700, 1000), (count, count), 1.4, extent_range)
    tiles = make_tile_grid(scene.shapes[0].image_hw, *grid)
    found = find_on_tiles(scene.image, tiles, simulate_model(scene, rng))
    truth = [get_true_mask(shape) for shape in scene.shapes]
    assert len(found) == len(truth)
    assert count_hits([i.mask for i in found], truth, 0.5) == len(truth)
    pairs = compute_ious([i.mask for i in found], truth)
    for instance, shape in zip(found, pairs.argmax(axis=1), strict=True):
        assert KINDS[instance.class_index] == scene.shapes[shape].kind
        assert np.abs(np.subtract(instance.box_xyxy, instance.mask.xyxy)).max() <= 30


def make_instance(full: npt.NDArray[np.bool_], score: float) -> Instance:
    mask = Mask.from_full(full)
    left, top, right, bottom = mask.xyxy
    return Instance(0, score, (left, top, right, bottom), mask)


def draw_disc(center_xy: tuple[int, int], radius_px: int) -> npt.NDArray[np.bool_]:
    canvas = np.zeros((400, 400), np.uint8)
    return cv2.circle(canvas, center_xy, radius_px, 1, -1).astype(bool)


IMAGE = np.zeros((400, 400, 3), np.uint8)


def test_what_is_too_large_for_tiles_comes_from_the_whole_view() -> None:
    disc = draw_disc((200, 200), 170)
    large, dot = make_instance(disc, 0.6), make_instance(draw_disc((10, 10), 5), 0.6)
    corners = (make_tile_grid((400, 400), 3, 3)[k] for k in (0, 8))
    seen = list(corners)

    def corner_only(pixels: npt.NDArray[np.uint8], tile: Tile) -> list[Instance]:
        piece = disc[tile.top : tile.bottom, tile.left : tile.right]
        return [make_instance(piece, 0.9)] if tile in seen and piece.any() else []

    assert segment_tiled(IMAGE, 3, corner_only, [large, dot]) == [large]


@pytest.mark.parametrize("tiles", [2, "auto"])
@pytest.mark.parametrize(
    ("radius_px", "piece_xyxy"),
    [
        (60, (180, 180, 260, 260)),  # a quarter of it, with a better score
        (60, (200, 100, 300, 300)),  # half of it
        (60, (195, 195, 205, 205)),  # a splinter
        (190, (0, 0, 266, 266)),  # larger than a tile
    ],
)
def test_a_part_on_a_tile_does_not_displace_what_the_whole_view_shows(
    tiles: int | str, radius_px: int, piece_xyxy: tuple[int, int, int, int]
) -> None:
    disc = draw_disc((200, 200), radius_px)
    left, top, right, bottom = piece_xyxy
    part = np.zeros_like(disc)
    part[top:bottom, left:right] = disc[top:bottom, left:right]
    whole = make_instance(disc, 0.7)

    def find(pixels: npt.NDArray[np.uint8], tile: Tile) -> list[Instance]:
        piece = part[tile.top : tile.bottom, tile.left : tile.right]
        return [make_instance(piece, 0.95)] if piece.any() else []

    assert segment_tiled(IMAGE, tiles, find, [whole]) == [whole]


def test_a_tile_that_shows_all_of_it_shows_it_in_more_detail() -> None:
    disc = draw_disc((90, 90), 60)
    coarse = make_instance(draw_disc((91, 90), 62), 0.9)

    def find(pixels: npt.NDArray[np.uint8], tile: Tile) -> list[Instance]:
        piece = disc[tile.top : tile.bottom, tile.left : tile.right]
        return [make_instance(piece, 0.8)] if piece.any() else []

    (found,) = segment_tiled(IMAGE, 2, find, [coarse])
    assert np.array_equal(found.mask.full(), disc)


@pytest.mark.parametrize("tiles", [2, "auto"])
def test_specks_all_over_the_whole_view_are_no_object(tiles: int | str) -> None:
    specks = np.zeros((400, 400), bool)
    specks[40:360:80, 40:360:80] = True
    dot_and_speck = draw_disc((30, 30), 8)
    dot_and_speck[300, 300] = True
    found = segment_tiled(
        IMAGE, tiles, lambda *_: [], [make_instance(m, 0.95) for m in (specks, dot_and_speck)]
    )
    assert found == []


def test_a_group_taken_for_one_object_is_split() -> None:
    def four(pixels: npt.NDArray[np.uint8], tile: Tile) -> list[Instance]:
        image = np.zeros((400, 400), bool)
        x, y = 60 * (tile.left > 0), 60 * (tile.top > 0)
        image[150 + y : 195 + y, 150 + x : 195 + x] = True
        return [make_instance(image[tile.top : tile.bottom, tile.left : tile.right], 0.7)]

    blob = np.zeros((400, 400), bool)
    blob[145:260, 145:260] = True
    found = segment_tiled(IMAGE, 2, four, [make_instance(blob, 0.99)])
    assert sorted(i.mask.area for i in found) == [45 * 45] * 4


@pytest.fixture
def fresh_engine(tiny_engine: Engine) -> Engine:
    return Engine(tiny_engine.model, tiny_engine.image_size, "float32")


def test_tiles_do_not_push_images_out_of_the_cache(
    fresh_engine: Engine, scene: Callable[..., Scene]
) -> None:
    image = scene(1).image
    fresh_engine.segment(image, ConceptPrompt(("circle",)))
    steps: list[str] = []
    fresh_engine.segment(image, ConceptPrompt(("circle",), tiles=3), on_step=steps.append)
    assert fresh_engine.encodings == 1 + 9
    assert len(fresh_engine.image_cache) == 1
    assert steps[:2] == ["encode", "concept: circle"]
    assert steps[2] == "tile 1 of 9: encode" and steps[-1] == "tile 9 of 9: concept: circle"
    for tiles in (2, 2, 1):
        fresh_engine.segment(image, ConceptPrompt(("circle",), tiles=tiles))
        assert fresh_engine.encodings == 10 + MAX_CACHED_TILES


def test_a_run_can_be_stopped_between_tiles(fresh_engine: Engine) -> None:
    image = draw_scene(np.random.default_rng(1), (240, 480)).image

    def stop(step: str) -> None:
        if step.startswith("tile 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fresh_engine.segment(image, ConceptPrompt(("circle",), tiles=4), on_step=stop)
    assert fresh_engine.encodings == 1 + 2
    assert fresh_engine.segment(image, ConceptPrompt(("circle",))).class_names == ("circle",)


def test_exemplars_and_tiles(fresh_engine: Engine) -> None:
    scene = draw_scene(np.random.default_rng(1), (700, 800))
    left, top, right, bottom = scene.shapes[0].xyxy.tolist()
    boxes = ((left, top, right, bottom),)
    with pytest.raises(ValueError, match=r"^tiles: expected off or auto with exemplar.*got 3$"):
        fresh_engine.segment(scene.image, ConceptPrompt(exemplars_xyxy=boxes, tiles=3))
    whole = fresh_engine.segment(scene.image, ConceptPrompt(exemplars_xyxy=boxes))
    auto = fresh_engine.segment(scene.image, ConceptPrompt(exemplars_xyxy=boxes, tiles="auto"))
    assert [i.score for i in auto.instances] == [i.score for i in whole.instances]
    assert whole.class_names == auto.class_names == ("exemplar",)
    assert fresh_engine.encodings == 1
    many = ConceptPrompt(exemplars_xyxy=boxes, confidence_threshold=0.0, tiles="auto")
    assert fresh_engine.segment(scene.image, many).truncated == ("exemplar",)


def test_a_concept_that_takes_most_queries_is_named(
    fresh_engine: Engine, scene: Callable[..., Scene]
) -> None:
    image = scene(1).image
    prompt = ConceptPrompt(("star", "circle"), (None, 0.0), confidence_threshold=1.0)
    result = fresh_engine.segment(image, prompt)
    assert result.truncated == ("circle",)
    assert len(result.instances) == fresh_engine.model.transformer.decoder.num_queries
    filtered = ConceptPrompt(("star", "circle"), (1.0, 0.0), overlap="best", min_area_px=10)
    assert fresh_engine.segment(image, filtered).truncated == ("circle",)
    tiled = ConceptPrompt(("star", "circle"), (1.0, 0.0), tiles=2)
    assert fresh_engine.segment(image, tiled).truncated == ("circle",)


def test_automatic_tiles_look_again_only_at_what_was_crowded(
    fresh_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With a threshold of 0 and no bound on the score every tile is full.
    module = "infer_segment_anything_3.engine.inference.tiling"
    monkeypatch.setattr(f"{module}.MAX_AUTO_SIDE", 2)
    monkeypatch.setattr(f"{module}.CROWD_SCORE", -1.0)
    image = draw_scene(np.random.default_rng(3), (200, 230)).image
    steps: list[str] = []
    prompt = ConceptPrompt(("zebra", "circle"), (1.0, 0.0), tiles="auto")
    result = fresh_engine.segment(image, prompt, on_step=steps.append)
    assert steps[:3] == ["encode", "concept: zebra", "concept: circle"]
    assert "tile 4 of 4: concept: circle" in steps
    assert not any("tile" in step and "zebra" in step for step in steps)
    assert {i.class_index for i in result.instances} == {1}
    steps.clear()
    fresh_engine.segment(image, ConceptPrompt(("zebra",), tiles="auto"), on_step=steps.append)
    assert steps == ["encode", "concept: zebra"]


def test_a_threshold_of_zero_does_not_call_for_ever_smaller_tiles(
    fresh_engine: Engine, scene: Callable[..., Scene]
) -> None:
    image = scene(3, side_range_px=(600, 700)).image
    steps: list[str] = []
    prompt = ConceptPrompt(("circle",), confidence_threshold=0.0, tiles="auto")
    fresh_engine.segment(image, prompt, on_step=steps.append)
    rows, columns = choose_grid((image.shape[0], image.shape[1]), fresh_engine.image_size)
    assert steps.count("encode") + sum(step.endswith(": encode") for step in steps) == (
        1 + rows * columns
    )


def found_on_tiles(engine: Engine, scene: Scene, tiles: int | str) -> tuple[int, int]:
    """How many shapes of a scene were found by their kinds, and how many of them twice."""
    result = engine.segment(scene.image, ConceptPrompt(KINDS, tiles=tiles))
    matched = repeated = 0
    for class_index, kind in enumerate(KINDS):
        found = [i.mask for i in result.instances if i.class_index == class_index]
        truth = [get_true_mask(shape) for shape in scene.find_matching(kind)]
        matched += count_hits(found, truth, 0.5)
        repeated += int(((compute_ious(found, truth) >= 0.5).sum(axis=0) > 1).sum())
    return matched, repeated


@pytest.mark.parametrize("tiles", [4, "auto"])
def test_nearly_all_of_many_small_shapes_are_found_and_none_twice(
    tiny_engine: Engine, tiles: int | str
) -> None:
    # In tiles that show the image's own pixels these are as large as the shapes of any scene.
    side_px = round(3.125 * tiny_engine.image_size)
    matched = count = 0
    for seed in range(3):
        rng = np.random.default_rng((31, seed))
        scene = draw_scene(rng, (side_px, side_px + 1), (50, 50), 1.0, (0.05, 0.085))
        found, repeated = found_on_tiles(tiny_engine, scene, tiles)
        assert repeated == 0
        matched += found
        count += len(scene.shapes)
    assert count >= 0.98 * 150
    assert matched >= 0.95 * count


@pytest.mark.slow
def test_nearly_all_of_500_small_shapes_are_found_and_none_twice(tiny_engine: Engine) -> None:
    scene = crowd(0, 0)
    matched, repeated = found_on_tiles(tiny_engine, scene, "auto")
    assert len(scene.shapes) >= 490
    assert matched >= 0.95 * len(scene.shapes)
    assert repeated == 0
