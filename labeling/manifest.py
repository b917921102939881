"""Stores which image belongs to which shard, before the first image is labeled.

The manifest is a list of parts. Each call that finds new files adds one part with new
shards, so that the shards of earlier calls stay as they are.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from .output_folder import OutputFolder
from .shard_files import (
    BrokenFileError,
    get_shard_name,
    list_shards,
    read_parquet,
    read_shard,
    write_parquet,
)
from .sources import SourceFile

FOLDER = "manifest"
_SUFFIX = ".parquet"
_SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        # Not text: a file system may hold names that are not UTF-8.
        ("name", pa.binary()),
        ("size_bytes", pa.int64()),
        ("version", pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Shard:
    """Lists the images that are labeled and written together.

    Attributes:
        index: Its number.
        names: Its images, in the order of its rows.
    """

    index: int
    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Changes:
    """Lists the changes of the source since the manifest was written.

    Attributes:
        added: Files that are new.
        changed: Files of another size, time of change or entity tag.
        missing: Names of files that are gone.
    """

    added: tuple[SourceFile, ...]
    changed: tuple[SourceFile, ...]
    missing: tuple[str, ...]


class Manifest:
    """Stores the shards of an output folder."""

    def __init__(self, out: OutputFolder) -> None:
        """Reads the manifest of a folder, empty if there is none.

        Args:
            out: The output folder.

        Raises:
            BrokenFileError: If a part was cut off, or is none.
        """
        self._out = out
        self._parts = [
            read_parquet(out, f"{FOLDER}/{name}", _SCHEMA)
            for name in out.list_names(FOLDER, _SUFFIX)
        ]

    def __len__(self) -> int:
        """Returns the number of images in all shards."""
        return sum(part.num_rows for part in self._parts)

    def iterate_shards(self) -> Iterator[Shard]:
        """Yields every shard, in order: the image with COCO id k is the k-th of all."""
        for part in self._parts:
            if not part.num_rows:  # made again for a part that was broken, without shards
                continue
            numbers = part["shard"].to_numpy()
            starts = [0, *((numbers[1:] != numbers[:-1]).nonzero()[0] + 1).tolist()]
            for start, stop in zip(starts, [*starts[1:], len(numbers)], strict=True):
                names = part["name"][start:stop].to_pylist()
                yield Shard(int(numbers[start]), tuple(os.fsdecode(name) for name in names))

    def compare(self, files: Sequence[SourceFile]) -> Changes:
        """Compares the files of a source with the manifest.

        Args:
            files: The source's files now.

        Returns:
            The differences.
        """
        known = {
            os.fsdecode(row["name"]): (row["size_bytes"], row["version"])
            for part in self._parts
            for row in part.to_pylist()
        }
        found = {file.name for file in files}
        return Changes(
            added=tuple(file for file in files if file.name not in known),
            changed=tuple(
                file
                for file in files
                if known.get(file.name, state := (file.size_bytes, file.version)) != state
            ),
            missing=tuple(name for name in known if name not in found),
        )

    def add(self, files: Sequence[SourceFile], shard_size: int) -> None:
        """Adds files as new shards, and writes the manifest.

        Args:
            files: In the order of their rows.
            shard_size: Most images of a shard.
        """
        if not files:
            return
        first = max(
            (int(pc.max(part["shard"]).as_py()) + 1 for part in self._parts if part.num_rows),
            default=0,
        )
        table = pa.table(
            [
                [first + index // shard_size for index in range(len(files))],
                [os.fsencode(file.name) for file in files],
                [file.size_bytes for file in files],
                [file.version for file in files],
            ],
            schema=_SCHEMA,
        )
        self._write(len(self._parts), table)
        self._parts.append(table)

    def refresh(self, changed: Sequence[SourceFile]) -> None:
        """Removes the results of shards with changed files, so that they are labeled again.

        Args:
            changed: The files as they are now.
        """
        now = {os.fsencode(file.name): file for file in changed}
        for number, part in enumerate(self._parts):
            rows = part.to_pylist()
            stale = {row["shard"] for row in rows if row["name"] in now}
            if not stale:
                continue
            # Before the manifest: a crash in between leaves the files reported as changed.
            for index in stale:
                if self._out.exists(get_shard_name(index)):
                    self._out.remove(get_shard_name(index))
            for row in rows:
                if row["name"] in now:
                    file = now[row["name"]]
                    row |= {"size_bytes": file.size_bytes, "version": file.version}
            table = pa.Table.from_pylist(rows, schema=_SCHEMA)
            self._write(number, table)
            self._parts[number] = table

    def _write(self, number: int, table: pa.Table) -> None:
        write_parquet(self._out, f"{FOLDER}/{number:06d}{_SUFFIX}", table)


def repair_manifest(out: OutputFolder, files: Sequence[SourceFile]) -> list[str]:
    """Puts broken parts of a manifest aside, and makes them again from the shards.

    Images whose shard is not written yet are lost from the part; they are new files to the
    next comparison with the source.

    Args:
        out: The output folder, whose shards can be read.
        files: The source's files now, for their times of change.

    Returns:
        A sentence for each part that was broken.
    """
    broken: list[str] = []
    listed: set[int] = set()
    for name in (f"{FOLDER}/{name}" for name in out.list_names(FOLDER, _SUFFIX)):
        try:
            listed |= set(read_parquet(out, name, _SCHEMA)["shard"].to_pylist())
        except BrokenFileError:
            broken.append(name)
    now = {file.name: file for file in files}
    rows = [
        {
            "shard": index,
            "name": os.fsencode(image.name),
            "size_bytes": now[image.name].size_bytes if image.name in now else image.size_bytes,
            "version": now[image.name].version if image.name in now else "",
        }
        for index in (list_shards(out) if broken else [])
        if index not in listed
        for image in read_shard(out, index)
    ]
    sentences = []
    for name in broken:
        kept = out.put_aside(name)
        sentences.append(
            f"{name}: was cut off or broken; put aside as {kept}, made again from the shards"
        )
        # The first one takes all: which part a shard was in is not known any more.
        write_parquet(out, name, pa.Table.from_pylist(rows, schema=_SCHEMA))
        rows = []
    return sentences
