"""Reads the image of the task's input."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...engine.images import to_rgb_uint8


def read_image(source: Any) -> npt.NDArray[np.uint8]:
    """Reads the input's image as RGB, in memory of its own.

    Args:
        source: The task's input 0.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: If there is no image, or it is not one of :func:`to_rgb_uint8`'s kinds.
    """
    if source is None or not source.is_data_available():
        raise ValueError("input 0: expected an image, got nothing")
    array = source.get_image()
    image = to_rgb_uint8(array)
    # Output 0 goes to tasks that may draw on it.
    return image.copy() if np.may_share_memory(image, array) else image
