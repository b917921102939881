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
    written = [path for path in Path(wf.get_last_run_folder()).rglob("*") if path.is_file()]
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


def test_every_frame_of_a_video_is_segmented(make_algo, shown, tmp_path, monkeypatch):
    path = tmp_path / "film.avi"
    height, width = shown.image.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (width, height))
    assert writer.isOpened()
    frames = [np.roll(shown.image, 8 * index, axis=1) for index in range(4)]
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    wf, algo = make_algo(input_box=box(shown.shapes[0]))
    seen = []
    run = type(algo).run

    def watched(task):
        run(task)
        seen.append((task.get_output(0).get_image().copy(), masks(task)[0].copy()))

    monkeypatch.setattr(type(algo), "run", watched)
    wf.run_on(path=str(path))
    assert len(seen) == len(frames)
    for (image, mask), frame in zip(seen, frames, strict=True):
        assert mask.shape == (height, width)
        assert np.abs(image.astype(int) - frame).mean() < 12
