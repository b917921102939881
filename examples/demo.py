"""Segments pictures by text, clicks, examples and with tiles, through a real Ikomia workflow.

The command ``demo``. Without an image it takes pictures that the bundled model knows, so it needs
no account, GPU or download.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ..engine.images import RgbImage, decode_image
from . import CROWD, SCENE
from .ikomia_home import PLUGIN, ikomia_home
from .panels import Panel, join_panels, mark_box, mark_point

SCENE_TEXT = "circle, square, triangle, star"
CLICK_XY = (231, 266)
EXAMPLE_XYXY = (75, 301, 168, 394)
"""A red circle of the scene."""

Row = tuple[str, str, str, str, str]
"""Prompt, class, score, box and area of an instance."""


class Demo:
    """Runs prompts through one workflow and collects panels and rows of a table."""

    def __init__(self, model: str) -> None:
        """Adds the plugin's task to a workflow.

        Args:
            model: Name of the model.
        """
        from ikomia.dataprocess.workflow import Workflow

        self._workflow = Workflow("demo")
        self._task = self._workflow.add_task(name=PLUGIN, auto_connect=True, public_hub=False)
        self._task.set_parameters({"model_name": model})
        self.panels: list[Panel] = []
        self.rows: list[Row] = []

    def run(self, title: str, image: RgbImage, **parameters: Any) -> tuple[RgbImage, list[Any]]:
        """Runs a prompt and adds its panel.

        Args:
            title: Of the panel.
            image: (H, W, 3) uint8, RGB.
            **parameters: Of the task; the prompt of the run before is forgotten.

        Returns:
            The panel's picture, which may be drawn on, and Ikomia's instances.
        """
        nothing = {"input_text": "", "input_point": "", "input_box": "", "prompt_mode": "auto"}
        self._task.set_parameters({**nothing, "tiles": "off", "overlap": "keep", **parameters})
        self._workflow.run_on(array=image)
        found = self._task.get_output(2).get_objects()
        picture = np.array(self._task.get_image_with_mask())
        self.panels.append(Panel(title, picture))
        for instance in found:
            box = ", ".join(f"{value:.0f}" for value in instance.box)
            area = str(np.count_nonzero(instance.mask))
            self.rows.append((title, instance.label, f"{instance.confidence:.2f}", box, area))
        return picture, found


def run_demo(image: str, text: str, model: str, out: Path) -> Path:
    """Segments the scene, or a picture of the user's; prints a table, writes the panels.

    Args:
        image: Path of a picture; empty for the scene and the crowd.
        text: What to look for in it; empty for a default.
        model: Name of the model.
        out: The PNG to write.

    Returns:
        Its absolute path.

    Raises:
        ValueError: If the picture cannot be read.
    """
    # Before the home folder changes: relative paths and ~ are the user's.
    out = out.expanduser().resolve()
    path = Path(image).expanduser() if image else SCENE
    if not path.is_file():
        raise ValueError(f"image: there is no such file ({path})")
    try:
        pixels = decode_image(str(path))
    except ValueError as error:
        raise ValueError(f"{error} ({path})") from error
    with ikomia_home():
        demo = Demo(model)
        if image:
            _show_picture(demo, pixels, text or "object")
        else:
            _show_scene(demo, pixels)
    print_table(demo.rows)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet = join_panels(demo.panels, columns=3 if image else 2)
    Image.fromarray(sheet).save(out, optimize=True)
    return out


def _show_scene(demo: Demo, scene: RgbImage) -> None:
    """Shows what the bundled model can do on pictures that it knows."""
    demo.run("Text", scene, input_text=SCENE_TEXT)
    picture, _ = demo.run("Click", scene, input_point=list(CLICK_XY))
    mark_point(picture, CLICK_XY)
    picture, _ = demo.run("Examples", scene, prompt_mode="concept", input_box=list(EXAMPLE_XYXY))
    _mark_box_below(picture, scene, EXAMPLE_XYXY)
    demo.run("Crowd", decode_image(str(CROWD)), input_text=SCENE_TEXT, tiles="auto", overlap="best")


def _show_picture(demo: Demo, image: RgbImage, text: str) -> None:
    """Shows a text, a click on the best instance and a box around the next one."""
    _, found = demo.run(f"Text: {text}", image, input_text=text)
    point_xy, box_xyxy = choose_click_and_box(found, image.shape[:2])
    picture, _ = demo.run("Click", image, input_point=list(point_xy))
    mark_point(picture, point_xy)
    picture, _ = demo.run("Box", image, input_box=list(box_xyxy))
    _mark_box_below(picture, image, box_xyxy)


def _mark_box_below(picture: RgbImage, image: RgbImage, xyxy: tuple[int, int, int, int]) -> None:
    """Draws a box below the masks and labels that a picture shows over its image."""
    marked = image.copy()
    mark_box(marked, xyxy)
    is_bare = (picture == image).all(axis=2)
    picture[is_bare] = marked[is_bare]


def choose_click_and_box(
    objects: Sequence[Any], image_hw: tuple[int, ...]
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Chooses a click deep inside the best instance and a box around the next one."""
    best = sorted(objects, key=lambda found: found.confidence, reverse=True)[:2]
    if not best:
        height, width = image_hw
        return (width // 2, height // 2), (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
    depth = cv2.distanceTransform(np.pad(best[0].mask, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    left, top, width, height = (int(value) for value in best[-1].box)
    return (int(x), int(y)), (left, top, left + width, top + height)


def print_table(rows: Sequence[Row], most: int = 24) -> None:
    """Prints the first instances as a table, and how many more there are."""
    lines = [("prompt", "class", "score", "box (x, y, w, h)", "area (px)"), *rows[:most]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
    if len(rows) > most:
        print(f"and {len(rows) - most} more")
