"""Declares the results, as frozen values: masks stored as crops, instances, a whole result."""

from __future__ import annotations

import dataclasses
import html
import json
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .validation import value_error

BoxXyxy = tuple[float, float, float, float]

_SHOWN_ROWS = 20
"""Instances that a notebook lists."""


@dataclasses.dataclass(frozen=True, eq=False)
class Mask:
    """Stores a binary mask as the crop that holds its pixels.

    Masks are equal if they have the same pixels on images of the same size.

    Attributes:
        image_hw: Height and width of the image it belongs to, in pixels.
        origin_xy: Left and top of the crop, in pixels.
        crop: (h, w) bool; (0, 0) for an empty mask.
    """

    image_hw: tuple[int, int]
    origin_xy: tuple[int, int]
    crop: npt.NDArray[np.bool_]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return (
            self.image_hw == other.image_hw
            and self.origin_xy == other.origin_xy
            and np.array_equal(self.crop, other.crop)
        )

    def __hash__(self) -> int:
        return hash((self.image_hw, self.origin_xy, self.crop.shape, self.area))

    @classmethod
    def from_full(cls, full: npt.NDArray[np.bool_]) -> Mask:
        """Crops a mask of the image's size.

        Args:
            full: (H, W) bool.

        Returns:
            The mask, with a copy of the crop.
        """
        hw = (full.shape[0], full.shape[1])
        rows = np.flatnonzero(full.any(axis=1))
        if not len(rows):
            return cls(hw, (0, 0), np.zeros((0, 0), bool))
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        columns = np.flatnonzero(full[top:bottom].any(axis=0))
        left, right = int(columns[0]), int(columns[-1]) + 1
        return cls(hw, (left, top), full[top:bottom, left:right].copy())

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.crop))

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """Tight box in pixels, exclusive right and bottom; all 0 for an empty mask."""
        (left, top), (height, width) = self.origin_xy, self.crop.shape
        return left, top, left + width, top + height

    def compute_main_box(self, min_share: float = 0.01) -> tuple[int, int, int, int]:
        """Computes the tight box of the mask without its specks.

        Args:
            min_share: Connected parts (8 neighbors) smaller than this share of the mask's area
                are left out; the largest part never is. 0..1.

        Returns:
            Left, top, right and bottom in pixels, the last two exclusive; all 0 for an empty mask.
        """
        if not self.crop.size:  # OpenCV crashes on an empty array
            return self.xyxy
        # Here, because importing OpenCV changes the environment: see runtime/isolation.py.
        import cv2

        count, _, parts, _ = cv2.connectedComponentsWithStats(self.crop.view(np.uint8))
        if count <= 2:  # the background, and one part at most
            return self.xyxy
        areas = parts[1:, cv2.CC_STAT_AREA]
        parts = parts[1:][areas >= min(min_share * self.area, areas.max())]
        left, top = parts[:, cv2.CC_STAT_LEFT], parts[:, cv2.CC_STAT_TOP]
        right = (left + parts[:, cv2.CC_STAT_WIDTH]).max()
        bottom = (top + parts[:, cv2.CC_STAT_HEIGHT]).max()
        x, y = self.origin_xy
        return x + int(left.min()), y + int(top.min()), x + int(right), y + int(bottom)

    @property
    def centroid_xy(self) -> tuple[float, float]:
        """Mean position of its pixels, (x, y) in pixels; NaN for an empty mask."""
        if not self.crop.any():
            return float("nan"), float("nan")
        x, y = (
            origin + float(np.average(np.arange(length) + 0.5, weights=self.crop.sum(axis=axis)))
            for origin, length, axis in zip(
                self.origin_xy, self.crop.shape[::-1], (0, 1), strict=True
            )
        )
        return x, y

    def full(self) -> npt.NDArray[np.bool_]:
        """Returns the mask at the image's size, (H, W) bool, a new array."""
        canvas = np.zeros(self.image_hw, bool)
        left, top, right, bottom = self.xyxy
        canvas[top:bottom, left:right] = self.crop
        return canvas


@dataclasses.dataclass(frozen=True)
class PackedMask:
    """Stores a mask at one bit a pixel, for caches.

    Attributes:
        image_hw: Height and width of the image it belongs to, in pixels.
        origin_xy: Left and top of the crop, in pixels.
        crop_hw: Height and width of the crop.
        bits: Its pixels, row after row, ceil(h * w / 8) bytes.
    """

    image_hw: tuple[int, int]
    origin_xy: tuple[int, int]
    crop_hw: tuple[int, int]
    bits: bytes

    @classmethod
    def from_mask(cls, mask: Mask) -> PackedMask:
        """Packs a mask."""
        height, width = mask.crop.shape
        bits = np.packbits(mask.crop).tobytes()
        return cls(mask.image_hw, mask.origin_xy, (height, width), bits)

    def unpack(self) -> Mask:
        """Returns the mask, with an array of its own."""
        height, width = self.crop_hw
        packed = np.frombuffer(self.bits, np.uint8)
        pixels = np.unpackbits(packed, count=height * width).view(np.bool_)
        return Mask(self.image_hw, self.origin_xy, pixels.reshape(height, width))


