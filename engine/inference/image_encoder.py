"""Encodes images, once for the same pixels, and caches the result."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..images import RgbImage
from ..runtime.execution import ModelExecution
from ..runtime.memory import BatchLimits
from .cache import LruCache, count_tensor_bytes
from .concept_output import ConceptOutput

if TYPE_CHECKING:
    from .prompt_processor import PromptProcessor


MAX_IMAGES = 8
"""Encoded images kept, by default."""

MAX_BYTES = 2 * 1024**3
"""Bytes of encoded images and their concept outputs kept, by default.

A full-size image takes about 140 MB in float32, each concept asked of it about 10 MB more.
"""

MAX_CONCEPTS = 128
"""Concept outputs kept for one image: more than the concepts of one prompt."""

MAX_CONCEPT_BYTES = 1024**3
"""Bytes of concept outputs kept for one image."""


def _make_concept_cache() -> LruCache[tuple[Any, ...], ConceptOutput]:
    return LruCache(MAX_CONCEPTS, MAX_CONCEPT_BYTES, lambda output: output.nbytes)


@dataclasses.dataclass
class EncodedImage:
    """The image encoder's output for one image, and what was decoded from it so far.

    Attributes:
        state: Result of ``Sam3Processor.set_image``. Never changed: prompts work on copies.
        concepts: The detector's outputs by text, exemplars, their labels and reference.
    """

    state: dict[str, Any]
    concepts: LruCache[tuple[Any, ...], ConceptOutput] = dataclasses.field(
        default_factory=_make_concept_cache
    )

    @property
    def image_hw(self) -> tuple[int, int]:
        """Height and width of the image, in pixels: the size of its masks."""
        return self.state["original_height"], self.state["original_width"]

    @property
    def nbytes(self) -> int:
        """Bytes it keeps in memory; the position tables are shared by all images."""
        own = [features["backbone_fpn"] for features in _list_features(self.state)]
        return count_tensor_bytes(own) + self.concepts.nbytes


class ImageEncoder:
    """Runs the image encoder, at most once for the same pixels.

    Attributes:
        cache: The encoded images.
        encodings: Images encoded so far.
    """

    def __init__(self, processor: PromptProcessor, execution: ModelExecution) -> None:
        """Wraps a processor.

        Args:
            processor: The processor around the model.
            execution: The context of every forward pass.
        """
        self._processor = processor
        self._execution = execution
        self._last: tuple[RgbImage, float, bytes] | None = None
        self.cache: LruCache[bytes, EncodedImage] = LruCache(
            MAX_IMAGES, MAX_BYTES, lambda image: image.nbytes
        )
        self.encodings = 0

    def encode(
        self, image: RgbImage, size_percent: float = 100, keep: bool = True
    ) -> tuple[EncodedImage, bool]:
        """Encodes an image, or takes its encoding from the cache.

        Args:
            image: (H, W, 3) uint8, RGB. Keyed by content: a changed pixel is another image.
            size_percent: Shrinks the image first; what comes back still has its full size.
            keep: Whether to add it to the cache.

        Returns:
            The encoded image, and whether it came from the cache.
        """
        with self._execution.step():
            return self._encode(image, size_percent, keep)

    def _encode(
        self, image: RgbImage, size_percent: float, keep: bool
    ) -> tuple[EncodedImage, bool]:
        key = self._make_key(image, size_percent)
        known = self.cache.get(key)
        if known is not None:
            return known, True
        encoded = self.encode_uncached(image, size_percent)
        if keep:
            self.cache.put(key, encoded)
        return encoded, False

    def encode_uncached(self, image: RgbImage, size_percent: float = 100) -> EncodedImage:
        """Encodes an image without the cache.

        Args:
            image: (H, W, 3) uint8, RGB.
            size_percent: Shrinks the image first; the masks still have its full size.

        Returns:
            The encoded image.
        """
        with self._execution.step():
            # The processor reads the size of arrays wrongly unless channels come first.
            tensor = torch.from_numpy(_shrink(image, size_percent)).permute(2, 0, 1)
            state = self._processor.set_image(tensor)
        self.encodings += 1
        return _make_encoded(state, image)

    def encode_frame(self, image: RgbImage, size_percent: float = 100) -> EncodedImage:
        """Encodes a frame of a video, without the cache.

        Args:
            image: (H, W, 3) uint8, RGB.
            size_percent: See :meth:`encode_uncached`.

        Returns:
            The encoded frame; ``propagation`` in its state are the maps that only SAM 3.1's tracker
            needs, and empty for other weights.
        """
        neck = self._processor.model.backbone.vision_backbone
        with self._execution.step(), neck.collect_propagation() as maps:
            encoded = self.encode_uncached(image, size_percent)
        encoded.state["propagation"] = maps
        return encoded

    def encode_batch(
        self, images: Sequence[RgbImage], size_percent: float, limits: BatchLimits
    ) -> list[bool]:
        """Encodes the images that are not in the cache yet, and adds them to it.

        Args:
            images: N images, (H, W, 3) uint8, RGB, of any sizes; N is at most the number that
                the cache keeps.
            size_percent: Shrinks each first; the masks still have its full size.
            limits: How many images share a forward pass.

        Returns:
            Of each image whether it was encoded before, in the cache or as an earlier one.
        """
        keys = [_hash_content(image, size_percent) for image in images]
        with self._execution.step():
            known = {key: self.cache.get(key) for key in keys}
        new = [
            index
            for index, key in enumerate(keys)
            if known[key] is None and key not in keys[:index]
        ]
        for start in range(0, len(new), limits.images):
            batch = new[start : start + limits.images]
            pictures = [Image.fromarray(_shrink(images[k], size_percent)) for k in batch]
            with self._execution.step():
                features = self._processor.set_image_batch(pictures)["backbone_out"]
            self.encodings += len(batch)
            for row, index in enumerate(batch):
                state = {"backbone_out": _copy_row(features, row)}
                known[keys[index]] = _make_encoded(state, images[index])
        with self._execution.step():
            for key, encoded in known.items():
                if encoded is not None:
                    self.cache.put(key, encoded)
        return [index not in new for index in range(len(keys))]

    def _make_key(self, image: RgbImage, size_percent: float) -> bytes:
        # Most runs are on the image of the run before, and comparing is faster than hashing.
        if self._last is not None and self._last[1] == size_percent:
            pixels, _, key = self._last
            if np.array_equal(image, pixels):
                return key
        key = _hash_content(image, size_percent)
        self._last = (image.copy(), size_percent, key)
        return key


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


def _make_encoded(state: dict[str, Any], image: RgbImage) -> EncodedImage:
    """Makes an encoded image with the size that the image had before it was shrunk."""
    state["original_height"], state["original_width"] = image.shape[:2]
    return EncodedImage(state)


def _list_features(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Lists the features for concepts and, if the model has a tracker, those for objects."""
    features = state["backbone_out"]
    interactive = features["sam2_backbone_out"]
    return [features] if interactive is None else [features, interactive]


def _copy_row(features: Any, row: int) -> Any:
    """Copies one image's part out of the features of a batch."""
    if isinstance(features, Tensor):
        own = features[row : row + 1]
        # A view would keep the features of the whole batch. Position tables are no batch.
        return own if own.nbytes == own.untyped_storage().nbytes() else own.clone()
    if isinstance(features, dict):
        return {name: _copy_row(value, row) for name, value in features.items()}
    return [_copy_row(value, row) for value in features] if features is not None else None


def _shrink(image: RgbImage, size_percent: float) -> RgbImage:
    if size_percent >= 100:
        # Read-only arrays cannot become tensors without a warning.
        return image if image.flags.writeable else image.copy()
    height, width = (max(1, round(n * size_percent / 100)) for n in image.shape[:2])
    shrunk = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, dtype=np.uint8)


def _hash_content(image: RgbImage, size_percent: float) -> bytes:
    # Processors have instructions for SHA-1: five times as fast as BLAKE2 where they do.
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(repr((image.shape, size_percent)).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()
