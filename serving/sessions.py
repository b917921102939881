"""Stores embedded images by id, and the logits of clients' last masks."""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..engine import Instance, PromptedObject
from ..engine.inference.cache import LruCache
from ..engine.inference.interactive import get_point_labels
from .errors import ApiError
from .images import DecodedImage

MAX_IMAGES = 64
MAX_IMAGE_BYTES = 512 * 1024**2
MAX_LOGITS = 1024
MAX_LOGIT_BYTES = 256 * 1024**2

Logits = npt.NDArray[np.float32]
_Key = tuple[str, bytes, object, object, object]


class ImageSessions:
    """Stores images in memory by id; only the owner who stored one gets it."""

    def __init__(self) -> None:
        """Starts empty."""
        self._images: LruCache[tuple[str, str], DecodedImage] = LruCache(
            MAX_IMAGES, MAX_IMAGE_BYTES, lambda image: image.nbytes
        )
        # Clients embed the same file again and again, each time under a new id.
        self._stored: weakref.WeakValueDictionary[bytes, DecodedImage] = (
            weakref.WeakValueDictionary()
        )

    def put(self, owner: str, image: DecodedImage, image_id: str | None = None) -> str:
        """Stores an image; the pixels of the same file are kept once, whatever it is called.

        Args:
            owner: Whose it is.
            image: The image.
            image_id: What the owner wants to call it; a random one by default.

        Returns:
            The id.
        """
        image_id = image_id or secrets.token_urlsafe(18)
        image = self._stored.setdefault(image.digest, image)
        self._images.put((owner, image_id), image)
        return image_id

    def get(self, owner: str, image_id: str) -> DecodedImage:
        """Returns the image that an owner stored.

        Raises:
            ApiError: 404 if this owner has none of this id, or it was dropped.
        """
        image = self._images.get((owner, image_id))
        if image is None:
            raise ApiError(
                404, "image_id: no image is stored under it; send it to /sam3/embed_image again"
            )
        return image


class LogitsStore:
    """Stores mask logits by owner, image and prompt, to refine a mask by the next click."""

    def __init__(self) -> None:
        """Starts empty."""
        self._logits: LruCache[_Key, Logits] = LruCache(
            MAX_LOGITS, MAX_LOGIT_BYTES, lambda logits: logits.nbytes
        )

    def put_all(
        self,
        owner: str,
        digest: bytes,
        objects: Sequence[PromptedObject],
        instances: Sequence[Instance],
    ) -> None:
        """Stores the logits that the objects of an image were answered with."""
        for prompted, instance in zip(objects, instances, strict=True):
            if instance.low_res_logits is not None:
                key = _make_key(owner, digest, prompted, len(prompted.points_xy))
                self._logits.put(key, instance.low_res_logits)

    def find(self, owner: str, digest: bytes, prompted: PromptedObject) -> Logits | None:
        """Finds the logits of the same object with fewer points: same box, same first points.

        Of several, those with the most points. With a moved point or another box there are none.
        """
        for count in reversed(range(len(prompted.points_xy))):
            logits = self._logits.get(_make_key(owner, digest, prompted, count))
            if logits is not None:
                return logits
        return None


def _make_key(owner: str, digest: bytes, prompted: PromptedObject, count: int) -> _Key:
    labels = get_point_labels(prompted)[:count]
    return owner, digest, prompted.box_xyxy, prompted.points_xy[:count], labels
