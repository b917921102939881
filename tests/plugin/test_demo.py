"""The demos, run as ``make demo`` and ``make demo-video`` run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_3.engine.video_files import VideoReader
from infer_segment_anything_3.examples import CLIP
from infer_segment_anything_3.examples.panels import Panel, join_panels, mark_box, mark_point

from .videos import FRAMES


def run_demo(ikomia_home, *arguments, command="demo"):
    plugins = ikomia_home / "Ikomia" / "Plugins" / "Python"
    return subprocess.run(
        [sys.executable, "-P", "-m", "infer_segment_anything_3", command, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(plugins)},
        check=False,
    )


def test_it_shows_text_click_examples_and_a_crowd(ikomia_home, tmp_path):
    out = tmp_path / "new" / "demo.png"
    done = run_demo(ikomia_home, "--out", str(out))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    header = next(line for line in lines if line.startswith("prompt"))
    assert " ".join(header.split()) == "prompt class score box (x, y, w, h) area (px)"
    found = {title: sum(line.startswith(f"{title} ") for line in lines) for title in
             ("Text", "Click", "Examples", "Crowd")}  # fmt: skip
    assert found["Text"] == 12
    assert found["Click"] == 1
    assert found["Examples"] == 4, "all red circles"
    (more,) = [line for line in lines if line.startswith("and ")]
    assert 200 <= found["Crowd"] + int(more.split()[1]) <= 225
    assert lines[-1] == str(out)
    assert "tiny_shapes knows" not in done.stderr
    assert "Warning" not in done.stderr
    with Image.open(out) as picture:
        assert picture.width > 1200


def test_a_photograph_without_sam3_is_remarked_on(ikomia_home, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    path = tmp_path / "photo.png"
    Image.effect_noise((120, 90), 40).convert("RGB").save(path)
    done = run_demo(ikomia_home, "--image", str(path), "--out", str(tmp_path / "out.png"))
    assert done.returncode == 0, done.stderr
    assert "knows flat colored shapes only" in done.stderr
    assert "--model sam3" in done.stderr
    assert not list(temporary.glob("ikomia-home-*")), "the temporary home is gone"


@pytest.mark.parametrize("content", [None, b"", b"no image", b"\x89PNG\r\n\x1a\n cut off"])
def test_a_file_that_is_no_image_is_refused_in_one_line(ikomia_home, tmp_path, content):
    path = tmp_path / "absent.jpg"
    if content is not None:
        path.write_bytes(content)
    done = run_demo(ikomia_home, "--image", str(path))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("image: ")
    assert str(path) in done.stderr


@pytest.mark.parametrize("hw", [(300, 400), (50, 900), (4000, 60)])
def test_panels_of_any_shape(hw):
    image = np.zeros((*hw, 3), np.uint8)
    mark_point(image, (3, 3))
    mark_box(image, (1, 1, 9, 9))
    sheet = join_panels([Panel("A title " * 30, image), Panel("", image)], columns=2)
    assert sheet.shape[1] > 1200
    assert sheet.shape[0] > hw[0] * 630 // hw[1]
    assert sheet.dtype == np.uint8


def test_the_video_demo_leaves_a_film_tracks_and_frames(ikomia_home, tmp_path):
    done = run_demo(ikomia_home, "--out", str(tmp_path), command="demo-video")
    assert done.returncode == 0, done.stderr
    assert "id  class" in done.stdout
    film = VideoReader(tmp_path / "clip_overlay.mp4")
    count = VideoReader(CLIP).count
    assert film.count == count
    data = json.loads((tmp_path / "clip_tracks.json").read_text())
    assert data["videos"][0]["length"] == count
    assert len(data["annotations"]) == 4, "each shape keeps its id, also behind another"
    with Image.open(tmp_path / "clip_overlay.png") as sheet:
        assert sheet.width > 1000


def test_the_video_demo_follows_a_text_through_a_file(ikomia_home, film, tmp_path):
    arguments = ("--video", str(film), "--text", "red circle", "--out", str(tmp_path / "out"))
    done = run_demo(ikomia_home, *arguments, command="demo-video")
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "out" / "film_tracks.json").read_text())
    assert data["categories"] == [{"id": 1, "name": "red circle"}]
    (track,) = data["annotations"]
    assert None not in track["segmentations"]
    assert len(track["segmentations"]) == FRAMES
    table = [line.split() for line in done.stdout.splitlines()]
    assert ["0", "red", "circle", str(FRAMES)] in [row[:4] for row in table]


def test_a_file_that_is_no_video_is_refused_in_one_line(ikomia_home, tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(b"no video")
    done = run_demo(ikomia_home, "--video", str(path), command="demo-video")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "video: expected a video file" in done.stderr
