"""Converted models are kept whole, found again, and bounded in size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infer_segment_anything_3.cli.app import main
from infer_segment_anything_3.engine.backends import converted_files
from infer_segment_anything_3.engine.backends.converted_files import find_or_make, list_converted


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


class Maker:
    """Writes a model and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, path: Path) -> None:
        self.calls += 1
        path.write_text("<net/>")
        path.with_suffix(".bin").write_bytes(bytes(1000))


def test_it_is_made_once_for_a_key(cache_home: Path) -> None:
    make = Maker()
    path = find_or_make({"weights": "a", "size": 280}, make)
    assert path.is_relative_to(cache_home)
    assert find_or_make({"size": 280, "weights": "a"}, make) == path
    assert make.calls == 1
    assert find_or_make({"weights": "a", "size": 224}, make) != path
    assert make.calls == 2


@pytest.mark.parametrize("name", ["model.xml", "model.bin", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_one_is_made_again(name: str, damage: str) -> None:
    make = Maker()
    path = find_or_make({"weights": "a"}, make)
    file = path.with_name(name)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-3])
    else:
        file.unlink()
    assert find_or_make({"weights": "a"}, make) == path
    assert make.calls == 2
    assert path.with_suffix(".bin").stat().st_size == 1000


def test_a_failure_leaves_nothing(cache_home: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        find_or_make({"weights": "a"}, fail)
    assert not [file for file in cache_home.rglob("*") if file.is_file()]


def test_what_was_not_used_for_longest_goes_first() -> None:
    make = Maker()
    paths = [find_or_make({"weights": name}, make, max_bytes=10**6) for name in "abc"]
    for age, path in enumerate(paths):
        os.utime(path.with_name("manifest.json"), (1000 - age, 1000 - age))
    find_or_make({"weights": "d"}, make, max_bytes=3000)
    assert [path.exists() for path in paths] == [True, False, False]
    assert len(list_converted()) == 2
    find_or_make({"weights": "e"}, make, max_bytes=10)
    assert len(list_converted()) == 1, "the one that is asked for stays"


def test_the_command_shows_and_empties_it(capsys: pytest.CaptureFixture[str]) -> None:
    find_or_make({"part": "image encoder", "image_size": 280}, Maker())
    assert main(["weights", "cache"]) == 0
    assert "part image encoder, image_size 280" in capsys.readouterr().out
    assert main(["weights", "cache", "--clear"]) == 0
    assert not converted_files.get_cache_folder().exists()
    assert main(["weights", "cache"]) == 0
    assert "0.00 of 8 GB" in capsys.readouterr().out
