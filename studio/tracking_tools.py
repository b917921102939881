"""Shows the tracked objects of a video, and a button to start over."""

from __future__ import annotations

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QHBoxLayout, QPushButton, QWidget

from .fields import make_tooltip
from .theme import Note, get_quiet_color

_HELP = "Forgets the objects that are followed; the next frame is the first of a video."


class TrackingTools(QWidget):
    """Shows the tracked objects and a button to start over; hidden until a run tracks objects.

    Attributes:
        note: What is followed.
        button: Asks to start over.
        start_over: Emitted when it is pressed.
    """

    start_over = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.note = Note(get_quiet_color)
        self.button = QPushButton("Start over")
        self.button.setObjectName("Start over")
        self.button.setAccessibleName("Start tracking over")
        self.button.setToolTip(make_tooltip(_HELP))
        self.button.clicked.connect(self.start_over)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.note, 1)
        row.addWidget(self.button)
        self.show_text("")

    def show_text(self, note: str) -> None:
        """Shows the text about the tracked objects.

        Args:
            note: One line; empty where nothing is.
        """
        self.note.show_text(note)
        self.setHidden(not note)
