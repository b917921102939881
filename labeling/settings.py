"""Compares the settings of a job with those that its folder was begun with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def refuse_other_settings(
    before: Mapping[str, Any], settings: Mapping[str, Any], address: str
) -> None:
    """Raises ValueError that names the first setting that differs.

    Args:
        before: Settings that the folder was begun with, as read from JSON.
        settings: Those of now.
        address: Of the folder, for the message.
    """
    now = json.loads(json.dumps(settings))
    for name in [*before, *(key for key in now if key not in before)]:
        if before.get(name) != now.get(name):
            raise ValueError(
                f"{name}: this folder was begun with {before.get(name)!r}, got "
                f"{now.get(name)!r}; repeat the first or take another out than {address!r}"
            )
