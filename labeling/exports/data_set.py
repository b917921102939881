"""Reads a labeled folder for the exports: images with ids and splits, one at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

from ..coco import Category
from ..job import read_job_file
from ..manifest import Manifest
from ..output_folder import OutputFolder
from ..shard_files import LabeledImage, list_shards, read_shard
from ..sources import ImageSource

Split = Literal["train", "val"]

_HASH_DIGITS = 8


def compute_split_position(sha256: str) -> float:
    """Computes where an image's content lies in 0..1; below the share of ``val`` it is of val.

    Copies of a picture never lie on both sides.
    """
    return int(sha256[:_HASH_DIGITS], 16) / 16**_HASH_DIGITS


@dataclasses.dataclass(frozen=True)
class ExportedImage:
    """Holds an image, its id and its split.

    Attributes:
        id: Its COCO id: its place in the manifest, from 1.
        split: ``train`` or ``val``.
        image: What was found in it.
    """

    id: int
    split: Split
    image: LabeledImage


class LabeledDataSet:
    """Reads the images that a job labeled. Failed images are left out.

    Attributes:
        out: The output folder.
        source: Where the images are.
        model_name: Which model labeled them.
        categories: Its classes.
        val_share: Share of the images in the ``val`` split, 0..1.
    """

    def __init__(self, out: OutputFolder, val_share: float = 0.0) -> None:
        """Opens the folder of a job.

        Args:
            out: The output folder.
            val_share: Share of the images in the ``val`` split, 0..1.

        Raises:
            ValueError: If the folder holds no job.
        """
        job = read_job_file(out)
        self.out = out
        self.source = ImageSource(str(job["settings"]["images"]))
        self.model_name = str(job["settings"]["model"])
        self.categories = tuple(Category(**category) for category in job["categories"])
        self.val_share = val_share
        self._manifest = Manifest(out)

    @property
    def splits(self) -> tuple[Split, ...]:
        """Splits that are asked for: ``train`` alone unless a share is for ``val``."""
        return ("train", "val") if self.val_share else ("train",)

    def read(self) -> Iterator[ExportedImage]:
        """Yields every labeled image in the manifest's order."""
        done = set(list_shards(self.out))
        image_id = 0
        for shard in self._manifest.iterate_shards():
            if shard.index not in done:
                image_id += len(shard.names)
                continue
            for image in read_shard(self.out, shard.index):
                image_id += 1
                if image.error is None:
                    yield ExportedImage(image_id, self._choose_split(image), image)

    def _choose_split(self, image: LabeledImage) -> Split:
        position = compute_split_position(image.sha256)
        return "val" if position < self.val_share else "train"
