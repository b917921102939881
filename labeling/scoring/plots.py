"""Draws pictures of scores: precision over recall, and missed objects."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .ground_truth import GroundTruth

MAX_MISSES = 12


def draw_precision_recall(curves: Mapping[str, npt.NDArray[np.float64]]) -> bytes:
    """Draws precision over recall, a curve for each IoU threshold.

    Args:
        curves: Precision at recall 0, 0.01, ... 1 for each name.

    Returns:
        A PNG.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    for name, precision in curves.items():
        axes.plot(np.linspace(0, 1, len(precision)), precision, label=name)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title("Mean over categories, IoU 0.5")
    axes.legend(loc="lower left")
    axes.grid(alpha=0.3)
    return _save_figure(figure)


def draw_misses(truth: GroundTruth, missed_ids: Sequence[int]) -> bytes | None:
    """Draws the largest objects that no detection matches.

    Args:
        truth: The data set.
        missed_ids: Annotations, largest first.

    Returns:
        A PNG; None where nothing was missed.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    shown = list(missed_ids[:MAX_MISSES])
    if not shown:
        return None
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(3 * columns, 3 * rows), layout="constrained")
    for axes in np.ravel(figure.subplots(rows, columns, squeeze=False)):
        axes.axis("off")
    names = {category["id"]: category["name"] for category in truth.categories}
    for axes, annotation_id in zip(figure.axes, shown, strict=False):
        annotation = truth.coco.anns[annotation_id]
        image = truth.coco.imgs[annotation["image_id"]]
        axes.imshow(truth.read_pixels(image))
        x, y, width, height = annotation["bbox"]
        outline = Rectangle((x, y), width, height, fill=False, edgecolor="red", linewidth=2)
        axes.add_patch(outline)
        axes.set_title(f"{names[annotation['category_id']]}\n{image['file_name'][-28:]}", size=8)
    return _save_figure(figure)


def _save_figure(figure: object) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)  # type: ignore[attr-defined]
    return buffer.getvalue()
