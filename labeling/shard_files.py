"""Reads and writes shards of results: one Parquet file each, one row an image."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..engine.export.rle import rle_to_mask
from ..engine.results import BoxXyxy, Mask
from .output_folder import OutputFolder

FOLDER = "shards"
SUFFIX = ".parquet"
_READING_THREADS = 8

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("size_bytes", pa.int64()),
        ("sha256", pa.string()),
        ("fingerprint", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        (
            "instances",
            pa.list_(
                pa.struct(
                    [
                        ("category_id", pa.int64()),
                        ("score", pa.float64()),
                        ("box_xyxy", pa.list_(pa.float64(), 4)),
                        ("area_px", pa.int64()),
                        ("rle_counts", pa.string()),
                    ]
                )
            ),
        ),
        ("truncated", pa.list_(pa.string())),
        ("error", pa.string()),
    ]
)
"""Columns of a shard. ``error`` is null for an image that was labeled."""


_COUNTS = (b"images", b"errors", b"instances")
"""Kept in the metadata of a shard's file."""


class BrokenFileError(ValueError):
    """A file of a job's folder that was cut off, or is not what its name says."""


@dataclasses.dataclass(frozen=True)
class ShardReport:
    """Counts the contents of a shard that was written.

    Attributes:
        index: Its number.
        images: Its rows.
        errors: Rows of images that could not be labeled.
        instances: Instances in all rows.
    """

    index: int
    images: int
    errors: int
    instances: int


@dataclasses.dataclass(frozen=True)
class LabeledInstance:
    """Holds one instance as a shard stores it.

    Attributes:
        category_id: Its COCO category.
        score: 0..1.
        box_xyxy: Pixels of the image.
        area_px: Pixels of its mask; 0 without one.
        rle_counts: COCO's compressed run lengths of its mask; None where masks were not asked
            for.
    """

    category_id: int
    score: float
    box_xyxy: BoxXyxy
    area_px: int
    rle_counts: str | None


@dataclasses.dataclass(frozen=True)
class LabeledImage:
    """Holds one row of a shard: an image and its instances.

    Attributes:
        name: Path relative to the source.
        size_bytes: Bytes of the file as it was read; 0 if it could not be.
        sha256: Of these bytes, hexadecimal.
        hw: Height and width after EXIF rotation, in pixels; (0, 0) with an error.
        instances: What was found.
        truncated: Concepts that took more than half of the model's queries: there may be more.
        error: Why the image was not labeled, or None.
        pictures: How many the file holds; the first one was labeled. Not kept in the shard.
    """

    name: str
    size_bytes: int = 0
    sha256: str = ""
    hw: tuple[int, int] = (0, 0)
    instances: tuple[LabeledInstance, ...] = ()
    truncated: tuple[str, ...] = ()
    error: str | None = None
    pictures: int = 1

    def decode_mask(self, instance: LabeledInstance) -> Mask:
        """Decodes the mask of one of its instances; empty where masks were not asked for."""
        if instance.rle_counts is None:
            return Mask(self.hw, (0, 0), np.zeros((0, 0), np.bool_))
        return rle_to_mask({"size": self.hw, "counts": instance.rle_counts})


def get_shard_name(index: int) -> str:
    """Returns the name of a shard's file in the output folder."""
    return f"{FOLDER}/{index:06d}{SUFFIX}"


def list_shards(out: OutputFolder) -> list[int]:
    """Lists the numbers of the complete shards, in order."""
    return [int(name.removesuffix(SUFFIX)) for name in out.list_names(FOLDER, SUFFIX)]


def write_shard(
    out: OutputFolder,
    index: int,
    images: Sequence[LabeledImage],
    fingerprint: str,
    origin: Mapping[str, str],
) -> ShardReport:
    """Writes a shard in one step.

    Args:
        out: The output folder.
        index: The shard's number.
        images: Its rows.
        fingerprint: Of the settings they were labeled with.
        origin: Kept in the file's own metadata: device and precision.

    Returns:
        What was written.
    """
    rows = [_to_row(image, fingerprint) for image in images]
    report = ShardReport(
        index=index,
        images=len(images),
        errors=sum(image.error is not None for image in images),
        instances=sum(len(image.instances) for image in images),
    )
    counts = {name.decode(): str(getattr(report, name.decode())) for name in _COUNTS}
    schema = SCHEMA.with_metadata({**origin, **counts})
    table = pa.Table.from_pylist(rows, schema=schema)
    write_parquet(out, get_shard_name(index), table)
    return report


