"""Encodes images once: the image encoder's output, cached by content."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from .cache import LruCache, tensor_bytes
from .concepts import PromptProcessor
from .grounding import Grounding

RgbImage = npt.NDArray[np.uint8]

MAX_IMAGES = 8
"""Encoded images kept, by default."""

MAX_BYTES = 2 * 1024**3
"""Bytes of encoded images and their groundings kept, by default.

A full-size image takes about 140 MB in float32, each concept asked of it about 10 MB more.
"""

MAX_GROUNDINGS = 128
"""Groundings kept of one image: more than the concepts of one prompt."""

MAX_GROUNDING_BYTES = 1024**3
"""Bytes of groundings kept of one image."""


_SIZE_KEYS = ("original_height", "original_width")


def _no_groundings() -> LruCache[tuple[Any, ...], Grounding]:
    return LruCache(MAX_GROUNDINGS, MAX_GROUNDING_BYTES, lambda grounding: grounding.nbytes)


@dataclasses.dataclass
class EncodedImage:
    """An image as the model sees it, and what was grounded on it so far.

    Attributes:
        state: What ``Sam3Processor.set_image`` gives. Never changed: prompts work on copies.
        groundings: By text, exemplars and their labels.
    """

    state: dict[str, Any]
    groundings: LruCache[tuple[Any, ...], Grounding] = dataclasses.field(
        default_factory=_no_groundings
    )

    @property
    def nbytes(self) -> int:
        """Bytes it keeps alive; the position tables are shared by all images."""
        own = [holder["backbone_fpn"] for holder in _feature_holders(self.state)]
        return tensor_bytes(own) + self.groundings.nbytes


class ImageEncoder:
    """Runs the image encoder, at most once for the same pixels.

    Not thread-safe: the engine holds its lock around every use.

    Attributes:
        cache: The encoded images.
        encodings: Images encoded so far.
    """

    def __init__(self, processor: PromptProcessor) -> None:
        """Wraps a processor.

        Args:
            processor: The processor.
        """
        self._processor = processor
        self._positions: dict[tuple[int, ...], Tensor] = {}
        self._last: tuple[RgbImage, float, bytes] | None = None
        self.cache: LruCache[bytes, EncodedImage] = LruCache(
            MAX_IMAGES, MAX_BYTES, lambda image: image.nbytes
        )
        self.encodings = 0

    def encode(
        self, image: RgbImage, size_percent: float = 100, keep: bool = True
    ) -> tuple[EncodedImage, bool]:
        """Encodes an image or recalls it.

        Args:
            image: (H, W, 3) uint8, RGB. Keyed by content: a changed pixel is another image.
            size_percent: Shrinks the image first; what comes back still has its full size.
            keep: Whether to remember it.

        Returns:
            The encoded image, and whether it was recalled.
        """
        key = self._key(image, size_percent)
        known = self.cache.get(key)
        if known is not None:
            return known, True
        encoded = self.encode_anew(image, size_percent)
        if keep:
            self.cache.put(key, encoded)
        return encoded, False

    def encode_anew(self, image: RgbImage, size_percent: float = 100) -> EncodedImage:
        """Encodes an image without looking for it in the cache, as for frames of a video.

        Args:
            image: (H, W, 3) uint8, RGB.
            size_percent: Shrinks the image first; what comes back still has its full size.

        Returns:
            The encoded image.
        """
        # The processor reads the size of arrays wrongly unless channels come first.
        tensor = torch.from_numpy(_shrunk(image, size_percent)).permute(2, 0, 1)
        state = self._processor.set_image(tensor)
        self.encodings += 1
        state |= dict(zip(_SIZE_KEYS, image.shape[:2], strict=True))
        return self._finish(state)

    def encode_batch(
        self, images: Sequence[RgbImage], size_percent: float, batch_size: int
    ) -> list[EncodedImage]:
        """Encodes several images, a batch in one forward pass; known ones are recalled.

        Args:
            images: N images, (H, W, 3) uint8, RGB, of any sizes.
            size_percent: Shrinks each first; what comes back still has its full size.
            batch_size: The most images in one forward pass.

        Returns:
            N encoded images; none of them is added to the cache.
        """
        keys = [_content_key(image, size_percent) for image in images]
        known = {key: self.cache.get(key) for key in keys}
        new = [index for index, key in enumerate(keys) if known[key] is None]
        for start in range(0, len(new), batch_size):
            batch = new[start : start + batch_size]
            pictures = [Image.fromarray(_shrunk(images[k], size_percent)) for k in batch]
            features = self._processor.set_image_batch(pictures)["backbone_out"]
            self.encodings += len(batch)
            for row, index in enumerate(batch):
                state = {"backbone_out": _take_row(features, row)}
                state |= dict(zip(_SIZE_KEYS, images[index].shape[:2], strict=True))
                known[keys[index]] = self._finish(state)
        return [encoded for encoded in map(known.get, keys) if encoded is not None]

    def remember(self, image: RgbImage, size_percent: float, encoded: EncodedImage) -> None:
        """Adds an encoded image to the cache, as if :meth:`encode` had made it."""
        self.cache.put(self._key(image, size_percent), encoded)

    def _finish(self, state: dict[str, Any]) -> EncodedImage:
        for holder in _feature_holders(state):
            holder["vision_pos_enc"] = [self._shared(t) for t in holder["vision_pos_enc"]]
        return EncodedImage(state)

    def _key(self, image: RgbImage, size_percent: float) -> bytes:
        # Most runs are on the image of the run before, and comparing is faster than hashing.
        if self._last is not None and self._last[1] == size_percent:
            pixels, _, key = self._last
            if np.array_equal(image, pixels):
                return key
        key = _content_key(image, size_percent)
        self._last = (image.copy(), size_percent, key)
        return key

    def _shared(self, position_table: Tensor) -> Tensor:
        # The package copies these constant tables for every image: 110 MB at full size.
        return self._positions.setdefault(tuple(position_table.shape), position_table)


def check_rgb(image: RgbImage) -> None:
    """Raises TypeError unless this is a non-empty (H, W, 3) uint8 array."""
    good = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3
    if not good or image.shape[2] != 3 or 0 in image.shape:
        what = (
            f"{image.dtype} of shape {image.shape}"
            if isinstance(image, np.ndarray)
            else str(type(image))
        )
        raise TypeError(f"image: expected a non-empty (H, W, 3) uint8 array, got {what}")


def _feature_holders(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Features for concepts and, where the model has the interactive part, for objects."""
    features = state["backbone_out"]
    interactive = features["sam2_backbone_out"]
    return [features] if interactive is None else [features, interactive]


def _take_row(features: Any, row: int) -> Any:
    """Copies one image's part out of the features of a batch."""
    if isinstance(features, Tensor):
        # A copy: a view would keep the features of the whole batch.
        return features[row : row + 1].clone()
    if isinstance(features, dict):
        return {name: _take_row(value, row) for name, value in features.items()}
    return [_take_row(value, row) for value in features] if features is not None else None


def _shrunk(image: RgbImage, size_percent: float) -> RgbImage:
    if size_percent >= 100:
        # Read-only arrays cannot become tensors without a warning.
        return image if image.flags.writeable else image.copy()
    height, width = (max(1, round(n * size_percent / 100)) for n in image.shape[:2])
    shrunk = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, dtype=np.uint8)


def _content_key(image: RgbImage, size_percent: float) -> bytes:
    # Processors have instructions for SHA-1: five times as fast as BLAKE2 where they do.
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(repr((image.shape, size_percent)).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()
