"""COCO files are taken as people have them, or refused by what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infer_segment_anything_3.training.anchors import read_words
from infer_segment_anything_3.training.data import divide, read_split
from infer_segment_anything_3.training.options import TrainingOptions, parse_rename
from infer_segment_anything_3.training.prepare import _find_own

Edit = Callable[[dict[str, Any]], object]


def read(scenes: Path, tmp_path: Path, edit: Edit = lambda content: None, **how: Any) -> Any:
    content = json.loads((scenes / "annotations.json").read_text())
    edit(content)
    (tmp_path / "coco.json").write_text(json.dumps(content))
    chosen = {"rename": {}, "not_exhaustive": (), **how}
    return read_split("coco", str(tmp_path / "coco.json"), str(scenes), **chosen)


def find_own(split: Any, concepts: Any, index: int = 0) -> Any:
    return _find_own(split.images[index], concepts, 80)


def test_masks_polygons_and_boxes_become_targets(scenes: Path, tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        first, second = content["annotations"][:2]
        x, y, w, h = first["bbox"]
        first["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        second["segmentation"] = []
        second["image_id"], second["category_id"] = first["image_id"], first["category_id"]

    split, concepts = read(scenes, tmp_path, edit)
    name = concepts.phrases[split.images[0].annotations[0].category_id]
    own, absent = find_own(split, concepts)
    targets = next(a.targets for a in own if a.text == name)
    assert targets.has_mask[:2].tolist() == [True, False]
    share = targets.masks[0].mean()
    assert share == pytest.approx(float(np.prod(targets.cxcywh[0, 2:])), abs=0.02)
    assert {a.text for a in own} | set(absent) == {"circle", "square", "triangle", "star"}


def test_crowds_and_open_categories_are_no_evidence_of_absence(
    scenes: Path, tmp_path: Path
) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["annotations"][0]["iscrowd"] = 1

    split, concepts = read(scenes, tmp_path, edit, not_exhaustive=("star",))
    crowded = concepts.phrases[split.images[0].annotations[0].category_id]
    for index in range(len(split.images)):
        own, absent = find_own(split, concepts, index)
        assert "star" not in absent
        assert all(not a.targets.is_exhaustive for a in own if a.text == "star")
    own, absent = find_own(split, concepts)
    assert crowded not in absent
    assert all(not a.targets.is_exhaustive for a in own if a.text == crowded)


def test_renames_join_and_leave_out(scenes: Path, tmp_path: Path) -> None:
    rename = {"circle": "round thing", "star": "round thing", "square": ""}
    split, concepts = read(scenes, tmp_path, rename=rename)
    assert list(concepts.phrases.values()) == ["round thing", "triangle"]
    assert {a.category_id for i in split.images for a in i.annotations} <= set(concepts.phrases)
    assert parse_rename("a=b c, d=") == {"a": "b c", "d": ""}


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        ({"rename": {"car": "x"}}, r"rename: expected a category of the file \(circle"),
        ({"not_exhaustive": ("car",)}, r"not_exhaustive: expected a category of the file"),
        ({"rename": dict.fromkeys(("circle", "square", "triangle", "star"), "")}, "at least one"),
    ],
)
def test_wrong_names_are_refused(
    scenes: Path, tmp_path: Path, how: dict[str, Any], shown: str
) -> None:
    with pytest.raises(ValueError, match=shown):
        read(scenes, tmp_path, **how)


def test_unreadable_images_are_named_and_left_out(scenes: Path, tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["images"][0]["file_name"] = "gone.png"
        content["images"][1]["file_name"] = "words.txt"
        image = content["images"][2]
        image["width"] += 1
        for annotation in content["annotations"]:
            if annotation["image_id"] == image["id"]:
                annotation["segmentation"] = []

    split, _ = read(scenes, tmp_path, edit)
    assert len(split.images) == 2
    names, reasons = zip(*split.unreadable, strict=True)
    assert names[:2] == ("gone.png", "words.txt")
    assert "not in the folder" in reasons[0] and "the COCO file says" in reasons[2]


def test_label_studios_names_are_found(scenes: Path, tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        for image in content["images"]:
            image["file_name"] = f"images\\{image['file_name']}"
        for annotation in content["annotations"]:
            annotation["ignore"] = 0

    split, _ = read(scenes, tmp_path, edit)
    assert len(split.images) == 5 and not split.unreadable


def test_broken_file_is_refused_by_what_is_wrong(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"coco: category 1: expected a name, got 3"):
        read(scenes, tmp_path, lambda content: content["categories"][0].update(name=3))


def test_copies_are_on_one_side(scenes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    shutil.copytree(scenes, folder)
    content = json.loads((folder / "annotations.json").read_text())
    for image in list(content["images"]):
        name = f"copy-{image['file_name']}"
        shutil.copy(folder / image["file_name"], folder / name)
        content["images"].append({**image, "id": image["id"] + 1000, "file_name": name})
    (folder / "annotations.json").write_text(json.dumps(content))
    split, _ = read_split("coco", str(folder / "annotations.json"), str(folder), {}, ())
    train, held = divide(split, 0.4)
    assert len(train.images) + len(held.images) == 10
    assert not {i.sha256 for i in train.images} & {i.sha256 for i in held.images}
    assert held.images and train.images


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"parts": "all"}, "parts"),
        ({"val": 0}, "val"),
        ({"steps": 0}, "steps"),
        ({"log": "wandb"}, "log"),
        ({"known_coco": "a.json"}, "known_images"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], shown: str) -> None:
    with pytest.raises(ValueError, match=f"^{shown}: "):
        TrainingOptions("a", "b", "c", **options)


def test_word_lists(tmp_path: Path) -> None:
    assert "person" in read_words("sam3", None) and "red circle" in read_words("tiny_shapes", None)
    (tmp_path / "own.txt").write_text("weed\n# none\n\nWeed\nstone\n")
    assert read_words("sam3", str(tmp_path / "own.txt")) == ("Weed", "stone")
    with pytest.raises(ValueError, match="words: expected a text file"):
        read_words("sam3", str(tmp_path / "none.txt"))
