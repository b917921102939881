"""Where images come from."""

from __future__ import annotations

import os

import fsspec
import pytest

from infer_segment_anything_3.labeling.sources import ImageSource

from .conftest import read_rows


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names_of(source, **options):
    return [file.name for file in source.list_files(**options)[0]]


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    put(root, "b.png", "a/c.JPG", "a/d.txt", ".hidden.png", ".git/e.png", "über.webp", "b/f.tif")
    return root


def test_a_folder_is_walked_in_order(folder):
    source = ImageSource(str(folder))
    files, ignored = source.list_files()
    assert [file.name for file in files] == ["a/c.JPG", "b.png", "b/f.tif", "über.webp"]
    assert ignored == 2
    assert source.read_bytes("a/c.JPG") == b"x"


def test_results_inside_the_folder_are_no_images(folder):
    put(folder, "labels/png/b.png")
    assert "labels/png/b.png" not in names_of(
        ImageSource(str(folder)), leave_out=str(folder / "labels")
    )


def test_links_to_folders_are_followed_but_not_in_a_circle(folder, tmp_path):
    put(tmp_path / "elsewhere", "g.png")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "a" / "circle").symlink_to(folder)
    assert names_of(ImageSource(str(folder))) == [
        "a/c.JPG",
        "b.png",
        "b/f.tif",
        "link/g.png",
        "über.webp",
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.png", ["b.png"]),
        ("**/*.JPG", ["a/c.JPG"]),
        ("?/*", ["c.JPG", "d.txt", "f.tif"]),
    ],
)
def test_a_glob(folder, pattern, names):
    found = names_of(ImageSource(f"{folder}/{pattern}"))
    assert [name.rsplit("/")[-1] for name in found] == [n.rsplit("/")[-1] for n in names]


def test_one_file(folder):
    source = ImageSource(str(folder / "a" / "c.JPG"))
    assert names_of(source) == ["c.JPG"]
    assert source.read_bytes("c.JPG") == b"x"


def test_a_list(folder, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(f"set/b.png\n\n# a comment\n{folder}/a/c.JPG\nset/gone.png\nset/b.png\n")
    source = ImageSource(str(path))
    assert names_of(source) == [f"{folder}/a/c.JPG", "set/b.png", "set/gone.png"]
    assert source.read_bytes("set/b.png") == b"x"
    with pytest.raises(FileNotFoundError):
        source.read_bytes("set/gone.png")


def test_a_relative_path_is_the_same_as_the_absolute_one(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert ImageSource("set").full_address == ImageSource(str(folder)).full_address
    assert names_of(ImageSource("set")) == names_of(ImageSource(str(folder)))


@pytest.fixture
def bucket(images):
    files = fsspec.filesystem("memory")
    files.store.clear()
    for path in images.rglob("*.png"):
        files.pipe_file(f"/bucket/in/{path.relative_to(images).as_posix()}", path.read_bytes())
    yield files
    files.store.clear()


def test_from_a_bucket_to_a_bucket(bucket, label, images, out):
    options = ("--shard", "4", "--out", "memory://bucket/out")
    code, printed = label(*options, source="memory://bucket/in")
    assert code == 0, printed
    assert "0 to label" in label(*options, source="memory://bucket/in")[1]
    assert b"sub/0.png" in bucket.cat_file("/bucket/out/annotations.json")
    label("--shard", "4")
    assert [row.name for row in read_rows("memory://bucket/out")] == [
        row.name for row in read_rows(out)
    ]


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text_becomes_an_error(images, label):
    name = os.fsdecode(b"\xff.png")
    (images / "1.png").rename(images / name)
    code, printed = label()
    assert code == 3
    assert r"\xff.png: file: its name is not UTF-8" in printed
    assert "10 images, 0 to label" in label()[1]
