"""Reads COCO files and checks every value that is used.

What can be used honestly is used, with a note; what cannot is refused in one sentence that
names the image or annotation. docs/labeling.md has the table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from ...engine.validation import has_control_characters, value_error
from ...engine.wording import count_things, list_first
from ..addresses import resolve_address
from .data_set import BoxXywh, Category, CocoAnnotation, CocoDataSet, CocoImage
from .shapes import ShapeError, find_bounds, is_image_size, is_number, read_box, read_mask, to_id

SizeReader = Callable[[str], tuple[int, int]]
"""Reads height and width of an image by its ``file_name``; ValueError if it cannot."""

_PARTS = ("images", "categories", "annotations")


def read_coco(option: str, address: str, read_size: SizeReader | None = None) -> CocoDataSet:
    """Reads a COCO file.

    Args:
        option: Name of the option that names it, for the errors.
        address: Path or address of the file.
        read_size: Reads the size of an image for which the file says none. Without it sizes
            stay unknown.

    Returns:
        Its checked content.

    Raises:
        ValueError: If it cannot be read, or holds what cannot be used; one sentence that
            begins with the option.
    """
    fs, path = resolve_address(option, address)
    try:
        content = bytes(fs.cat_file(path))
        data = json.loads(content)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise value_error(option, f"a COCO file that can be read ({reason})", address) from error
    except (ValueError, RecursionError) as error:
        reason = f"it is no JSON: {' '.join(str(error).split())[:100]}"
        raise value_error(option, f"a COCO file that can be read ({reason})", address) from error
    return parse_coco(option, data, address, hashlib.sha256(content).hexdigest(), read_size)


def parse_coco(
    option: str,
    data: object,
    address: str = "",
    sha256: str = "",
    read_size: SizeReader | None = None,
) -> CocoDataSet:
    """Checks the content of a COCO file.

    Args:
        option: Name of the option that names it, for the errors.
        data: What its JSON holds.
        address: Where it was read from, for the errors.
        sha256: Of its bytes.
        read_size: As for :func:`read_coco`.

    Returns:
        Its checked content.

    Raises:
        ValueError: As :func:`read_coco`.
    """
    if not isinstance(data, Mapping):
        raise value_error(option, "a COCO file (a JSON object)", address or data)
    missing = [part for part in _PARTS if not isinstance(data.get(part), (list, tuple))]
    if missing:
        reason = f"without a list of {', '.join(missing)}"
        expected = f"a COCO file with images, categories and annotations ({reason})"
        raise value_error(option, expected, address or sorted(map(str, data)))
    parser = _Parser(option, read_size)
    categories = parser.read_categories(data["categories"])
    images = parser.read_images(data["images"])
    if not images or not categories:
        empty = "images" if not images else "categories"
        expected = f"a COCO file with images and categories (it has no {empty})"
        raise value_error(option, expected, address)
    annotations = parser.read_annotations(data["annotations"], images, categories)
    return CocoDataSet(
        tuple(sorted(images.values(), key=lambda image: image.id)),
        tuple(categories.values()),
        annotations,
        parser.make_notes(),
        sha256,
    )


class _Parser:
    """Checks the lists of one file, and remembers what was left out, derived or corrected."""

    def __init__(self, option: str, read_size: SizeReader | None) -> None:
        self._option = option
        self._read_size = read_size
        self._remarks: dict[str, list[object]] = {}

    def make_notes(self) -> tuple[str, ...]:
        """Makes a sentence for each remark, with the count and the first ids."""
        return tuple(
            f"{count_things(len(ids), noun)} {remark}: {list_first(ids)}"
            for (noun, _, remark), ids in (
                (key.partition("|"), ids) for key, ids in self._remarks.items()
            )
        )

    def read_categories(self, records: Any) -> dict[int, Category]:
        """Reads ``categories``, by id."""
        categories: dict[int, Category] = {}
        for index, record in enumerate(records):
            place = f"categories[{index}]"
            number = self._read_id(record, place)
            name = record.get("name")
            if not isinstance(name, str) or not name.strip() or has_control_characters(name):
                raise self._refuse(f"category {number}", "a name", name)
            if number in categories and categories[number].name != name:
                expected = f"an id of its own ({number} is {categories[number].name!r}, too)"
                raise self._refuse(place, expected, name)
            if number in categories:
                self._note("category id|is listed twice with the same name", number)
            categories[number] = Category(number, name)
        return categories

    def read_images(self, records: Any) -> dict[int, CocoImage]:
        """Reads ``images``, by id."""
        images: dict[int, CocoImage] = {}
        for index, record in enumerate(records):
            place = f"images[{index}]"
            number = self._read_id(record, place)
            name = record.get("file_name")
            if not isinstance(name, str) or not name.strip() or has_control_characters(name):
                raise self._refuse(f"image {number}", "a file_name", name)
            if number in images:
                if images[number].file_name != name:
                    expected = f"an id of its own ({number} is {images[number].file_name!r}, too)"
                    raise self._refuse(place, expected, name)
                self._note("image|listed twice, used once", number)
                continue
            images[number] = CocoImage(number, name, self._read_hw(record, number, name))
        return images

    def read_annotations(
        self,
        records: Any,
        images: Mapping[int, CocoImage],
        categories: Mapping[int, Category],
    ) -> tuple[CocoAnnotation, ...]:
        """Reads ``annotations``; each gets an id of its own."""
        found: list[CocoAnnotation] = []
        known = {to_id(r.get("id")) for r in records if isinstance(r, Mapping)} - {None}
        unused = max((number for number in known if number is not None), default=0) + 1
        taken: set[int] = set()
        for index, record in enumerate(records):
            if not isinstance(record, Mapping):
                raise self._refuse(f"annotations[{index}]", "an object", record)
            number = to_id(record.get("id"))
            place = f"annotations[{index}]" if number is None else f"annotation {number}"
            if number is None and record.get("id") is not None:
                raise self._refuse(f"{place}.id", "a whole number", record["id"])
            if number is None or number in taken:
                what = "without an id" if number is None else "with an id that another one has"
                shown = place if number is None else number
                self._note(f"annotation|{what}, given a new one", shown)
                number, unused = unused, unused + 1
            taken.add(number)
            annotation = self._read_annotation(record, place, number, images, categories)
            if annotation is not None:
                found.append(annotation)
        if len(records) and not found:
            expected = f"annotations of its own images and categories ({self.make_notes()[0]})"
            raise value_error(self._option, expected, f"{len(records)} others")
        return tuple(found)

    def _read_annotation(
        self,
        record: Mapping[str, Any],
        place: str,
        number: int,
        images: Mapping[int, CocoImage],
        categories: Mapping[int, Category],
    ) -> CocoAnnotation | None:
        """Reads an annotation; None where it is left out, with a note."""
        owners = []
        for key, of_kind in (("image_id", images), ("category_id", categories)):
            owner = to_id(record.get(key))
            if owner is None:
                raise self._refuse(f"{place}: {key}", "a whole number", record.get(key))
            if owner not in of_kind:
                kind = "image" if key == "image_id" else "category"
                self._note(f"annotation|left out, of an unknown {kind}", number)
                return None
            owners.append(owner)
        image = images[owners[0]]
        try:
            box = read_box(record.get("bbox"))
            mask, dropped = read_mask(record.get("segmentation"), image.hw)
        except ShapeError as error:
            raise ValueError(f"{self._option}: {place}: {error}") from None
        if dropped:
            self._note("annotation|with polygons of fewer than three points, left out", number)
        if box is None and mask is None:
            expected = "a bbox or a segmentation with an area"
            raise self._refuse(place, expected, record.get("segmentation"))
        if mask is not None and (box is None or not box[2] or not box[3]):
            box = find_bounds(mask)
            self._note("annotation|without a bbox, which is taken from its mask", number)
        assert box is not None
        if not box[2] or not box[3]:
            self._note("annotation|left out, its box has no area", number)
            return None
        if image.hw is not None and not _overlaps(box, image.hw):
            self._note("annotation|left out, its box lies outside its image", number)
            return None
        area = record.get("area")
        return CocoAnnotation(
            number,
            owners[0],
            owners[1],
            box,
            mask,
            float(area) if is_number(area, 1e-9, 1e12) else None,
            self._read_crowd(record.get("iscrowd"), place),
        )

    def _read_crowd(self, value: object, place: str) -> bool:
        if value is None or value is False or value is True:
            return bool(value)
        if not is_number(value, 0, 1) or value not in (0, 1):
            raise self._refuse(f"{place}: iscrowd", "0 or 1", value)
        return value == 1

    def _read_id(self, record: Any, place: str) -> int:
        if not isinstance(record, Mapping):
            raise self._refuse(place, "an object", record)
        number = to_id(record.get("id"))
        if number is None:
            raise self._refuse(f"{place}.id", "a whole number", record.get("id"))
        return number

    def _read_hw(self, record: Mapping[str, Any], number: int, name: str) -> tuple[int, int] | None:
        given = record.get("height"), record.get("width")
        if None in given:
            if self._read_size is None:
                return None
            try:
                hw = self._read_size(name)
            except ValueError as error:
                expected = f"a width and a height, or an image that tells ({error})"
                raise self._refuse(f"image {number}", expected, name) from error
            self._note("image|without a size, which is read from the image", number)
            return hw
        height, width = (to_id(side) for side in given)
        if height is None or width is None or not is_image_size(height, width):
            expected = "a width and a height in pixels"
            raise self._refuse(f"image {number}", expected, [given[1], given[0]])
        return height, width

    def _note(self, remark: str, number: object) -> None:
        self._remarks.setdefault(remark, []).append(number)

    def _refuse(self, place: str, expected: str, got: object) -> ValueError:
        return value_error(f"{self._option}: {place}", expected, got)


def _overlaps(box: BoxXywh, image_hw: tuple[int, int]) -> bool:
    x, y, width, height = box
    return x < image_hw[1] and y < image_hw[0] and x + width > 0 and y + height > 0
