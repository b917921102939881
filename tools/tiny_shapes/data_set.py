"""Draws scenes into a folder, with their COCO annotations, to label and to score.

``annotations.json`` has a category for each kind of shape; an image's id is its seed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...engine.export.coco import to_xywh
from ...engine.export.rle import mask_to_rle
from ...engine.results import Mask
from .scenes import KINDS, Scene, Shape, draw_scene

FIRST_SEED = 9000
ANNOTATIONS = "annotations.json"


def draw_data_set(folder: Path, scenes: int, **options: Any) -> None:
    """Draws scenes by kind of shape and writes them with their annotations.

    Args:
        folder: Where to write; made if it is not there.
        scenes: How many; each depends on its own seed alone.
        options: Of :func:`draw_scene`.
    """
    write_data_set(
        folder,
        range(FIRST_SEED, FIRST_SEED + scenes),
        KINDS,
        lambda rng: draw_scene(rng, **options),
        lambda name, shape: name == shape.kind,
    )


def write_data_set(
    folder: Path,
    seeds: Iterable[int],
    names: Sequence[str],
    draw: Callable[[np.random.Generator], Scene],
    means: Callable[[str, Shape], bool],
) -> None:
    """Draws scenes and writes them with their annotations.

    Args:
        folder: Where to write; made if it is not there.
        seeds: One for each scene; also the image's id.
        names: The categories.
        draw: Draws a scene.
        means: Tells whether a category means a shape.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for seed in seeds:
        scene = draw(np.random.default_rng(seed))
        height, width = scene.image.shape[:2]
        name = f"{seed}.png"
        Image.fromarray(scene.image).save(folder / name)
        images.append({"id": seed, "file_name": name, "width": width, "height": height})
        for shape in scene.shapes:
            for number, name in enumerate(names, 1):
                if means(name, shape):
                    row = {"id": len(annotations) + 1, **_annotate(shape, seed, number)}
                    annotations.append(row)
    categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    data = {"images": images, "categories": categories, "annotations": annotations}
    (folder / ANNOTATIONS).write_text(json.dumps(data))


def _annotate(shape: Shape, image_id: int, category_id: int) -> dict[str, Any]:
    left, top, right, bottom = shape.xyxy.tolist()
    mask = Mask.from_full(shape.mask)
    return {
        "image_id": image_id,
        "category_id": category_id,
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
