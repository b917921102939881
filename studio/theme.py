"""Makes labels and icons that take their colors from the palette, light or dark."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import QEvent, QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFont, QIcon, QPainter, QPaintEvent, QPalette, QPen, QPixmap
from PyQt6.QtWidgets import QLabel, QPushButton, QSizePolicy, QWidget

ColorOf = Callable[[QPalette], QColor]


def _blend_colors(over: QColor, under: QColor, weight: float) -> QColor:
    channels = zip(over.getRgbF()[:3], under.getRgbF()[:3], strict=True)
    return QColor.fromRgbF(*(a * weight + b * (1 - weight) for a, b in channels if a is not None))


def is_dark(palette: QPalette) -> bool:
    """Returns whether text is lighter than its background."""
    text = palette.color(QPalette.ColorRole.WindowText)
    return text.lightness() > palette.color(QPalette.ColorRole.Window).lightness()


def get_quiet_color(palette: QPalette) -> QColor:
    """Returns the color of explanations: paler than text, with enough contrast to read."""
    text = palette.color(QPalette.ColorRole.WindowText)
    return _blend_colors(text, palette.color(QPalette.ColorRole.Window), 0.72)


def get_error_color(palette: QPalette) -> QColor:
    """Returns the color of invalid values and of what a prompt excludes."""
    return QColor("#ff8f87") if is_dark(palette) else QColor("#b3261e")


def get_include_color(palette: QPalette) -> QColor:
    """Returns the color of what a prompt includes."""
    return QColor("#5fce86") if is_dark(palette) else QColor("#176c39")


class Note(QLabel):
    """A wrapped text in a color of its own; takes no space when empty.

    Args:
        color_of: Returns the color for a palette.
        parent: The parent widget.
    """

    def __init__(self, color_of: ColorOf, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._color_of = color_of
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.setVisible(False)

    def show_text(self, text: str) -> None:
        """Shows the text; hides the note where it is empty."""
        self.setText(text)
        self.setVisible(bool(text))

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draws the text in the color for the current palette or style sheet."""
        painter = QPainter(self)
        painter.setPen(self._color_of(self.palette()))
        flags = self.alignment() | Qt.TextFlag.TextWordWrap
        painter.drawText(self.contentsRect(), int(flags), self.text())


class PromptButton(QPushButton):
    """A button with the icon of a point or a box: green with a plus, or red with a minus.

    Args:
        text: The button's text.
        shape: ``point`` or ``box``.
        include: Whether the icon is green with a plus.
    """

    def __init__(self, text: str, shape: str, include: bool) -> None:
        super().__init__(text)
        self._shape = shape
        self._include = include
        self.setIcon(self._draw_icon())

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Redraws the icon when the palette changes."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.PaletteChange:
            self.setIcon(self._draw_icon())

    def _draw_icon(self) -> QIcon:
        side, ratio = self.fontMetrics().height(), self.devicePixelRatioF()
        pixmap = QPixmap(round(side * ratio), round(side * ratio))
        pixmap.setDevicePixelRatio(ratio)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color = (get_include_color if self._include else get_error_color)(self.palette())
        _draw_prompt(painter, side, self._shape, self._include, color)
        painter.end()
        return QIcon(pixmap)


def _draw_prompt(painter: QPainter, side: float, shape: str, include: bool, color: QColor) -> None:
    stroke = side / 9
    inner = QRectF(0, 0, side, side).adjusted(stroke, stroke, -stroke, -stroke)
    painter.setPen(QPen(color, stroke))
    if shape == "point":
        painter.setBrush(color)
        painter.drawEllipse(inner)
        painter.setPen(QPen(get_contrast_color(color), stroke * 1.3))
    else:
        painter.drawRoundedRect(inner, stroke, stroke)
        painter.setPen(QPen(color, stroke * 1.3))
    arm, middle = side * 0.2, side / 2
    painter.drawLine(QPointF(middle - arm, middle), QPointF(middle + arm, middle))
    if include:
        painter.drawLine(QPointF(middle, middle - arm), QPointF(middle, middle + arm))


def get_contrast_color(color: QColor) -> QColor:
    """Returns black or white, whichever has more contrast to a color."""
    return QColor("#101010") if color.lightness() > 140 else QColor("#ffffff")


def make_bold(font: QFont) -> QFont:
    """Returns the font in bold."""
    heavier = QFont(font)
    heavier.setBold(True)
    return heavier
