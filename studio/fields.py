"""The base class of all fields, and the text fields; their texts come from the table."""

from __future__ import annotations

import html
from pathlib import Path

from PyQt6.QtCore import QObject, QRectF, Qt, pyqtSignal
from PyQt6.QtGui import QKeyEvent, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QLineEdit, QPushButton, QWidget

from ..adapter.parameters.spec import Parameter
from .theme import Note, get_error_color, get_quiet_color

_NO_LIMIT = 2**31 - 1


def make_tooltip(text: str, name: str = "") -> str:
    """Makes a tooltip that wraps, with the parameter's name in the API."""
    lines = [html.escape(text), f"<code>{html.escape(name)}</code>" if name else ""]
    return "".join(f"<p>{line}</p>" for line in lines if line)


class Field(QObject):
    """Edits one parameter, as the string that Ikomia carries.

    Attributes:
        changed: Emitted after every change, by hand or not.
        submitted: Emitted when Enter is pressed, to start a run.
        is_wide: Whether the editor stands below its label over the full width.
        parameter: The parameter it edits.
        label: The label beside or above the editor; None where the editor shows a text itself.
        editor: The widget that takes the keyboard focus.
        body: The widget for the layout: the editor, perhaps with a button.
        error_note: Shows why the value is invalid.
        reason_note: Shows why the field cannot be used.
    """

    changed = pyqtSignal()
    submitted = pyqtSignal()
    is_wide = False

    def __init__(self, parameter: Parameter, editor: QWidget, has_label: bool = True) -> None:
        super().__init__()
        self.parameter = parameter
        self.editor = self.body = editor
        self.label = QLabel() if has_label else None
        self.error_note = Note(get_error_color)
        self.reason_note = Note(get_quiet_color)
        self._given = parameter.default
        self._shown = ""
        self._is_used = True
        self._mode = "auto"
        editor.setObjectName(parameter.name)
        editor.setAccessibleName(parameter.label)
        editor.setToolTip(make_tooltip(parameter.help, parameter.name))
        if self.label is not None:
            self.label.setBuddy(editor)
            self.label.setWordWrap(True)
            self.label.setToolTip(editor.toolTip())

    def set_title(self, text: str) -> None:
        """Sets the label; an ampersand marks its accelerator."""
        if self.label is not None:
            self.label.setText(text)

    def value(self) -> str:
        """Returns the value, exactly as it was set until the user edits it."""
        shown = self.read_editor()
        return self._given if shown == self._shown else shown

    def set_value(self, text: str) -> None:
        """Sets and shows a value, valid or not."""
        self._given = text
        self.show_value(text)
        self._shown = self.read_editor()
        self.refresh()

    def read_editor(self) -> str:
        """Returns what the editor holds, as a parameter's string."""
        raise NotImplementedError

    def show_value(self, text: str) -> None:
        """Shows a parameter's string in the editor."""
        raise NotImplementedError

    def error(self) -> str:
        """Returns the API's error for the value; empty if it is valid."""
        try:
            self.parameter.parse(self.value(), self._mode)
        except ValueError as error:
            return str(error)
        return ""

    def is_default(self) -> bool:
        """Returns whether the value equals the default."""
        if self.error():
            return False
        parse = self.parameter.parse
        return bool(parse(self.value()) == parse(self.parameter.default))

    def set_mode(self, mode: str) -> None:
        """Sets the prompt mode that the value is for, and enables the field if it is used in it."""
        changed = mode != self._mode
        self._mode = mode
        if changed and self.parameter.mode_parsers:
            self.refresh()
        self.set_used(self.parameter.is_used_in(mode))

    def set_used(self, used: bool) -> None:
        """Enables or disables the field; an invalid value stays editable."""
        self._is_used = used
        self._enable(used or bool(self.error()))

    def list_tab_stops(self) -> list[QWidget]:
        """Lists the widgets that the tab key visits, in order."""
        return [self.editor]

    def refresh(self) -> None:
        """Shows whether the value is valid, and emits :attr:`changed`."""
        error = self.error()
        self.error_note.show_text(error)
        self.editor.setAccessibleDescription(error or self.parameter.help)
        self.editor.setProperty("invalid", bool(error))
        self.editor.update()
        self._enable(self._is_used or bool(error))
        self.changed.emit()

    def _enable(self, enabled: bool) -> None:
        self.body.setEnabled(enabled)
        if self.label is not None:
            self.label.setEnabled(enabled)


class MarkedLineEdit(QLineEdit):
    """A line edit that is outlined while its value is invalid."""

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Accepts Enter, so that a dialog's button or a combo box does not react to it too."""
        super().keyPressEvent(event)
        if event is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.accept()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draws the outline, independent of the host's style sheet."""
        super().paintEvent(event)
        if not self.property("invalid"):
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        stroke = 1.5 * self.fontMetrics().lineWidth()
        painter.setPen(QPen(get_error_color(self.palette()), stroke))
        inside = QRectF(self.rect()).adjusted(stroke / 2, stroke / 2, -stroke / 2, -stroke / 2)
        painter.drawRoundedRect(inside, 2 * stroke, 2 * stroke)


class LineField(Field):
    """A text field: concepts, coordinates, labels."""

    is_wide = True

    def __init__(self, parameter: Parameter) -> None:
        self._line = MarkedLineEdit()
        super().__init__(parameter, self._line)
        self._line.setPlaceholderText(parameter.placeholder)
        self._line.setMaxLength(_NO_LIMIT)
        self._line.textChanged.connect(self.refresh)
        self._line.returnPressed.connect(self.submitted)

    def read_editor(self) -> str:
        """Returns the text."""
        return self._line.text()

    def show_value(self, text: str) -> None:
        """Sets the text and shows its beginning."""
        if text != self._line.text():
            self._line.setText(text)
            self._line.setCursorPosition(0)


class FileField(LineField):
    """A path, with a button to choose a file."""

    def __init__(self, parameter: Parameter) -> None:
        super().__init__(parameter)
        self.browse = QPushButton("Browse…")
        self.browse.setToolTip(self.editor.toolTip())
        self.browse.setAccessibleName(f"{parameter.label}: browse")
        self.browse.clicked.connect(self._choose_file)
        self.body = QWidget()
        row = QHBoxLayout(self.body)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._line, 1)
        row.addWidget(self.browse)

    def list_tab_stops(self) -> list[QWidget]:
        """Lists the line edit, then the button."""
        return [self._line, self.browse]

    def _choose_file(self) -> None:
        dialog = QFileDialog(self.browse, self.parameter.label)
        dialog.setNameFilter(self.parameter.file_filter)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        current = Path(self.value().strip() or ".").expanduser()
        dialog.setDirectory(str(current if current.is_dir() else current.parent))
        if dialog.exec():
            self._line.setText(dialog.selectedFiles()[0])
