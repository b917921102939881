"""Reads the COCO files that people bring, and makes training and held-out images of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine import validation
from ..engine.images import decode_image
from ..engine.validation import value_error
from ..engine.wording import count_things, list_first
from ..labeling.coco import CocoAnnotation, CocoDataSet, CocoImage, read_coco
from ..labeling.exports.data_set import compute_split_position
from .options import TrainingOptions

Pixels = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, eq=False)
class SourceImage:
    """An image of a COCO file that can be read.

    Attributes:
        record: Its entry in the file.
        path: Where it lies.
        hw: Height and width in pixels.
        sha256: Of the file's bytes, hexadecimal.
        annotations: Of it, with the ids of :class:`Concepts`.
    """

    record: CocoImage
    path: Path
    hw: tuple[int, int]
    sha256: str
    annotations: tuple[CocoAnnotation, ...]

    def read_pixels(self) -> Pixels:
        """Decodes it, (H, W, 3) uint8."""
        return decode_image(str(self.path))


@dataclasses.dataclass(frozen=True)
class Concepts:
    """The phrases that are learned.

    Attributes:
        phrases: By id.
        not_exhaustive: Ids of those of which some objects are not labeled.
    """

    phrases: Mapping[int, str]
    not_exhaustive: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True, eq=False)
class DataSplit:
    """Images for training or for scoring.

    Attributes:
        images: Those that can be read.
        unreadable: File name and reason of the others.
        notes: What was left out, derived or corrected, one sentence each.
    """

    images: tuple[SourceImage, ...]
    unreadable: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def read_split(
    option: str,
    coco: str,
    folder: str,
    rename: Mapping[str, str],
    not_exhaustive: Sequence[str],
) -> tuple[DataSplit, Concepts]:
    """Reads a COCO file and its images.

    Args:
        option: Name of the option that names the file, for the errors.
        coco: The file.
        folder: Folder of its images. An image that is not at its ``file_name`` is looked for
            by its bare name, as exports of Label Studio need.
        rename: Phrase for each category's name; several may share one. A blank phrase leaves
            the category out.
        not_exhaustive: Names or phrases of categories of which not all objects are labeled.

    Returns:
        The images and the concepts.

    Raises:
        ValueError: If the file is broken, a name is unknown, or no image can be read.
    """
    root = Path(folder)
    if not root.is_dir():
        raise value_error("images", "a folder", folder)
    data_set = read_coco(option, coco)
    concepts, ids = _choose_concepts(option, data_set, rename, not_exhaustive)
    images, unreadable = [], []
    by_image: dict[int, list[CocoAnnotation]] = {}
    for annotation in data_set.annotations:
        if annotation.category_id in ids:
            moved = dataclasses.replace(annotation, category_id=ids[annotation.category_id])
            by_image.setdefault(annotation.image_id, []).append(moved)
    for record in data_set.images:
        try:
            images.append(_read_image(record, root, tuple(by_image.get(record.id, ()))))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            unreadable.append((record.file_name, reason))
    if not images:
        name, reason = unreadable[0]
        raise value_error("images", f"images that can be read ({reason})", str(root / name))
    return DataSplit(tuple(images), tuple(unreadable), data_set.notes), concepts


def _choose_concepts(
    option: str,
    data_set: CocoDataSet,
    rename: Mapping[str, str],
    not_exhaustive: Sequence[str],
) -> tuple[Concepts, dict[int, int]]:
    """Chooses a phrase for each category; returns them, and the concept of each category id."""
    names = [category.name for category in data_set.categories]
    for name in rename:
        if name not in names:
            raise value_error("rename", f"a category of the file ({', '.join(names)})", name)
    phrases: dict[str, int] = {}
    shown: dict[int, str] = {}
    ids: dict[int, int] = {}
    open_ids: set[int] = set()
    unknown = set(not_exhaustive)
    for category in sorted(data_set.categories, key=lambda c: c.id):
        renamed = category.name in rename
        given = rename.get(category.name, category.name)
        if renamed and not given.strip():
            continue
        phrase = validation.to_concept(f"{option}: category {category.id}", given)
        if phrase.casefold() in phrases and not renamed:
            place = f"{option}: category {category.id}"
            raise value_error(place, "another name than an earlier one (or rename)", phrase)
        number = phrases.setdefault(phrase.casefold(), len(phrases) + 1)
        shown.setdefault(number, phrase)
        ids[category.id] = number
        if {category.name, phrase} & set(not_exhaustive):
            open_ids.add(number)
            unknown -= {category.name, phrase}
    if unknown:
        expected = f"a category of the file ({', '.join(names)})"
        raise value_error("not_exhaustive", expected, sorted(unknown)[0])
    if not shown:
        raise value_error("rename", "at least one category to learn", dict(rename))
    return Concepts(shown, frozenset(open_ids)), ids


def _read_image(
    record: CocoImage, root: Path, annotations: tuple[CocoAnnotation, ...]
) -> SourceImage:
    name = record.file_name.replace("\\", "/")
    path = root / name
    if not path.is_file():
        path = root / Path(name).name
    if not path.is_file():
        raise ValueError("it is not in the folder of the images")
    content = path.read_bytes()
    hw = decode_image(str(path)).shape[:2]
    if record.hw is not None and hw != record.hw:
        said = f"{record.hw[1]} x {record.hw[0]}"
        raise ValueError(f"it has {hw[1]} x {hw[0]} pixels, the COCO file says {said}")
    digest = hashlib.sha256(content).hexdigest()
    return SourceImage(record, path, (hw[0], hw[1]), digest, annotations)


def divide(split: DataSplit, val_share: float) -> tuple[DataSplit, DataSplit]:
    """Divides images by the hash of their content: copies are never on both sides.

    Raises:
        ValueError: If there are fewer than two different images.
    """
    order = sorted({image.sha256 for image in split.images}, key=compute_split_position)
    if len(order) < 2:
        raise value_error("val", "two different images at least, or val_coco", len(order))
    held = {sha for sha in order if compute_split_position(sha) < val_share}
    held = held or {order[0]}
    if len(held) == len(order):
        held.discard(order[-1])
    parts = [
        tuple(image for image in split.images if (image.sha256 in held) is is_held)
        for is_held in (False, True)
    ]
    return dataclasses.replace(split, images=parts[0]), DataSplit(parts[1])


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingData:
    """Holds what is learned, and what it is scored on.

    Attributes:
        train: Images for training.
        held_out: Images for scoring.
        concepts: The phrases.
        held_out_root: Folder of the held-out images.
    """

    train: DataSplit
    held_out: DataSplit
    concepts: Concepts
    held_out_root: Path

    @property
    def unreadable(self) -> tuple[tuple[str, str], ...]:
        """File name and reason of each image that is left out."""
        return (*self.train.unreadable, *self.held_out.unreadable)

    def describe(self) -> list[str]:
        """Says what was read, in sentences."""
        train, held = (count_things(len(s.images), "image") for s in (self.train, self.held_out))
        objects = sum(len(image.annotations) for image in self.train.images)
        names = list_first(list(self.concepts.phrases.values()))
        sentences = [f"{train} with {count_things(objects, 'object')}, {held} held out: {names}."]
        sentences += [*self.train.notes, *self.held_out.notes]
        sentences += [f"{name}: left out: {reason}." for name, reason in self.unreadable]
        return sentences

    def hash_content(self) -> dict[str, str]:
        """Hashes images, phrases and annotations of both sides, for ``job.json``."""
        found = {}
        for name, split in (("training images", self.train), ("held-out images", self.held_out)):
            digest = hashlib.sha256()
            for image in split.images:
                digest.update(image.sha256.encode())
                for a in image.annotations:
                    mask = a.encode_mask(image.hw)["counts"] if a.mask is not None else ""
                    digest.update(repr((a.category_id, a.box_xywh, mask, a.is_crowd)).encode())
            found[name] = digest.hexdigest()[:16]
        return found


def read_data(options: TrainingOptions) -> TrainingData:
    """Reads the data of a fine-tuning, and divides it where no held-out file is given.

    Raises:
        ValueError: If a file is broken, or the held-out file has a phrase that is not learned.
    """
    how = options.rename, options.not_exhaustive
    read, concepts = read_split("coco", options.coco, options.images, *how)
    if not options.val_coco:
        train, held_out = divide(read, options.val)
        return TrainingData(train, held_out, concepts, Path(options.images))
    folder = options.val_images or options.images
    held_out, others = read_split("val_coco", options.val_coco, folder, *how)
    numbers = {phrase.casefold(): number for number, phrase in concepts.phrases.items()}
    for phrase in others.phrases.values():
        if phrase.casefold() not in numbers:
            expected = f"the categories of coco ({', '.join(concepts.phrases.values())})"
            raise value_error("val_coco", expected, phrase)
    moved = {n: numbers[phrase.casefold()] for n, phrase in others.phrases.items()}
    images = tuple(
        dataclasses.replace(
            image,
            annotations=tuple(
                dataclasses.replace(a, category_id=moved[a.category_id]) for a in image.annotations
            ),
        )
        for image in held_out.images
    )
    held_out = dataclasses.replace(held_out, images=images)
    return TrainingData(read, held_out, concepts, Path(folder))


def write_coco(
    images: Sequence[SourceImage], phrases: Mapping[int, str], folder: Path
) -> dict[str, Any]:
    """Makes the content of a COCO file with the concepts as categories.

    Args:
        images: Images.
        phrases: By concept id.
        folder: What file names are relative to.
    """
    records = [
        {
            "id": number,
            "file_name": str(image.path.relative_to(folder)),
            "height": image.hw[0],
            "width": image.hw[1],
        }
        for number, image in enumerate(images, 1)
    ]
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(images, 1):
        for annotation in image.annotations:
            entry: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": annotation.category_id,
                "bbox": list(annotation.box_xywh),
                "iscrowd": int(annotation.is_crowd),
            }
            if annotation.mask is not None:
                entry["segmentation"] = annotation.encode_mask(image.hw)
            if annotation.area_px is not None:
                entry["area"] = annotation.area_px
            annotations.append(entry)
    categories = [{"id": number, "name": phrase} for number, phrase in phrases.items()]
    return {"images": records, "categories": categories, "annotations": annotations}


def dump(content: Mapping[str, Any]) -> bytes:
    """Writes JSON."""
    return json.dumps(content, indent=1, ensure_ascii=False).encode()