@dataclasses.dataclass(frozen=True)
class Instance:
    """Describes one instance on one image.

    Attributes:
        class_index: Index into the result's class names.
        score: Concept: presence score times query score; object: predicted IoU. 0 to 1.
        box_xyxy: Concept: the model's own float box; object, and on videos: the tight box of
            the mask without parts below 1 % of it, or the prompt's box or point when the mask is
            empty. Pixels of the image.
        mask: Its pixels.
        alternatives: With ``multimask``: the second and third candidate, by falling score.
        low_res_logits: Of an object prompt with ``return_logits``: (1, g, g) float32 mask
            logits, to be given back as ``PromptedObject.mask_input``. Not compared.
        track_id: On videos: the same from frame to frame. None on images.
    """

    class_index: int
    score: float
    box_xyxy: BoxXyxy
    mask: Mask
    alternatives: tuple[Instance, ...] = ()
    low_res_logits: npt.NDArray[np.float32] | None = dataclasses.field(
        default=None, repr=False, compare=False
    )
    track_id: int | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """Holds the instances of one run on one image.

    Attributes:
        image_hw: Height and width of the image, in pixels.
        class_names: Name of each class.
        instances: Concepts: sorted by class, then falling score. Objects: in prompt order,
            exactly one for each. On videos: sorted by class, then track id.
        image_was_cached: Whether the image had been encoded before.
        truncated: Names of the classes that took more than half of the model's queries on one
            view, so that there may be more instances than were returned.
        frame_index: On videos: index of the frame, from 0. None on images.
        removed_track_ids: On videos: tracks that turned out to be false starts on this frame;
            their earlier instances may be discarded.
        best_scores: Of each concept, the highest score of anything on the image, also at or
            below the threshold. Empty for objects, everything and videos.
        tile_grid: Rows and columns of the tiles that were taken; (1, 1) for none.
    """

    image_hw: tuple[int, int]
    class_names: tuple[str, ...]
    instances: tuple[Instance, ...]
    image_was_cached: bool = False
    truncated: tuple[str, ...] = ()
    frame_index: int | None = None
    removed_track_ids: tuple[int, ...] = ()
    best_scores: tuple[float, ...] = ()
    tile_grid: tuple[int, int] = (1, 1)

    def plot(self, image: npt.NDArray[np.uint8], labels: bool = True) -> npt.NDArray[np.uint8]:
        """Draws the instances over their image: a tint, an outline and a label each.

        Args:
            image: (H, W, 3) uint8, RGB: the image that was segmented. Not written to.
            labels: Whether to write names and scores, and track ids on videos.

        Returns:
            A new image, (H, W, 3) uint8, RGB.

        Raises:
            ValueError: If the image has another size than the result's.
        """
        from .drawing.overlay import draw_result

        return draw_result(image, self, labels=labels)

    def save(self, path: str | Path, image: npt.NDArray[np.uint8] | None = None) -> Path:
        """Writes a picture of the instances, or their data as COCO JSON.

        Args:
            path: ``.png`` or ``.jpg`` for what :meth:`plot` draws, ``.json`` for COCO's terms.
            image: (H, W, 3) uint8, RGB: the image that was segmented; a picture needs it.

        Returns:
            The path.

        Raises:
            ValueError: If the suffix is another one, or a picture is asked for without the image.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == ".json":
            from .export.coco import to_coco

            path.write_text(json.dumps(to_coco(self)), encoding="utf-8")
        elif suffix not in (".png", ".jpg", ".jpeg"):
            raise value_error("path", "a name that ends in .png, .jpg or .json", str(path))
        elif image is None:
            raise ValueError("image: expected the image that was segmented, got none")
        else:
            from PIL import Image

            Image.fromarray(self.plot(image)).save(path, quality=92)
        return path

    def count_by_class(self) -> dict[str, int]:
        """Counts the instances of each class, in the order of the classes."""
        counts = Counter(instance.class_index for instance in self.instances)
        return {name: counts[index] for index, name in enumerate(self.class_names)}

    def __repr__(self) -> str:
        """Returns one line: the image's size and how many instances each class has."""
        counts = self.count_by_class().items()
        found = ", ".join(f"{count} {name}" for name, count in counts) or "nothing"
        where = "" if self.frame_index is None else f"frame {self.frame_index}, "
        return f"<Result: {where}{self.image_hw[1]} x {self.image_hw[0]} px, {found}>"

    def _repr_html_(self) -> str:
        """Returns a table of the first instances, which notebooks show."""
        head = "".join(f"<th>{name}</th>" for name in ("class", "score", "box (xyxy)", "area (px)"))
        rows = "".join(
            f"<tr><td>{html.escape(self.class_names[i.class_index])}</td><td>{i.score:.2f}</td>"
            f"<td>{', '.join(f'{value:.0f}' for value in i.box_xyxy)}</td>"
            f"<td>{i.mask.area}</td></tr>"
            for i in self.instances[:_SHOWN_ROWS]
        )
        return f"<p>{html.escape(repr(self))}</p><table><tr>{head}</tr>{rows}</table>"
