"""Declares the reference image: a picture in which the exemplars for other images are marked."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import numpy.typing as npt

from .validation import value_error


@dataclasses.dataclass(frozen=True)
class ReferenceImage:
    """The picture in which the exemplar boxes of a prompt lie.

    Two of them are equal if their pixels are.

    Attributes:
        pixels: (H, W, 3) uint8, RGB. A copy that cannot be written to.
        sha256: Of its size and pixels, hexadecimal.

    Raises:
        ValueError: If the pixels are no such array.
    """

    pixels: npt.NDArray[np.uint8] = dataclasses.field(compare=False, repr=False)
    sha256: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        pixels = self.pixels
        expected = "an image of shape (H, W, 3) uint8, RGB, not empty"
        if not isinstance(pixels, np.ndarray):
            raise value_error("reference", expected, type(pixels).__name__)
        is_rgb = pixels.ndim == 3 and pixels.shape[2] == 3 and 0 not in pixels.shape
        if not is_rgb or pixels.dtype != np.uint8:
            raise value_error("reference", expected, f"{pixels.dtype} of shape {pixels.shape}")
        own = pixels.copy(order="C")
        own.flags.writeable = False
        digest = hashlib.sha256(repr(own.shape).encode())
        digest.update(own.data)
        object.__setattr__(self, "pixels", own)
        object.__setattr__(self, "sha256", digest.hexdigest())

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]
