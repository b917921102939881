"""Renders ``icons/icon.svg`` to ``icons/icon.png``, which Ikomia shows.

python -m infer_segment_anything_3.tools.render_icon
"""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtGui import QImage, QPainter
from PyQt6.QtSvg import QSvgRenderer

ICONS = Path(__file__).resolve().parents[1] / "icons"
SIDE_PX = 256


def render_icon(svg: Path, png: Path) -> None:
    """Renders an SVG file to a square PNG file with a transparent background.

    Raises:
        ValueError: If the file is no SVG, or the PNG cannot be written.
    """
    renderer = QSvgRenderer(str(svg))
    image = QImage(SIDE_PX, SIDE_PX, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    renderer.render(painter)
    painter.end()
    if not renderer.isValid() or not image.save(str(png)):
        raise ValueError(f"cannot render {svg} to {png}")


if __name__ == "__main__":
    render_icon(ICONS / "icon.svg", ICONS / "icon.png")
