"""Decodes Label Studio's brush RLE bit by bit, as its own front end does."""

from __future__ import annotations

import numpy as np


def decode_brush_rle(rle: list[int], hw: tuple[int, int]) -> np.ndarray:
    """The mask, (H, W) bool. Written from the format's description, for tests alone."""
    bits = "".join(f"{byte:08b}" for byte in rle)
    place = 0

    def read(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    length, value_bits = read(32), read(5) + 1
    widths = [read(4) + 1 for _ in range(4)]
    values: list[np.ndarray] = []
    count = 0
    while count < length:
        is_run, width = read(1), widths[read(2)]
        repeat = read(width) + 1
        if is_run:
            values.append(np.full(repeat, read(value_bits)))
        else:
            values.append(np.array([read(value_bits) for _ in range(repeat)]))
        count += repeat
    assert count == length
    rgba = np.concatenate(values).reshape(*hw, 4)
    assert (rgba == rgba[..., :1]).all(), "every channel says the same"
    return rgba[..., 3] > 128
