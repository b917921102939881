from __future__ import annotations

import pytest
from PyQt6.QtGui import QPalette
from PyQt6.QtWidgets import QScrollArea

from infer_segment_anything_3.adapter.parameters.settings import PROMPT_MODES
from infer_segment_anything_3.tests.studio.measuring import NARROW_PX, cramped
from infer_segment_anything_3.tools.widget_pictures import (
    PALETTES,
    STATES,
    WIDTH_PX,
    render_picture,
)


def contrast(one, other):
    """WCAG 2's ratio of two colors, 1 to 21."""
    luminances = []
    for color in (one, other):
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color.getRgbF()[:3]
        ]
        luminances.append(sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


def test_every_mode_is_pictured():
    assert set(PROMPT_MODES) <= set(STATES)


@pytest.mark.parametrize("width_px", [NARROW_PX, WIDTH_PX])
@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("state", STATES)
def test_a_picture_shows_the_whole_form(new_widget, qt, tmp_path, state, palette, width_px):
    qt.setPalette(PALETTES[palette]())
    widget = new_widget()
    pixmap = render_picture(widget, STATES[state], width_px)
    path = tmp_path / "widget.png"
    assert pixmap.save(str(path))
    assert path.stat().st_size > 5_000

    assert pixmap.width() == width_px
    host = widget.panel.window()
    page = host.findChild(QScrollArea)
    assert page.verticalScrollBar().maximum() == page.horizontalScrollBar().maximum() == 0
    assert cramped(widget.panel) == []
    image = pixmap.toImage()
    ground = image.pixelColor(3, image.height() // 2)
    assert (ground.lightness() < 128) == (palette == "dark")
    colors = {image.pixel(x, y) for x in range(0, width_px, 3) for y in range(0, image.height(), 3)}
    assert len(colors) > 20


@pytest.mark.parametrize("palette", PALETTES)
def test_every_color_of_text_can_be_read(new_widget, qt, settle, palette):
    from infer_segment_anything_3.studio.theme import (
        get_error_color,
        get_include_color,
        get_quiet_color,
    )

    panel = new_widget().panel
    qt.setPalette(PALETTES[palette]())
    settle()
    ground = panel.palette().color(QPalette.ColorRole.Window)
    for color_of in (get_error_color, get_quiet_color, get_include_color):
        assert contrast(color_of(panel.palette()), ground) >= 4.5