def read_shard(out: OutputFolder, index: int) -> Iterator[LabeledImage]:
    """Reads the rows of a shard, in order.

    Raises:
        BrokenFileError: If the file was cut off, or is no shard.
    """
    for row in read_parquet(out, get_shard_name(index), SCHEMA).to_pylist():
        instances = tuple(
            LabeledInstance(**{**item, "box_xyxy": tuple(item["box_xyxy"])})
            for item in row["instances"]
        )
        yield LabeledImage(
            name=row["path"],
            size_bytes=row["size_bytes"],
            sha256=row["sha256"],
            hw=(row["height"], row["width"]),
            instances=instances,
            truncated=tuple(row["truncated"]),
            error=row["error"],
        )


def put_broken_shards_aside(out: OutputFolder) -> list[str]:
    """Reads every shard in full, and renames those that are broken: they count as missing then.

    Returns:
        A sentence for each of them.
    """

    def is_broken(index: int) -> bool:
        try:
            read_parquet(out, get_shard_name(index), SCHEMA)
        except BrokenFileError:
            return True
        return False

    indices = list_shards(out)
    with ThreadPoolExecutor(_READING_THREADS) as pool:
        found = list(zip(indices, pool.map(is_broken, indices), strict=True))
    broken = [get_shard_name(index) for index, bad in found if bad]
    return [
        f"{name}: was cut off or broken; put aside as {out.put_aside(name)}, its images are "
        "labeled again"
        for name in broken
    ]


def read_fingerprints(out: OutputFolder) -> set[str]:
    """Reads the fingerprints of the settings that the shards which can be read were made with."""
    found: set[str] = set()
    for index in list_shards(out):
        with contextlib.suppress(BrokenFileError):
            table = read_parquet(out, get_shard_name(index), SCHEMA)
            found |= set(table["fingerprint"].to_pylist())
    return found


def read_report(out: OutputFolder, index: int) -> ShardReport:
    """Reads the counts of a shard, from the end of the file only."""
    with out.open_to_read(get_shard_name(index)) as file:
        metadata = pq.read_schema(file).metadata
    return ShardReport(index, *(int(metadata[name]) for name in _COUNTS))


def read_parquet(out: OutputFolder, name: str, schema: pa.Schema) -> pa.Table:
    """Reads a Parquet file of a job's folder in full.

    Args:
        out: The output folder.
        name: Name of the file in it.
        schema: Its columns.

    Returns:
        The table.

    Raises:
        BrokenFileError: If the file was cut off, or has other columns.
        OSError: If it cannot be opened.
    """
    with out.open_to_read(name) as file:
        try:
            table = pq.read_table(file, page_checksum_verification=True)
            table.validate(full=True)
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            raise _make_broken_error(out, name, "it was cut off or is no Parquet file") from error
    if not table.schema.equals(schema):
        raise _make_broken_error(out, name, "it has other columns")
    if any(_has_nulls(table[column]) for column in table.column_names if column != "error"):
        raise _make_broken_error(out, name, "values are missing in it")
    return table


def write_parquet(out: OutputFolder, name: str, table: pa.Table) -> None:
    """Writes a Parquet file to a job's folder in one step, with a checksum of each page."""
    with out.open_to_replace(name) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def _has_nulls(column: pa.ChunkedArray) -> bool:
    """Tells whether a value is null that none may be: all but the masks of boxes alone."""
    if column.null_count:
        return True
    if not pa.types.is_list(column.type):
        return False
    values = column.combine_chunks().flatten()
    if not pa.types.is_struct(values.type):
        return bool(values.null_count)
    fields = (values.type.field(i).name for i in range(values.type.num_fields))
    return bool(values.null_count) or any(
        values.field(name).null_count for name in fields if name != "rle_counts"
    )


def _make_broken_error(out: OutputFolder, name: str, reason: str) -> BrokenFileError:
    return BrokenFileError(
        f"out: {out.get_path(name)} cannot be read ({reason}); repeat the command `label` of this "
        "folder, which puts the file aside and makes it again"
    )


def _to_row(image: LabeledImage, fingerprint: str) -> dict[str, Any]:
    return {
        "path": image.name,
        "size_bytes": image.size_bytes,
        "sha256": image.sha256,
        "fingerprint": fingerprint,
        "height": image.hw[0],
        "width": image.hw[1],
        "instances": [dataclasses.asdict(instance) for instance in image.instances],
        "truncated": list(image.truncated),
        "error": image.error,
    }
