"""Files of a job's folder that were cut off: named, and made again by the same command."""

from __future__ import annotations

import io
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infer_segment_anything_3.cli import app

from .conftest import read_rows

OTHER = io.BytesIO()
pq.write_table(pa.table({"a": [1, 2]}), OTHER)

CUTS = {
    "empty": lambda content: b"",
    "4 bytes": lambda content: content[:4],
    "half": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-1],
    "garbage": lambda content: b"garbage" * 100,
    "a page": lambda content: content[:4] + b"\xff" * 300 + content[304:],
    "another table": lambda content: OTHER.getvalue(),
}


@pytest.fixture
def labeled(images, out, label, tmp_path):
    assert label("--shard", "4")[0] == 0
    shutil.copytree(out, tmp_path / "before")
    return tmp_path / "before"


def export(out, capsys):
    capsys.readouterr()
    return app.main(["export", str(out)]), capsys.readouterr().err


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_broken_shard_is_labeled_again(labeled, out, label, cut, capsys):
    broken = out / "shards" / "000001.parquet"
    broken.write_bytes(cut(broken.read_bytes()))
    code, printed = export(out, capsys)
    assert code == 2
    assert printed.startswith(f"out: {broken} cannot be read (it ")
    assert "repeat the command `label`" in printed
    assert len(printed.splitlines()) == 1
    times = {path: path.stat().st_mtime_ns for path in (out / "shards").glob("*.parquet")}
    code, printed = label("--shard", "4")
    assert code == 0, printed
    assert "10 images, 4 to label" in printed
    note = printed.splitlines()[0]
    assert note.startswith("shards/000001.parquet: was cut off or broken; put aside as shards/")
    assert {p for p, when in times.items() if p.stat().st_mtime_ns != when} == {broken}
    assert read_rows(out) == read_rows(labeled)
    assert (out / "annotations.json").read_bytes() == (labeled / "annotations.json").read_bytes()
    assert label("--shard", "4")[0] == 0
    assert export(out, capsys)[0] == 0


@pytest.mark.parametrize("content", [b"", b'{"sett', b"[]", b'{"settings": 5}', b"\xff\xfe"])
def test_a_broken_job_file_is_written_again(labeled, out, label, content, capsys):
    (out / "job.json").write_bytes(content)
    code, printed = export(out, capsys)
    assert (code, len(printed.splitlines())) == (2, 1)
    assert printed.startswith(f"out: {out / 'job.json'} was cut off or is broken; repeat")
    code, printed = label("--shard", "4", "--threshold", "0.3")
    assert code == 2
    assert "was begun with other settings" in printed
    code, printed = label("--shard", "4")
    assert code == 0
    assert "10 images, 0 to label" in printed
    assert (out / "job.json").read_bytes() == (labeled / "job.json").read_bytes()
    assert printed.startswith("job.json: was cut off or broken; put aside as job.json.broken")


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_broken_manifest_is_made_again_from_the_shards(labeled, out, label, cut, capsys):
    broken = out / "manifest" / "000000.parquet"
    broken.write_bytes(cut(broken.read_bytes()))
    code, printed = export(out, capsys)
    assert (code, len(printed.splitlines())) == (2, 1)
    assert printed.startswith(f"out: {broken} cannot be read (it ")
    code, printed = label("--shard", "4")
    assert code == 0, printed
    assert "10 images, 0 to label" in printed
    assert "changed since" not in printed
    assert read_rows(out) == read_rows(labeled)
    assert (out / "annotations.json").read_bytes() == (labeled / "annotations.json").read_bytes()
    assert printed.startswith("manifest/000000.parquet: was cut off or broken; put aside as ")


def test_what_a_broken_manifest_and_shard_held_is_labeled_again(labeled, out, label):
    (out / "manifest" / "000000.parquet").write_bytes(b"")
    (out / "shards" / "000001.parquet").write_bytes(b"PAR1")
    code, printed = label("--shard", "4")
    assert code == 0, printed
    assert "10 images, 4 to label" in printed
    assert sorted(row.name for row in read_rows(out)) == sorted(r.name for r in read_rows(labeled))
