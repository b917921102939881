"""Measures for looking at the widget."""

from __future__ import annotations

import re

from PyQt6.QtWidgets import QAbstractButton, QComboBox, QLabel, QLineEdit, QWidget

NARROW_PX, USUAL_PX = 320, 420


def visible(root: QWidget, kind: type) -> list[QWidget]:
    """The children of a kind that show."""
    return [child for child in root.findChildren(kind) if child.isVisibleTo(root)]


def cramped(root: QWidget) -> list[str]:
    """What is too small for its text, each with what it has and what it needs."""
    found = [_short_of_room(w) for w in (*visible(root, QLabel), *visible(root, QAbstractButton))]
    found += [_short_of_room(combo) for combo in visible(root, QComboBox)]
    found += [_placeholder(line) for line in visible(root, QLineEdit)]
    return [problem for problem in found if problem]


def _short_of_room(widget: QWidget) -> str:
    needed = widget.sizeHint()
    if isinstance(widget, QLabel) and widget.wordWrap():
        words = re.split(r"\s+", widget.text().replace("&", ""))
        needed.setWidth(max(widget.fontMetrics().horizontalAdvance(word) for word in words))
        needed.setHeight(widget.heightForWidth(widget.width()))
    if isinstance(widget, QComboBox) and widget.isEditable():
        return ""
    fits = needed.width() <= widget.width() and needed.height() <= widget.height()
    inside = widget.parentWidget() is None or widget.parentWidget().rect().contains(
        widget.geometry()
    )
    name = getattr(widget, "text", widget.objectName)()
    return "" if fits and inside else f"{name}: {widget.size()} of {needed}, inside: {inside}"


def _placeholder(line: QLineEdit) -> str:
    needed = line.fontMetrics().horizontalAdvance(line.placeholderText())
    return "" if needed < line.width() else f"{line.objectName()}: {line.width()} of {needed}"
