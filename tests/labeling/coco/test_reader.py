"""COCO files as people have them: what is used, with which note, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api

from infer_segment_anything_3.labeling.coco import parse_coco, read_coco

from .coco_files import COMPRESSED, HEIGHT, RLE, RUNS, TRIANGLE, WIDTH, change, make_coco

NAN, INF = float("nan"), float("inf")
FIRST = ("annotations", 0)
SHAPE = (*FIRST, "segmentation")
HUGE = [[0, 0] + [10**6, 0, 0, 10**6] * 9]


def count_pixels(data: dict[str, Any], index: int = 0) -> int:
    return int(parse_coco("coco", data).annotations[index].decode_mask((HEIGHT, WIDTH)).sum())


def test_what_is_in_the_file_comes_out_typed() -> None:
    data = parse_coco("coco", make_coco())
    assert data.notes == ()
    assert [(image.id, image.file_name, image.hw) for image in data.images] == [
        (3, "3.png", (HEIGHT, WIDTH)),
        (4, "4.png", (HEIGHT, WIDTH)),
    ]
    assert {c.id: c.name for c in data.categories} == {7: "thing", 2: "other"}
    assert [a.id for a in data.annotations] == [11, 12, 13, 14]
    assert data.annotations[3].box_xywh == (20, 20, 9.5, 8)
    assert data.annotations[3].box_xyxy == (20, 20, 29.5, 28)
    assert (data.annotations[3].is_crowd, data.annotations[3].area_px) == (True, 70.5)
    expected = mask_api.decode(mask_api.frPyObjects([TRIANGLE], HEIGHT, WIDTH))[:, :, 0]
    assert np.array_equal(data.annotations[0].decode_mask((HEIGHT, WIDTH)), expected)
    column = np.zeros((HEIGHT, WIDTH), bool)
    column[5:15, 0] = True
    for annotation in data.annotations[1:3]:
        assert np.array_equal(annotation.decode_mask((HEIGHT, WIDTH)), column)
    assert [a.id for a in data.take_first(1).annotations] == [11, 13]
    assert data.take_first(0) is data


@pytest.mark.parametrize(
    ("path", "value", "note"),
    [
        ((*FIRST, "bbox"), ..., "1 annotation without a bbox, which is taken from its mask: 11"),
        ((*FIRST, "bbox"), None, "1 annotation without a bbox, which is taken from its mask: 11"),
        ((*FIRST, "bbox"), [], "1 annotation without a bbox, which is taken from its mask: 11"),
        (
            (*FIRST, "bbox"),
            [10, 10, 0, 0],
            "1 annotation without a bbox, which is taken from its mask: 11",
        ),
        ((*FIRST, "image_id"), 99, "1 annotation left out, of an unknown image: 11"),
        ((*FIRST, "category_id"), 99, "1 annotation left out, of an unknown category: 11"),
        ((*FIRST, "id"), 12, "1 annotation with an id that another one has, given a new one: 12"),
        ((*FIRST, "id"), ..., "1 annotation without an id, given a new one: annotations[0]"),
        ((*FIRST, "bbox"), [900, 10, 5, 5], "1 annotation left out, its box lies outside its"),
        (
            FIRST,
            {"id": 11, "image_id": 3, "category_id": 7, "bbox": [1, 1, 0, 5]},
            "1 annotation left out, its box has no area: 11",
        ),
        (
            SHAPE,
            [TRIANGLE, [1, 1, 9, 9], []],
            "1 annotation with polygons of fewer than three points, left out: 11",
        ),
        (("categories", 1), {"id": 7, "name": "thing"}, "1 category id is listed twice with"),
        (("images", 1), {"id": 4, "file_name": "4.png"}, "1 image listed twice, used once: 4"),
        # Without a note: nothing is lost.
        (SHAPE, ..., None),
        (SHAPE, None, None),
        (SHAPE, [], None),
        (SHAPE, {}, None),
        (SHAPE, TRIANGLE, None),
        (SHAPE, {"counts": RUNS}, None),
        (SHAPE, {"size": [HEIGHT, WIDTH], "counts": COMPRESSED.encode()}, None),
        (SHAPE, {"size": [HEIGHT, WIDTH], "counts": str(COMPRESSED.encode())}, None),
        (SHAPE, {"size": [40.0, "60"], "counts": [float(run) for run in RUNS]}, None),
        ((*FIRST, "iscrowd"), None, None),
        ((*FIRST, "iscrowd"), True, None),
        ((*FIRST, "area"), NAN, None),
        ((*FIRST, "area"), "9", None),
        ((*FIRST, "id"), "11", None),
        ((*FIRST, "image_id"), 3.0, None),
        ((*FIRST, "id"), 0, None),
        (("annotations",), [], None),
        (("info",), None, None),
    ],
)
def test_what_can_be_used_is_used_and_noted(
    path: tuple[Any, ...], value: Any, note: str | None
) -> None:
    data = parse_coco("coco", change(path, value))
    if note is None:
        assert data.notes == ()
    else:
        assert any(found.startswith(note) for found in data.notes), data.notes
    ids = [a.id for a in data.annotations]
    assert len(set(ids)) == len(ids)
    assert all(a.box_xywh[2] > 0 and a.box_xywh[3] > 0 for a in data.annotations)


def test_derived_boxes_and_parts_are_right() -> None:
    no_box = parse_coco("coco", change((*FIRST, "bbox"), ...))
    assert no_box.annotations[0].box_xywh == (10, 10, 30, 20)
    no_box = parse_coco("coco", change(("annotations", 2, "bbox"), None))
    assert no_box.annotations[2].box_xywh == (0, 5, 1, 10)
    # Two points are a box to pycocotools: they must not fill one here.
    assert count_pixels(change(SHAPE, [TRIANGLE, [0, 0, 59, 39]])) == count_pixels(make_coco())
    assert parse_coco("coco", change(SHAPE, [[0, 0, 9, 9]])).annotations[0].mask is None
    assert count_pixels(change(SHAPE, {"size": [40, 60], "counts": str(COMPRESSED.encode())})) == 10


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ((*FIRST, "bbox"), [1, 2, 3], "annotation 11: bbox: expected [x, y, width, height]"),
        ((*FIRST, "bbox"), [1, 2, -3, 4], "annotation 11: bbox: expected [x, y, width, height]"),
        ((*FIRST, "bbox"), [1, 2, NAN, 4], "annotation 11: bbox: expected "),
        ((*FIRST, "bbox"), [1, 2, INF, 4], "annotation 11: bbox: expected "),
        ((*FIRST, "bbox"), [1, 2, "3", 4], "annotation 11: bbox: expected "),
        ((*FIRST, "bbox"), [1, 2, None, 4], "annotation 11: bbox: expected "),
        ((*FIRST, "bbox"), [1, 2, [3], 4], "annotation 11: bbox: expected "),
        ((*FIRST, "bbox"), [1, 2, 10**400, 4], "annotation 11: bbox: expected "),
        ((*FIRST, "bbox"), {"x": 1}, "annotation 11: bbox: expected "),
        ((*FIRST, "bbox"), "1 2 3 4", "annotation 11: bbox: expected "),
        (SHAPE, [[1, 2, 3, 4, 5]], "annotation 11: segmentation: expected an even number of"),
        (SHAPE, [[1, 2, 3, 4, 5, NAN]], "annotation 11: segmentation: expected polygons"),
        (SHAPE, [[1, 2, 3, 4, 5, INF]], "annotation 11: segmentation: expected polygons"),
        (SHAPE, [[1, 2, 3, 4, 5, None]], "annotation 11: segmentation: expected polygons"),
        (SHAPE, [[1, 2, 3, 4, 5, "6"]], "annotation 11: segmentation: expected polygons"),
        (SHAPE, [[1, 2, 3, 4, 5, 1e9]], "annotation 11: segmentation: expected polygons"),
        (SHAPE, [[[1, 2], [3, 4], [5, 6], [7, 8]]], "annotation 11: segmentation: expected "),
        (SHAPE, [[1, [2], 3, 4, 5, 6]], "annotation 11: segmentation: expected polygons"),
        (SHAPE, [TRIANGLE, None], "annotation 11: segmentation: expected polygons"),
        (SHAPE, "polygon", "annotation 11: segmentation: expected polygons or run lengths"),
        (SHAPE, 5, "annotation 11: segmentation: expected polygons or run lengths"),
        (SHAPE, HUGE, "annotation 11: segmentation: expected a polygon with an outline of at"),
        (SHAPE, {**RLE, "size": [60, 40]}, "annotation 11: segmentation.size: expected [40, 60]"),
        (SHAPE, {**RLE, "size": [40]}, "annotation 11: segmentation.size: expected [height,"),
        (SHAPE, {**RLE, "size": [10**9, 10**9]}, "annotation 11: segmentation.size: expected "),
        (SHAPE, {**RLE, "counts": None}, "annotation 11: segmentation.counts: expected run"),
        (SHAPE, {**RLE, "counts": [5, -5, 2400]}, "annotation 11: segmentation.counts: expected"),
        (SHAPE, {**RLE, "counts": [5, "5"]}, "annotation 11: segmentation.counts: expected run"),
        (SHAPE, {**RLE, "counts": [5, 5]}, "annotation 11: segmentation.counts: expected run len"),
        (SHAPE, {**RLE, "counts": [0.5, 2399.5]}, "annotation 11: segmentation.counts: expected"),
        (SHAPE, {**RLE, "counts": []}, "annotation 11: segmentation.counts: expected run lengths"),
        (SHAPE, {**RLE, "counts": ""}, "annotation 11: segmentation.counts: expected compressed"),
        (SHAPE, {**RLE, "counts": "05"}, "annotation 11: segmentation.counts: expected run leng"),
        (SHAPE, {**RLE, "counts": "ü"}, "annotation 11: segmentation.counts: expected compressed"),
        (SHAPE, {**RLE, "counts": "oooooooooo0"}, "annotation 11: segmentation.counts: expected"),
        (SHAPE, {**RLE, "counts": COMPRESSED[:-1]}, "annotation 11: segmentation.counts: expect"),
        (SHAPE, {**RLE, "counts": COMPRESSED + "0O"}, "annotation 11: segmentation.counts: expe"),
        (
            FIRST,
            {"id": 11, "image_id": 3, "category_id": 7},
            "annotation 11: expected a bbox or a segmentation with an area",
        ),
        (FIRST, None, "annotations[0]: expected an object, got None"),
        (FIRST, [1], "annotations[0]: expected an object"),
        ((*FIRST, "id"), "a", "annotations[0].id: expected a whole number, got 'a'"),
        ((*FIRST, "id"), [1], "annotations[0].id: expected a whole number"),
        ((*FIRST, "image_id"), None, "annotation 11: image_id: expected a whole number, got None"),
        ((*FIRST, "image_id"), {}, "annotation 11: image_id: expected a whole number, got {}"),
        ((*FIRST, "category_id"), True, "annotation 11: category_id: expected a whole number"),
        ((*FIRST, "iscrowd"), 2, "annotation 11: iscrowd: expected 0 or 1, got 2"),
        ((*FIRST, "iscrowd"), "no", "annotation 11: iscrowd: expected 0 or 1, got 'no'"),
        (("images", 0), None, "images[0]: expected an object, got None"),
        (("images", 0, "id"), ..., "images[0].id: expected a whole number, got None"),
        (("images", 0, "file_name"), ..., "image 4: expected a file_name, got None"),
        (("images", 0, "file_name"), "a\0b", "image 4: expected a file_name"),
        (("images", 0, "width"), -5, "image 4: expected a width and a height in pixels"),
        (("images", 0, "width"), "wide", "image 4: expected a width and a height in pixels"),
        (("images", 0, "height"), NAN, "image 4: expected a width and a height in pixels"),
        (("images", 0, "height"), 10**12, "image 4: expected a width and a height in pixels"),
        (("images", 0, "id"), 3, "images[1]: expected an id of its own (3 is '4.png', too)"),
        (("categories", 0), 5, "categories[0]: expected an object, got 5"),
        (("categories", 0, "id"), None, "categories[0].id: expected a whole number"),
        (("categories", 0, "name"), ..., "category 7: expected a name, got None"),
        (
            ("categories", 0, "id"),
            2,
            "categories[1]: expected an id of its own (2 is 'thing",
        ),
        (("images",), None, "expected a COCO file with images, categories and annotations"),
        (("images",), {}, "expected a COCO file with images, categories and annotations"),
        (("images",), [], "expected a COCO file with images and categories (it has no images)"),
        (("categories",), ..., "expected a COCO file with images, categories and annotations"),
        (("categories",), [], "expected a COCO file with images and categories (it has no categ"),
        (("annotations",), ..., "expected a COCO file with images, categories and annotations"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_id(
    path: tuple[Any, ...], value: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        parse_coco("coco", change(path, value))
    text = str(refused.value)
    assert text.startswith(f"coco: {sentence}"), text
    assert "\n" not in text
    assert len(text) < 300


def test_a_file_of_which_no_annotation_is_left_is_refused() -> None:
    data = make_coco()
    for annotation in data["annotations"]:
        annotation["category_id"] += 100
    with pytest.raises(ValueError, match=r"^coco: expected annotations of its own images.*11, 12"):
        parse_coco("coco", data)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"\x80abc",
        b"[" * 1_000_000,
        b'{"images": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"images": [' + b"9" * 5_000 + b"]}",
    ],
)
def test_a_file_that_is_no_json_is_refused(tmp_path: Any, content: bytes) -> None:
    file = tmp_path / "coco.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"^coco: expected a COCO file ") as refused:
        read_coco("coco", str(file))
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("content", [b"[]", b"null", b"5", b'"images"'])
def test_a_file_that_is_no_object_is_refused(tmp_path: Any, content: bytes) -> None:
    file = tmp_path / "coco.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"^coco: expected a COCO file \(a JSON object\)"):
        read_coco("coco", str(file))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_file_in_any_encoding_of_json_is_read(tmp_path: Any, encoding: str) -> None:
    file = tmp_path / "coco.json"
    data = change(("categories", 0, "name"), "Größe")
    file.write_text(json.dumps(data, ensure_ascii=False), encoding)
    read = read_coco("coco", str(file))
    assert read.categories[0].name == "Größe"
    assert len(read.sha256) == 64


def test_sizes_are_read_from_images_only_where_they_are_missing() -> None:
    asked: list[str] = []

    def read_size(name: str) -> tuple[int, int]:
        asked.append(name)
        if name == "4.png":
            raise ValueError("no image")
        return HEIGHT, WIDTH

    data = parse_coco("coco", change(("images", 1, "width"), None), read_size=read_size)
    assert asked == ["3.png"]
    assert data.images[0].hw == (HEIGHT, WIDTH)
    assert data.notes == ("1 image without a size, which is read from the image: 3",)
    with pytest.raises(ValueError, match=r"^coco: image 4: expected a width .* \(no image\)"):
        parse_coco("coco", change(("images", 0, "height"), ...), read_size=read_size)
