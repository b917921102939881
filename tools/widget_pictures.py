"""Draws the pictures of the widget for the README: each mode, light and dark.

python -m infer_segment_anything_3.tools.widget_pictures [FOLDER]
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QColor, QPalette, QPixmap
from PyQt6.QtWidgets import QApplication, QPushButton, QScrollArea, QWidget

from ..examples.ikomia_home import ikomia_home

WIDTH_PX = 420


@dataclasses.dataclass(frozen=True)
class WidgetState:
    """Describes the state of the widget on one picture.

    Attributes:
        values: Parameters, by name.
        typed: What is typed over them and not yet applied, by name.
        note: The line about the last run.
        unfolded: Sections that the user opened.
    """

    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    typed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    note: str = ""
    unfolded: tuple[str, ...] = ()


STATES = {
    "auto": WidgetState(),
    "object": WidgetState(
        {"prompt_mode": "object", "input_box": "[[120, 80, 420, 360]]", "refine": "True"},
        note="The last run used 3 of 3 drawn prompts.",
    ),
    "concept": WidgetState(
        {
            "prompt_mode": "concept",
            "input_text": "person, red car:0.4",
            "overlap": "best",
            "tiles": "auto",
        },
        note="The last run used 1 of 2 drawn prompts.",
    ),
    "everything": WidgetState(
        {"prompt_mode": "everything", "points_per_side": "48", "model_name": "tiny_shapes"}
    ),
    "describe": WidgetState(
        {
            "prompt_mode": "describe",
            "input_text": "the leftmost person without a helmet",
            "agent_model": "qwen2.5-vl",
        }
    ),
    "mistake": WidgetState(
        {"prompt_mode": "object"}, {"input_point": "[[300, 250], [320]]"}, unfolded=("points",)
    ),
}


def make_light_palette() -> QPalette:
    """Makes a light palette, independent of the desktop's."""
    return QPalette(QColor("#efefef"))


def make_dark_palette() -> QPalette:
    """Makes a dark palette, with colors of its own for disabled text."""
    palette = QPalette(QColor("#3d3d3d"), QColor("#303030"))
    groups = QPalette.ColorGroup
    text = {"Text": "#dcdcdc", "WindowText": "#dcdcdc", "ButtonText": "#dcdcdc"}
    for name, color in (text | {"PlaceholderText": "#8f8f8f", "Base": "#262626"}).items():
        palette.setColor(getattr(QPalette.ColorRole, name), QColor(color))
    for name in text:
        palette.setColor(groups.Disabled, getattr(QPalette.ColorRole, name), QColor("#7d7d7d"))
    palette.setColor(QPalette.ColorRole.Highlight, QColor("#4a90d9"))
    return palette


PALETTES = {"light": make_light_palette, "dark": make_dark_palette}


def render_picture(widget: Any, state: WidgetState, width_px: int) -> QPixmap:
    """Renders a widget in a state, as tall as its form.

    Args:
        widget: An ``InferSegmentAnything3Widget`` that nobody has changed.
        state: What the picture shows.
        width_px: How wide.
    """
    widget.parameters.set_values(widget.parameters.get_values() | dict(state.values))
    widget.parameters.last_run_note = state.note
    widget.on_parameters_changed()
    for group, section in widget.panel.sections.items():
        changed = not all(field.is_default() for field in section.grid.fields)
        section.set_open(changed or group in state.unfolded)
    for name, text in state.typed.items():
        widget.panel.fields[name].editor.setText(text)
    host = widget.panel.window()
    host.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
    host.resize(width_px, 10 * width_px)
    host.show()
    _process_events()
    host.resize(width_px, _measure_height_px(host))
    _process_events()
    return host.grab()


def _measure_height_px(host: QWidget) -> int:
    """Measures the height of the form, its margins and the host's button."""
    page = host.findChild(QScrollArea)
    button = host.findChild(QPushButton, "CProcessBtn")
    assert page is not None
    assert button is not None
    form = page.widget()
    assert form is not None
    outside = host.height() - page.viewport().height()  # type: ignore[union-attr]
    return outside + max(form.heightForWidth(form.width()), form.minimumSizeHint().height())


def _process_events() -> None:
    for _ in range(3):
        QApplication.processEvents()


def draw_all(folder: Path) -> None:
    """Draws every state in both palettes.

    Args:
        folder: Where ``widget_<state>_<palette>.png`` go.
    """
    from ..infer_segment_anything_3 import IkomiaPlugin

    folder.mkdir(parents=True, exist_ok=True)
    for palette_name, palette in PALETTES.items():
        QApplication.setPalette(palette())
        for name, state in STATES.items():
            widget = IkomiaPlugin().get_widget_factory().create(None)
            image = render_picture(widget, state, WIDTH_PX)
            image.save(str(folder / f"widget_{name}_{palette_name}.png"))
            widget.panel.window().close()


def main() -> None:
    """Draws all pictures into the README's folder."""
    default = Path(__file__).resolve().parents[1] / "docs" / "images"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    folder = parser.parse_args().folder
    with ikomia_home():
        application = QApplication([])
        application.setStyle("fusion")
        draw_all(folder.resolve())


if __name__ == "__main__":
    main()
