"""The widget's line about what is followed, and its button to start over."""

from __future__ import annotations


def test_it_is_hidden_until_something_is_followed(panel, settle):
    assert panel.tracking.isHidden()
    assert panel.tracking.button not in panel.list_tab_stops()
    panel.tracking.show_text("Tracking: 2 in view (ids 0, 1).")
    settle()
    assert panel.tracking.button.isVisible()
    assert panel.tracking.button in panel.list_tab_stops()
