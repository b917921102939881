"""Palettes and measures for looking at the widget."""

from __future__ import annotations

from PyQt6.QtGui import QColor, QPalette
from PyQt6.QtWidgets import QWidget

NARROW_PX, USUAL_PX = 320, 420


def dark_palette() -> QPalette:
    """A dark palette, with colours of its own for what is disabled."""
    palette = QPalette(QColor("#3a3a3a"), QColor("#303030"))
    for role, color in (
        ("Base", "#3a3a3a"),
        ("Text", "#dcdcdc"),
        ("WindowText", "#dcdcdc"),
        ("ButtonText", "#dcdcdc"),
        ("PlaceholderText", "#909090"),
        ("Highlight", "#4a90d9"),
    ):
        for group in (QPalette.ColorGroup.Active, QPalette.ColorGroup.Inactive):
            palette.setColor(group, getattr(QPalette.ColorRole, role), QColor(color))
        disabled = QColor("#7a7a7a")
        if role.endswith("Text"):
            palette.setColor(
                QPalette.ColorGroup.Disabled, getattr(QPalette.ColorRole, role), disabled
            )
    return palette


def light_palette() -> QPalette:
    """Qt's own light palette, whatever the desktop has."""
    return QPalette(QColor("#efefef"))


PALETTES = {"light": light_palette, "dark": dark_palette}


def visible(root: QWidget, kind: type) -> list[QWidget]:
    """The children of a kind that show."""
    return [child for child in root.findChildren(kind) if child.isVisibleTo(root)]
