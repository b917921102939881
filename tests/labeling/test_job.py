"""From a folder to a data set, and on after a crash."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from infer_segment_anything_3.engine import ConceptPrompt
from infer_segment_anything_3.engine.images import decode_image

from .conftest import read_rows, save_scene

PROMPT = ConceptPrompt(texts=("star", "red shape", "circle"), thresholds=(None, 0.4, None))


def shard_files(out):
    return {path.name: path.stat().st_mtime_ns for path in (out / "shards").glob("*.parquet")}


def wait_for_shards(out, process, count):
    deadline = time.monotonic() + 400
    while len(list((out / "shards").glob("*.parquet"))) < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_folder_becomes_a_coco_data_set(images, out, label, tiny_engine):
    code, printed = label("--shard", "4")
    assert code == 0, printed
    coco = COCO(str(out / "annotations.json"))
    names = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    assert [image["file_name"] for image in coco.dataset["images"]] == names
    assert {c["id"]: c["name"] for c in coco.dataset["categories"]} == {
        1: "star",
        2: "red shape",
        3: "circle",
    }
    assert len(coco.anns) > 10
    for image in coco.dataset["images"]:
        pixels = decode_image(str(images / image["file_name"]))
        assert (image["height"], image["width"]) == pixels.shape[:2]
        expected = tiny_engine.segment(pixels, PROMPT).instances
        found = coco.imgToAnns[image["id"]]
        assert [a["category_id"] - 1 for a in found] == [i.class_index for i in expected]
        for annotation, instance in zip(found, expected, strict=True):
            assert annotation["score"] == pytest.approx(instance.score, abs=1e-4)
            mask, full = coco.annToMask(annotation).astype(bool), instance.mask.full()
            # Another thread count may round a logit on the outline the other way.
            assert (mask & full).sum() >= 0.99 * (mask | full).sum()


def test_the_same_command_does_nothing_twice(out, label):
    label("--shard", "4")
    before, annotations = shard_files(out), (out / "annotations.json").read_bytes()
    code, printed = label("--shard", "4")
    assert code == 0
    assert "10 images, 0 to label" in printed
    assert shard_files(out) == before
    assert (out / "annotations.json").read_bytes() == annotations


def test_a_killed_job_goes_on(images, out, label, start_label, tmp_path):
    for seed in range(10, 30):
        save_scene(images / f"{seed}.png", seed)
    undisturbed = tmp_path / "undisturbed"
    with start_label("--shard", "3") as process:
        wait_for_shards(out, process, 2)
        process.kill()
    before = shard_files(out)
    assert 2 <= len(before) < 10
    (out / "shards" / "000009.parquet.x.tmp").write_bytes(b"left by a crash")
    assert label("--shard", "3")[0] == 0
    assert before.items() <= shard_files(out).items()
    shutil.move(out, undisturbed)
    assert label("--shard", "3")[0] == 0
    assert read_rows(out) == read_rows(undisturbed)
    names = [row.name for row in read_rows(out)]
    assert len(names) == len(set(names)) == 30
    for file in ("annotations.json", "errors.jsonl", "job.json"):
        assert (out / file).read_bytes() == (undisturbed / file).read_bytes()


def test_ctrl_c_keeps_what_is_finished(images, out, label, start_label):
    for seed in range(10, 30):
        save_scene(images / f"{seed}.png", seed)
    with start_label("--shard", "2") as process:
        wait_for_shards(out, process, 1)
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command continues" in printed
    assert "Traceback" not in printed
    assert not list((out / "shards").glob("*.tmp"))
    assert 1 <= len(shard_files(out)) < 15
    assert label("--shard", "2")[0] == 0
    assert len(read_rows(out)) == 30


@pytest.mark.skipif(os.name == "nt", reason="needs ulimit")
def test_a_full_disk_stops_with_a_word(out, label, start_label):
    # A limit on the size of files fails writes as a full disk does.
    with start_label("--shard", "10", limit="ulimit -f 5") as process:
        _, printed = process.communicate(timeout=120)
    assert process.returncode == 1, printed
    assert "Stopped: " in printed
    assert "File too large" in printed
    assert "Traceback" not in printed
    assert not list(out.rglob("*.tmp"))
    assert label("--shard", "10")[0] == 0


def test_broken_images_become_errors(images, out, label):
    (images / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    (images / "empty.png").touch()
    (images / "gone.png").symlink_to(images / "nowhere.png")
    Image.new("1", (20_000, 10_000)).save(images / "huge.png")
    (images / "notes.md").write_text("no image")
    expected = {
        "broken.jpg": "no known format",
        "empty.png": "file: is empty",
        "gone.png": "file: cannot be read: FileNotFoundError",
        "huge.png": "20000 x 10000|exceeds limit",
    }
    code, printed = label()
    assert code == 3
    assert "1 other file in the folder left out." in printed
    assert "14 images" in printed
    lines = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == list(expected)
    for line in lines:
        assert any(part in line["error"] for part in expected[line["path"]].split("|"))
        assert f"{line['path']}: {line['error']}" in printed
    coco = COCO(str(out / "annotations.json"))
    assert len(coco.imgs) == 10
    assert label()[0] == 3


def test_at_most_20_errors_are_named(images, out, label):
    shutil.rmtree(images)
    images.mkdir()
    for index in range(25):
        (images / f"{index:02d}.png").touch()
    code, printed = label()
    assert code == 3
    assert printed.count("file: is empty") == 20
    assert "and 5 more" in printed
    assert len((out / "errors.jsonl").read_text().splitlines()) == 25


@pytest.mark.parametrize("max_bad", ["1", "10%"])
def test_too_many_bad_images_stop_the_job(images, out, label, max_bad):
    for index in range(4):
        (images / f"0{index}.png").touch()
    options = ("--shard", "2", "--max-bad", max_bad)
    code, printed = label(*options)
    assert code == 1
    assert "max_bad: 2 of 14 images could not be labeled" in printed
    assert len(shard_files(out)) < 7
    # What failed before counts, too.
    assert label(*options)[0] == 1


def test_files_added_later_become_new_shards(images, out, label):
    label("--shard", "4")
    before = shard_files(out)
    save_scene(images / "0 first by name.png", 77)
    code, printed = label("--shard", "4")
    assert code == 0
    assert "11 images, 1 to label" in printed
    assert before.items() <= shard_files(out).items()
    assert read_rows(out)[-1].name == "0 first by name.png"


def test_changed_files_are_reported_and_redone_on_demand(images, out, label):
    label("--shard", "4")
    before, rows = shard_files(out), read_rows(out)
    save_scene(images / "3.png", 78)
    (images / "4.png").unlink()
    code, printed = label("--shard", "4")
    assert code == 0
    assert "1 file changed since: 3.png" in printed
    assert "1 missing file: 4.png" in printed
    assert read_rows(out) == rows
    save_scene(images / "4.png", 4)
    os.utime(images / "4.png", ns=(0, 0))
    code, printed = label("--shard", "4", "--refresh")
    assert "2 files changed since: 3.png, 4.png (labeled again)" in printed
    by_name = {row.name: row for row in read_rows(out)}
    assert by_name["3.png"].sha256 != {row.name: row for row in rows}["3.png"].sha256
    redone = {name for name, when in shard_files(out).items() if before[name] != when}
    assert len(redone) == 1
    assert "changed since" not in label("--shard", "4")[1]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"text": "star"}, "texts: this folder was begun with ['star', 'red shape', 'circle']"),
        ({"options": ("--threshold", "0.3")}, "confidence_threshold: "),
        ({"options": ("--tiles", "2")}, "tiles: "),
        ({"options": ("--input-size-percent", "50")}, "input_size_percent: "),
        ({"options": ("--precision", "bfloat16")}, "precision: "),
        ({"source": "sub"}, "images: "),
    ],
)
def test_another_setting_in_the_same_folder_is_refused(images, out, label, options, named):
    shutil.rmtree(images / "sub")
    for path in itertools.islice(sorted(images.iterdir()), 7):
        path.unlink()
    label()
    before = shard_files(out)
    if "source" in options:
        save_scene(images / "sub" / "1.png", 1)
        options = {"source": images / "sub"}
    code, printed = label(*options.pop("options", ()), **options)
    assert code == 2
    assert named in printed
    assert shard_files(out) == before


def test_coordinates_are_those_after_exif_rotation(images, out, label, tiny_engine):
    shutil.rmtree(images)
    exif = Image.Exif()
    exif[0x0112] = 6
    save_scene(images / "turned.jpg", 3, exif=exif, quality=95)
    label()
    [row] = read_rows(out)
    with Image.open(images / "turned.jpg") as image:
        assert row.hw == (image.width, image.height)
        expected = tiny_engine.segment(np.rot90(np.asarray(image), -1).copy(), PROMPT)
    assert [i.box_xyxy for i in row.instances] == [
        pytest.approx(i.box_xyxy, abs=0.1) for i in expected.instances
    ]


def test_two_jobs_do_not_share_a_folder(out, label):
    from infer_segment_anything_3.labeling.output_folder import OutputFolder

    folder = OutputFolder(str(out))
    folder.check_writable()
    with folder.lock():
        code, printed = label()
    assert code == 2
    assert "out: expected a folder that no other job is writing to" in printed


def test_files_of_several_pictures_are_named_once(images, out, label):
    pages = [Image.new("RGB", (80, 60), color) for color in ("red", "green")]
    pages[0].save(images / "pages.tif", save_all=True, append_images=pages[1:])
    code, printed = label()
    assert code == 0
    assert "1 file of several pictures; only the first of each was used: pages.tif." in printed
    assert "several pictures" not in label()[1]
