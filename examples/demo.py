"""Segments a picture by text, by a click and by a box, through a real Ikomia workflow.

Run it as ``python -m infer_segment_anything_3.examples.demo --help``. Without a picture it
draws a scene that the bundled model knows, so it needs no account, GPU or download.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from .ikomia_home import PLUGIN, ikomia_home
from .panels import Panel, side_by_side

RgbImage = npt.NDArray[np.uint8]

SCENE_SEED = 77
SCENE_TEXT = "circle, orange square, star"


@dataclasses.dataclass(frozen=True)
class Shown:
    """One prompt with its answer.

    Attributes:
        title: What was asked.
        objects: Ikomia's instances.
        overlay: (H, W, 3) uint8, RGB.
        point_xy: The click, in pixels.
        box_xyxy: The box, in pixels.
    """

    title: str
    objects: Sequence[Any]
    overlay: RgbImage
    point_xy: tuple[int, int] | None = None
    box_xyxy: tuple[int, int, int, int] | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo.

    Args:
        arguments: Command line; the process's own by default.

    Returns:
        The exit status.
    """
    options = _parser().parse_args(arguments)
    # Before the home changes: relative paths and ~ are the user's.
    out = options.out.expanduser().resolve()
    image, text = _image_and_text(options)
    with ikomia_home():
        shown = _segment(image, text, options.model)
    _print_table(shown)
    out.parent.mkdir(parents=True, exist_ok=True)
    panels = [Panel(s.title, _legend(s.objects), s.overlay, s.point_xy, s.box_xyxy) for s in shown]
    side_by_side(panels).save(out)
    print(f"\n{out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--image", type=Path, help="a picture; without one a scene is drawn")
    parser.add_argument("--text", help="what to look for, for instance 'person, red car'")
    parser.add_argument("--model", choices=("sam3", "tiny_shapes"), default="tiny_shapes")
    parser.add_argument("--out", type=Path, default=Path("output/demo.png"))
    return parser


def _image_and_text(options: argparse.Namespace) -> tuple[RgbImage, str]:
    if options.image is not None:
        with Image.open(options.image.expanduser()) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
        return np.array(upright), options.text or "object"
    from ..tools.tiny_shapes.scenes import draw_scene

    scene = draw_scene(
        np.random.default_rng(SCENE_SEED),
        side_range_px=(600, 900),
        count_range=(6, 6),
        max_aspect=1.5,
        extent_range=(0.2, 0.4),
    )
    return scene.image, options.text or SCENE_TEXT


def _segment(image: RgbImage, text: str, model: str) -> list[Shown]:
    """Asks by text first; what that finds is then clicked on and boxed."""
    from ikomia.dataprocess.workflow import Workflow

    workflow = Workflow("demo")
    task = workflow.add_task(name=PLUGIN, auto_connect=True, public_hub=False)
    task.set_parameters({"model_name": model, "input_text": text})
    by_text = _run(workflow, task, image, Shown(f"Text: {text}", (), image))
    point_xy, box_xyxy = _pointed_at(by_text.objects, image)
    task.set_parameters({"input_text": "", "input_point": str(list(point_xy))})
    click = Shown(f"Click at {point_xy[0]}, {point_xy[1]}", (), image, point_xy=point_xy)
    by_click = _run(workflow, task, image, click)
    task.set_parameters({"input_point": "", "input_box": str(list(box_xyxy))})
    box = Shown("Box " + ", ".join(map(str, box_xyxy)), (), image, box_xyxy=box_xyxy)
    return [by_text, by_click, _run(workflow, task, image, box)]


def _run(workflow: Any, task: Any, image: RgbImage, asked: Shown) -> Shown:
    workflow.run_on(array=image)
    return dataclasses.replace(
        asked, objects=task.get_output(2).get_objects(), overlay=task.get_image_with_mask()
    )


def _pointed_at(
    objects: Sequence[Any], image: RgbImage
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """A click deep inside the best instance and a box around the next one."""
    best = sorted(objects, key=lambda found: found.confidence, reverse=True)[:2]
    if not best:
        height, width = image.shape[:2]
        return (width // 2, height // 2), (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
    depth = cv2.distanceTransform(np.pad(best[0].mask, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    left, top, width, height = (int(value) for value in best[-1].box)
    return (int(x), int(y)), (left, top, left + width, top + height)


def _legend(objects: Sequence[Any]) -> list[tuple[tuple[int, int, int], str]]:
    """Each class once, in its color, with how many there are and how sure the model is."""
    by_class: dict[str, list[Any]] = {}
    for found in objects:
        by_class.setdefault(found.label, []).append(found)
    entries = []
    for label, members in by_class.items():
        red, green, blue = (int(channel) for channel in members[0].color[:3])
        count = f"{len(members)} x " if len(members) > 1 else ""
        best = max(found.confidence for found in members)
        entries.append(((red, green, blue), f"{count}{label}  {best:.2f}"))
    return entries or [((180, 184, 194), "nothing found")]


def _print_table(shown: Sequence[Shown]) -> None:
    rows = [("prompt", "class", "score", "box (x, y, w, h)", "area (px)")]
    for one in shown:
        for found in one.objects:
            box = ", ".join(f"{value:.0f}" for value in found.box)
            area = str(np.count_nonzero(found.mask))
            rows.append((one.title, found.label, f"{found.confidence:.2f}", box, area))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


if __name__ == "__main__":
    sys.exit(main())
