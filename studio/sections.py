"""Groups of fields: a grid, a section that can be closed, and the drawing tools."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

from PyQt6.QtCore import QSize, Qt, pyqtSignal
from PyQt6.QtGui import QResizeEvent
from PyQt6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .fields import Field, make_tooltip
from .theme import Note, PromptButton, get_quiet_color, make_bold


class TwoColumns(QWidget):
    """A widget that arranges its parts in two columns, or in one where it is narrow."""

    def __init__(self) -> None:
        super().__init__()
        self.grid = QGridLayout(self)
        self.grid.setContentsMargins(0, 0, 0, 0)
        self._is_narrow = False

    def get_column_widths_px(self) -> list[int]:
        """Returns the minimum width of each column."""
        raise NotImplementedError

    def arrange(self, is_narrow: bool) -> None:
        """Puts the parts into the grid, in one column or in two."""
        raise NotImplementedError

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Returns a minimum that is one column wide."""
        width_px = max(self.get_column_widths_px()) + self._get_margins_px()
        return QSize(width_px, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Changes the number of columns to fit the width."""
        super().resizeEvent(event)
        widths = self.get_column_widths_px()
        needed = sum(widths) + self._get_margins_px() + max(0, self.grid.horizontalSpacing())
        if (self.width() < needed) != self._is_narrow:
            self._is_narrow = not self._is_narrow
            self.arrange(self._is_narrow)

    def _get_margins_px(self) -> int:
        margins = self.grid.contentsMargins()
        return margins.left() + margins.right()


class FieldGrid(TwoColumns):
    """Arranges fields below each other: wide ones below their label, the others beside it."""

    def __init__(self, fields: Iterable[Field]) -> None:
        super().__init__()
        self.fields = list(fields)
        self.grid.setColumnStretch(0, 1)
        self.grid.setColumnStretch(1, 1)
        for row, field in self._list_rows():
            if field.is_wide:
                self._stack(row, field)
            else:
                self.grid.addWidget(field.error_note, row + 2, 0, 1, 2)
        self.arrange(is_narrow=False)

    def get_column_widths_px(self) -> list[int]:
        """Returns the minimum width of the labels and of the editors beside them."""
        beside = [field for field in self.fields if not field.is_wide]
        wide = max((f.body.minimumSizeHint().width() for f in self.fields if f.is_wide), default=0)
        labels = max((f.label.minimumSizeHint().width() for f in beside if f.label), default=0)
        editors = max((f.body.minimumSizeHint().width() for f in beside), default=0)
        # A wide field needs its width in either arrangement.
        return [max(labels, wide - editors), editors] if editors else [wide]

    def arrange(self, is_narrow: bool) -> None:
        """Puts the editors beside their labels, or below."""
        for row, field in self._list_rows():
            if field.is_wide:
                continue
            for part, place in (
                (field.label, (row, 0, 1, 2 if is_narrow else 1)),
                (field.body, (row + 1, 0, 1, 2) if is_narrow else (row, 1, 1, 1)),
            ):
                if part is not None:
                    self.grid.removeWidget(part)
                    self.grid.addWidget(part, *place)

    def _list_rows(self) -> Iterable[tuple[int, Field]]:
        """Yields each field with the first of its three rows: label, editor, error."""
        return zip(itertools.count(0, 3), self.fields)

    def _stack(self, row: int, field: Field) -> None:
        parts = (field.label, field.body, field.error_note, field.reason_note)
        below = QVBoxLayout()
        below.setSpacing(max(1, self.grid.verticalSpacing() // 3))
        for part in parts:
            if part is not None:
                below.addWidget(part)
        self.grid.addLayout(below, row, 0, 1, 2)


class Section(QWidget):
    """A titled group of fields that can be closed; then it shows how many were changed."""

    def __init__(self, title: str, fields: Iterable[Field]) -> None:
        super().__init__()
        self.grid = FieldGrid(fields)
        self.header = QToolButton()
        self.header.setText(title)
        self.header.setAccessibleName(title)
        self.header.setAutoRaise(True)
        self.header.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.header.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.header.setFont(make_bold(self.header.font()))
        self.header.clicked.connect(lambda: self.set_open(not self._is_open))
        self._is_open = False
        self.summary = Note(get_quiet_color)
        self.summary.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._lay_out()
        for field in self.grid.fields:
            field.changed.connect(self.update_summary)
        self.set_open(False)

    def is_open(self) -> bool:
        """Returns whether the fields are visible."""
        return self._is_open

    def set_open(self, is_open: bool) -> None:
        """Opens or closes the section."""
        self._is_open = is_open
        arrow = Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow
        self.header.setArrowType(arrow)
        self.header.setAccessibleDescription("open" if is_open else "closed")
        self.grid.setVisible(is_open)
        self.update_summary()

    def update_summary(self) -> None:
        """Shows how many fields of a closed section differ from their default."""
        changed = sum(not field.is_default() for field in self.grid.fields)
        self.summary.show_text(f"{changed} set" if changed and not self.is_open() else "")

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self.header)
        head.addWidget(self.summary, 1)
        head.addStretch(0)
        page = QVBoxLayout(self)
        page.setContentsMargins(0, 0, 0, 0)
        page.addLayout(head)
        page.addWidget(self.grid)
        indent = self.fontMetrics().averageCharWidth()
        self.grid.setContentsMargins(indent, 0, 0, indent)


@dataclasses.dataclass(frozen=True)
class DrawnPrompt:
    """Describes a kind of prompt that is drawn with one of Studio's tools.

    Attributes:
        label: The button's text.
        help: The button's tooltip.
        shape: ``point`` or ``box``.
        include: Whether it marks what to include (label 1), else what to exclude (label 0).
        parameter: The parameter that means the same; used in the same prompt modes.
    """

    label: str
    help: str
    shape: str
    include: bool
    parameter: str


DRAWN_PROMPTS = (
    DrawnPrompt("Include point", "Click on the object to segment.", "point", True, "input_point"),
    DrawnPrompt(
        "Exclude point",
        "Click on what does not belong to the object.",
        "point",
        False,
        "input_point_label",
    ),
    DrawnPrompt(
        "Box",
        "Draw a box around an object, or around an example of what to find.",
        "box",
        True,
        "input_box",
    ),
    DrawnPrompt(
        "Exclude box",
        "Draw a box around an example of what not to find.",
        "box",
        False,
        "input_box_label",
    ),
)


class DrawingTools(TwoColumns):
    """Shows buttons that select Studio's drawing tools, and a note about the last run."""

    requested = pyqtSignal(object)

    def __init__(self) -> None:
        super().__init__()
        self.title = QLabel("Draw on the image")
        self.title.setFont(make_bold(self.title.font()))
        self.buttons = {prompt: self._make_button(prompt) for prompt in DRAWN_PROMPTS}
        self.last_run = Note(get_quiet_color)
        self.grid.addWidget(self.title, 0, 0, 1, 2)
        self.grid.addWidget(self.last_run, 1 + len(self.buttons), 0, 1, 2)
        self.arrange(is_narrow=False)

    def get_column_widths_px(self) -> list[int]:
        """Returns the width of the widest button, for each column."""
        return [max(button.minimumSizeHint().width() for button in self.buttons.values())] * 2

    def arrange(self, is_narrow: bool) -> None:
        """Puts the buttons in two columns, or in one."""
        columns = 1 if is_narrow else 2
        for index, button in enumerate(self.buttons.values()):
            self.grid.removeWidget(button)
            row, column = divmod(index, columns)
            self.grid.addWidget(button, 1 + row, column, 1, 3 - columns)

    def _make_button(self, prompt: DrawnPrompt) -> PromptButton:
        button = PromptButton(prompt.label, prompt.shape, prompt.include)
        button.setObjectName(prompt.label)
        button.setAccessibleName(prompt.label)
        button.setToolTip(make_tooltip(prompt.help))
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda: self.requested.emit(prompt))
        return button
