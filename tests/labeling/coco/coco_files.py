"""Small COCO data sets to break."""

from __future__ import annotations

import copy
from typing import Any

from pycocotools import mask as mask_api

HEIGHT, WIDTH = 40, 60
TRIANGLE = [10, 10, 40, 10, 10, 30]
RUNS = [5, 10, HEIGHT * WIDTH - 15]
"""Uncompressed run lengths: rows 5 to 14 of the first column."""
RLE = {"size": [HEIGHT, WIDTH], "counts": RUNS}
COMPRESSED = mask_api.frPyObjects(RLE, HEIGHT, WIDTH)["counts"].decode()


def make_coco() -> dict[str, Any]:
    """A data set of two images, two categories and one annotation of each kind of mask."""
    kinds: list[dict[str, Any]] = [
        {"bbox": [10, 10, 30, 20], "segmentation": [TRIANGLE]},
        {"bbox": [0, 5, 1, 10], "segmentation": dict(RLE)},
        {"bbox": [0, 5, 1, 10], "segmentation": {"size": [HEIGHT, WIDTH], "counts": COMPRESSED}},
        {"bbox": [20, 20, 9.5, 8], "segmentation": [TRIANGLE], "iscrowd": 1, "area": 70.5},
    ]
    return {
        "images": [
            {"id": k, "file_name": f"{k}.png", "height": HEIGHT, "width": WIDTH} for k in (4, 3)
        ],
        "categories": [{"id": 7, "name": "thing"}, {"id": 2, "name": "other"}],
        "annotations": [
            {"id": 11 + k, "image_id": 3 + k % 2, "category_id": 7, **kind}
            for k, kind in enumerate(kinds)
        ],
    }


def change(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The data set with one value replaced; ``...`` removes it."""
    data = copy.deepcopy(make_coco())
    *parents, last = path
    place: Any = data
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data
