"""Mutated files of a job's folder: read as they were, or refused by their name."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given

from infer_segment_anything_3.labeling.job import JOB_FILE, read_job_file
from infer_segment_anything_3.labeling.manifest import Manifest
from infer_segment_anything_3.labeling.output_folder import OutputFolder
from infer_segment_anything_3.labeling.shard_files import (
    BrokenFileError,
    LabeledImage,
    LabeledInstance,
    get_shard_name,
    read_shard,
    write_shard,
)
from infer_segment_anything_3.labeling.sources import SourceFile
from infer_segment_anything_3.tests.fuzzing import FEW, MANY, examples, mutate_bytes

INSTANCE = LabeledInstance(1, 0.5, (1.0, 2.0, 30.0, 40.0), 100, "0a")
ROWS = [
    LabeledImage(f"{k}.png", 10 + k, "ab" * 32, (40, 60), (INSTANCE,) * k, ("car",) * (k % 2))
    for k in range(4)
] + [LabeledImage("broken.png", error="file: is empty")]
JOB = b'{"settings": {"images": "x", "model": "m"}, "categories": [{"id": 1, "name": "a"}]}'
READERS = {
    get_shard_name(0): lambda out: list(read_shard(out, 0)),
    "manifest/000000.parquet": lambda out: list(Manifest(out).iterate_shards()),
    JOB_FILE: read_job_file,
}


def fuzz(folder: Path, name: str, count: int) -> None:
    out = OutputFolder(str(folder))
    write_shard(out, 0, ROWS, "0123", {"device": "cpu"})
    Manifest(out).add([SourceFile(row.name, 5, "1") for row in ROWS], 3)
    out.write_bytes(JOB_FILE, JOB)
    path = out.get_local_path(name)
    content, expected = path.read_bytes(), READERS[name](out)
    held = pa.total_allocated_bytes()
    outcomes = {"read": 0, "refused": 0}

    @examples(count)
    @given(mutate_bytes(content))
    def read(mutated: bytes) -> None:
        path.write_bytes(mutated)
        try:
            found = READERS[name](out)
        except BrokenFileError as error:
            text = str(error)
            assert text.startswith(f"out: {path} "), text
            assert "repeat the command" in text
            assert "\n" not in text
            outcomes["refused"] += 1
            return
        outcomes["read"] += 1
        if name != JOB_FILE:  # it has no checksum: text may change into other text
            assert found == expected

    read()
    assert outcomes["refused"] > count // 2, outcomes
    assert pa.total_allocated_bytes() <= held + 2**20


@pytest.mark.parametrize("name", READERS)
def test_mutated_files(tmp_path: Path, name: str) -> None:
    fuzz(tmp_path, name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_mutated_files(tmp_path: Path, name: str) -> None:
    fuzz(tmp_path, name, MANY)
