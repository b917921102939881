"""Segments an image by text, by a click and by a box, through a real Ikomia workflow.

The command ``demo``. Without an image it takes one that the bundled model knows, so it needs no
account, GPU or download.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..engine.images import decode_image
from .ikomia_home import CHECKOUT, PLUGIN, ikomia_home

RgbImage = npt.NDArray[np.uint8]

SHAPES = CHECKOUT / "docs" / "images" / "shapes.png"
SHAPES_TEXT = "circle, orange square, star"
PANEL_WIDTH_IN = 5.6
TEXT_HEIGHT_IN = 0.9
DPI = 100
INK = "#1d2330"


@dataclasses.dataclass(frozen=True)
class Panel:
    """Holds one prompt and the instances found.

    Attributes:
        title: The prompt in words.
        objects: Ikomia's instances.
        overlay: (H, W, 3) uint8, RGB: the image with the instances drawn.
        point_xy: The click, in pixels.
        box_xyxy: The box, in pixels.
    """

    title: str
    objects: Sequence[Any] = ()
    overlay: RgbImage | None = None
    point_xy: tuple[int, int] | None = None
    box_xyxy: tuple[int, int, int, int] | None = None


def run_demo(image: str, text: str, model: str, out: Path) -> Path:
    """Segments a picture by text, by a click and by a box; prints a table, draws a picture.

    Args:
        image: Path of the picture; empty for drawn shapes.
        text: What to look for; empty for a default.
        model: Name of the model.
        out: The PNG to write.

    Returns:
        Its absolute path.

    Raises:
        ValueError: If the picture cannot be read.
    """
    # Before the home folder changes: relative paths and ~ are the user's.
    out = out.expanduser().resolve()
    path = Path(image or SHAPES).expanduser()
    if not path.is_file():
        raise ValueError(f"image: there is no such file ({path})")
    try:
        pixels = decode_image(str(path))
    except ValueError as error:
        raise ValueError(f"{error} ({path})") from error
    with ikomia_home():
        panels = segment(pixels, text or ("object" if image else SHAPES_TEXT), model)
    print_table(panels)
    draw_panels(panels, out)
    return out


def segment(image: RgbImage, text: str, model: str) -> list[Panel]:
    """Segments by text, then by a click on the best instance and a box around the next one."""
    from ikomia.dataprocess.workflow import Workflow

    workflow = Workflow("demo")
    task = workflow.add_task(name=PLUGIN, auto_connect=True, public_hub=False)

    def run(panel: Panel, **parameters: str) -> Panel:
        task.set_parameters({"input_text": "", "input_point": "", "input_box": "", **parameters})
        workflow.run_on(array=image)
        return dataclasses.replace(
            panel, objects=task.get_output(2).get_objects(), overlay=task.get_image_with_mask()
        )

    by_text = run(Panel(f"Text: {text}"), model_name=model, input_text=text)
    point_xy, box_xyxy = choose_click_and_box(by_text.objects, image.shape[:2])
    click = Panel(f"Click at {point_xy[0]}, {point_xy[1]}", point_xy=point_xy)
    box = Panel(f"Box {', '.join(map(str, box_xyxy))}", box_xyxy=box_xyxy)
    return [
        by_text,
        run(click, input_point=str(list(point_xy))),
        run(box, input_box=str(list(box_xyxy))),
    ]


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


def draw_panels(panels: Sequence[Panel], path: Path) -> None:
    """Writes a PNG of the panels side by side, with their prompts and legends."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Patch, Rectangle

    height, width = next(p.overlay.shape[:2] for p in panels if p.overlay is not None)
    height_in = PANEL_WIDTH_IN * min(height / width, 3) + TEXT_HEIGHT_IN
    # Room for the legends, which must not take part in the layout: long ones would shift it.
    legend_share = TEXT_HEIGHT_IN / 2 / height_in
    layout = ConstrainedLayoutEngine(
        rect=(0.005, legend_share, 0.99, 1 - legend_share), wspace=0.03
    )
    figure = Figure((PANEL_WIDTH_IN * len(panels), height_in), dpi=DPI, layout=layout)
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        axes.imshow(panel.overlay)
        axes.set_axis_off()
        axes.set_title(panel.title, loc="left", fontsize=15, color=INK, wrap=True)
        if panel.point_xy is not None:
            axes.plot(*panel.point_xy, "o", markersize=10, color=INK, mec="white", mew=3)
        if panel.box_xyxy is not None:
            left, top, right, bottom = panel.box_xyxy
            for color, line_width in ((INK, 5), ("white", 2.5)):
                axes.add_patch(
                    Rectangle(
                        (left, top), right - left, bottom - top,
                        fill=False, edgecolor=color, linewidth=line_width,
                    )
                )  # fmt: skip
        legend = axes.legend(
            handles=[Patch(color=color, label=label) for color, label in list_classes(panel)],
            loc="upper left",
            bbox_to_anchor=(-0.01, 0.0),
            ncols=3,
            frameon=False,
            fontsize=11,
            handlelength=1.0,
            handletextpad=0.5,
            columnspacing=1.2,
            labelcolor=INK,
        )
        legend.set_in_layout(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def list_classes(panel: Panel) -> list[tuple[tuple[float, float, float], str]]:
    """Lists each class once: its color, how many instances it has and their best score."""
    by_class: dict[str, list[Any]] = {}
    for found in panel.objects:
        by_class.setdefault(found.label, []).append(found)
    entries = []
    for label, members in by_class.items():
        red, green, blue = (channel / 255 for channel in members[0].color[:3])
        count = f"{len(members)} × " if len(members) > 1 else ""
        best = max(found.confidence for found in members)
        entries.append(((red, green, blue), f"{count}{label} {best:.2f}"))
    return entries or [((0.7, 0.7, 0.75), "nothing found")]


def print_table(panels: Sequence[Panel]) -> None:
    """Prints the instances of every prompt."""
    rows = [("prompt", "class", "score", "box (x, y, w, h)", "area (px)")]
    for panel in panels:
        for found in panel.objects:
            box = ", ".join(f"{value:.0f}" for value in found.box)
            area = str(np.count_nonzero(found.mask))
            rows.append((panel.title, found.label, f"{found.confidence:.2f}", box, area))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )
