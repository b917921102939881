"""Holds the checked content of a COCO file as typed values."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

BoxXywh = tuple[float, float, float, float]
Polygon = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Category:
    """A class of the data set.

    Attributes:
        id: Its COCO id.
        name: Its name.
    """

    id: int
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class CocoImage:
    """An image of a COCO file.

    Attributes:
        id: Its COCO id.
        file_name: Its path below the folder of the images.
        hw: Height and width in pixels; None where neither the file nor the image was asked.
    """

    id: int
    file_name: str
    hw: tuple[int, int] | None


@dataclasses.dataclass(frozen=True, slots=True)
class RunLengths:
    """Holds a mask as COCO's compressed run lengths.

    Attributes:
        hw: Height and width of the image, in pixels.
        counts: The compressed run lengths, ASCII.
    """

    hw: tuple[int, int]
    counts: str


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CocoAnnotation:
    """An annotation of a COCO file: an object, or a region with a crowd of them.

    Attributes:
        id: Its COCO id, unique in the data set.
        image_id: Its image, which the data set holds.
        category_id: Its category, which the data set holds.
        box_xywh: Left, top, width and height in pixels; the file's own, or the bounds of its
            mask where the file has none. Width and height are above 0; the box may reach out
            of the image.
        mask: Polygons of at least three points, each (2 N,) as x, y, x, y, ... in pixels; or
            run lengths. None for a box alone.
        area_px: Pixels that the file says; None where it says nothing of use.
        is_crowd: Whether it is a region with several objects.
    """

    id: int
    image_id: int
    category_id: int
    box_xywh: BoxXywh
    mask: tuple[Polygon, ...] | RunLengths | None
    area_px: float | None
    is_crowd: bool

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in pixels."""
        x, y, width, height = self.box_xywh
        return x, y, x + width, y + height

    def encode_mask(self, hw: tuple[int, int]) -> dict[str, Any]:
        """Encodes its mask as COCO's compressed run lengths.

        Args:
            hw: Height and width of its image, in pixels.

        Returns:
            ``size`` as [height, width] and ``counts`` as str. Without a mask that of its box.
        """
        from pycocotools import mask as mask_api

        if isinstance(self.mask, RunLengths):
            return {"size": list(self.mask.hw), "counts": self.mask.counts}
        left, top, right, bottom = self.box_xyxy
        corners = [np.array([left, top, right, top, right, bottom, left, bottom])]
        parts = mask_api.frPyObjects(list(self.mask or corners), *hw)
        merged = parts[0] if len(parts) == 1 else mask_api.merge(parts)
        return {"size": list(hw), "counts": merged["counts"].decode("ascii")}

    def decode_mask(self, hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Decodes its mask, or its box without one, to (H, W) bool for an image of that size."""
        from pycocotools import mask as mask_api

        return np.asarray(mask_api.decode(self.encode_mask(hw))).view(np.bool_)


@dataclasses.dataclass(frozen=True, eq=False)
class CocoDataSet:
    """Holds a COCO file whose every value was checked.

    Attributes:
        images: In the order of their ids, which are unique.
        categories: In the order of the file; ids are unique.
        annotations: In the order of the file, of these images and categories alone.
        notes: One sentence for each kind of thing that was left out, derived or corrected.
        sha256: Of the file's bytes, hexadecimal.
    """

    images: tuple[CocoImage, ...]
    categories: tuple[Category, ...]
    annotations: tuple[CocoAnnotation, ...]
    notes: tuple[str, ...] = ()
    sha256: str = ""

    def take_first(self, images: int) -> CocoDataSet:
        """Keeps the first images and their annotations; all of them for 0."""
        if not images or images >= len(self.images):
            return self
        kept = self.images[:images]
        known = {image.id for image in kept}
        return dataclasses.replace(
            self,
            images=kept,
            annotations=tuple(a for a in self.annotations if a.image_id in known),
        )
