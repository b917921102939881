"""Runs over a folder and over a video."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from .scenes import box, masks


@pytest.fixture
def shown(scene):
    return scene(seed=5, side_range_px=(240, 320))


@pytest.mark.parametrize("multimask", [False, True])
def test_a_folder_gives_one_json_an_image(make_algo, shown, tmp_path, multimask):
    folder, names = tmp_path / "images", ["a.png", "b.png", "c.png"]
    folder.mkdir()
    for index, name in enumerate(names):
        Image.fromarray(np.roll(shown.image, index, axis=1)).save(folder / name)
    wf, _ = make_algo(input_box=box(shown.shapes[0]), multimask_output=multimask)
    wf.run_on(folder=str(folder))
    written = [
        path
        for path in Path(wf.get_last_run_folder()).rglob("*")
        # Ikomia names a run's folder by the second: another test's results may lie there too.
        if path.is_file() and str(folder) in path.read_text()
    ]
    assert [path.suffix for path in written] == [".json"] * len(names)
    files = set()
    for path in written:
        data = json.loads(path.read_text())
        coco = COCO()
        coco.dataset = data
        coco.createIndex()
        [annotation] = coco.anns.values()
        assert coco.annToMask(annotation).shape == shown.image.shape[:2]
        files.add(data["image"]["file_name"])
    assert files == {str(folder / name) for name in names}


def test_pictures_of_like_names_each_have_a_result(make_algo, shown, tmp_path):
    names = ["0001.jpg", "0001.png", "a/0001.jpg", "b/0001.jpg", "my.photo.v2.png"]
    for name in names:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shown.image).save(path)
    wf, _ = make_algo(input_box=box(shown.shapes[0]))
    wf.run_on(folder=str(tmp_path / "images"))
    results = Path(wf.get_last_run_folder()) / "infer_segment_anything_3"
    # Ikomia names a run's folder by the second: another test's results may lie there too.
    found = {path: json.loads(path.read_text())["image"]["file_name"] for path in results.iterdir()}
    written = {path: name for path, name in found.items() if name.startswith(str(tmp_path))}
    sources = set(written.values())
    assert sources == {str(tmp_path / "images" / name) for name in names}
    assert len(written) == len(names)
    assert {"0001.png.json", "my.photo.v2.png.json"} <= {path.name for path in written}
    assert [path for path in results.parent.iterdir() if path.is_file()] == []


@pytest.fixture
def film(shown, tmp_path):
    """Path and frames of a video."""
    path = tmp_path / "film.avi"
    height, width = shown.image.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (width, height))
    assert writer.isOpened()
    frames = [np.roll(shown.image, 8 * index, axis=1) for index in range(4)]
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return str(path), frames


@pytest.mark.parametrize("tracking", ["auto", "off"])
def test_every_frame_of_a_video_is_segmented(make_algo, shown, film, watched, tracking):
    path, frames = film
    wf, algo = make_algo(input_box=box(shown.shapes[0]), tracking=tracking)

    def read(task):
        return task.get_output(0).get_image().copy(), [mask.copy() for mask in masks(task)]

    seen = watched(wf, algo, read, path=path)
    assert len(seen) == len(frames)
    for (image, (mask,)), frame in zip(seen, frames, strict=True):
        assert mask.shape == shown.image.shape[:2]
        assert mask.any()
        assert np.abs(image.astype(int) - frame).mean() < 12


@pytest.mark.parametrize("tracking", ["auto", "off"])
def test_a_saved_video_names_its_data(make_algo, shown, film, tracking):
    path, frames = film
    wf, _ = make_algo(input_box=box(shown.shapes[0]), tracking=tracking)
    wf.set_auto_save(True)
    wf.run_on(path=path)
    [written] = Path(wf.get_last_run_folder()).rglob("CocoData*.json")
    found = [data["annotations"] for data in json.loads(written.read_text())]
    assert [len(annotations) for annotations in found] == [1] * len(frames)
    ids = {annotation.get("track_id") for (annotation,) in found}
    assert ids == ({0} if tracking == "auto" else {None})


def test_the_error_of_a_saved_videos_first_frame_is_logged(make_algo, film, caplog):
    wf, _ = make_algo(input_point="[5000, 5]")
    wf.set_auto_save(True)
    with pytest.raises(RuntimeError):
        wf.run_on(path=film[0])
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert any(line.startswith("input_point: expected points inside") for line in errors)
