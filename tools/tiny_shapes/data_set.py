"""Draws scenes into a folder, with their COCO annotations, to label and to score.

``annotations.json`` has a category for each kind of shape; an image's id is its seed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...engine.export.coco import to_xywh
from ...engine.export.rle import mask_to_rle
from ...engine.results import Mask
from .scenes import KINDS, Shape, draw_scene

FIRST_SEED = 9000
ANNOTATIONS = "annotations.json"


def draw_data_set(folder: Path, scenes: int, **options: Any) -> None:
    """Draws scenes and writes them with their annotations.

    Args:
        folder: Where to write; made if it is not there.
        scenes: How many; each depends on its own seed alone.
        options: Of :func:`draw_scene`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for seed in range(FIRST_SEED, FIRST_SEED + scenes):
        scene = draw_scene(np.random.default_rng(seed), **options)
        height, width = scene.image.shape[:2]
        name = f"{seed}.png"
        Image.fromarray(scene.image).save(folder / name)
        images.append({"id": seed, "file_name": name, "width": width, "height": height})
        for shape in scene.shapes:
            annotations.append({"id": len(annotations) + 1, **_annotate(shape, seed)})
    categories = [{"id": number, "name": kind} for number, kind in enumerate(KINDS, 1)]
    data = {"images": images, "categories": categories, "annotations": annotations}
    (folder / ANNOTATIONS).write_text(json.dumps(data))


def _annotate(shape: Shape, image_id: int) -> dict[str, Any]:
    left, top, right, bottom = shape.xyxy.tolist()
    mask = Mask.from_full(shape.mask)
    return {
        "image_id": image_id,
        "category_id": KINDS.index(shape.kind) + 1,
        "bbox": to_xywh((left, top, right, bottom)),
        "area": mask.area,
        "iscrowd": 0,
        "segmentation": mask_to_rle(mask),
    }


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=60)
    args = parser.parse_args()
    draw_data_set(args.folder, args.scenes)
    print(f"{args.scenes} scenes and {ANNOTATIONS} in {args.folder}")


if __name__ == "__main__":
    main()
