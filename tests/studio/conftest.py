"""What the widget's tests share: Qt itself, and a form on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PyQt6.QtWidgets import QApplication, QScrollArea

if TYPE_CHECKING:
    from infer_segment_anything_3.studio.panel import Panel


@pytest.fixture(scope="session")
def qt() -> QApplication:
    """Qt's application, the one there may be."""
    running = QApplication.instance()
    application = running if isinstance(running, QApplication) else QApplication([])
    application.setStyle("fusion")
    return application


@pytest.fixture
def settle(qt: QApplication) -> Iterator[Callable[[], None]]:
    """Lets Qt do everything it has put off; light, and in the default font, again afterwards."""
    from infer_segment_anything_3.tools.widget_pictures import make_light_palette

    font = qt.font()

    def process() -> None:
        for _ in range(3):
            qt.processEvents()

    qt.setPalette(make_light_palette())
    yield process
    qt.setPalette(make_light_palette())
    qt.setFont(font)


@pytest.fixture
def panel(qt: QApplication, settle: Callable[[], None]) -> Iterator[Panel]:
    """A form that shows, narrow and scrolling as in Studio's side bar."""
    from infer_segment_anything_3.studio.panel import Panel
    from infer_segment_anything_3.tests.studio.measuring import NARROW_PX

    form = Panel()
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setWidget(form)
    scroll.resize(NARROW_PX, 900)
    scroll.show()
    scroll.activateWindow()
    settle()
    yield form
    scroll.close()
    scroll.deleteLater()
    settle()


@pytest.fixture
def new_widget(ikomia_home: Path, settle: Callable[[], None]) -> Iterator[Callable[..., Any]]:
    """Makes widgets as Studio does: ``new_widget(param=None)``."""
    from infer_segment_anything_3.infer_segment_anything_3 import IkomiaPlugin

    made = []

    def make(param: Any = None) -> Any:
        widget = IkomiaPlugin().get_widget_factory().create(param)
        made.append(widget)
        return widget

    yield make
    for widget in made:
        widget.panel.window().close()
    settle()
