"""The demo, run as ``make demo`` runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_3.examples.demo import Panel, draw_panels

from .videos import FRAMES


def run_demo(ikomia_home, *arguments, module="examples.demo"):
    plugins = ikomia_home / "Ikomia" / "Plugins" / "Python"
    return subprocess.run(
        [sys.executable, "-P", "-m", f"infer_segment_anything_3.{module}", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(plugins)},
        check=False,
    )


def test_it_shows_a_text_a_click_and_a_box(ikomia_home, tmp_path):
    out = tmp_path / "new" / "demo.png"
    done = run_demo(ikomia_home, "--out", str(out))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    header = next(line for line in lines if line.startswith("prompt"))
    assert " ".join(header.split()) == "prompt class score box (x, y, w, h) area (px)"
    for prompt in ("Text: circle", "Click at", "Box"):
        assert any(line.startswith(prompt) for line in lines), prompt
    assert lines[-1] == str(out)
    with Image.open(out) as picture:
        assert picture.width > 2 * picture.height
    assert "knows flat colored shapes" not in done.stderr


def test_a_photograph_without_sam3_is_remarked_on(ikomia_home, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    path = tmp_path / "photo.png"
    Image.effect_noise((120, 90), 40).convert("RGB").save(path)
    done = run_demo(ikomia_home, "--image", str(path), "--out", str(tmp_path / "out.png"))
    assert done.returncode == 0, done.stderr
    assert "knows flat colored shapes only" in done.stderr
    assert "MODEL=sam3" in done.stderr
    assert not list(temporary.glob("ikomia-home-*")), "the temporary home is gone"


@pytest.mark.parametrize("content", [None, b"", b"no image", b"\x89PNG\r\n\x1a\n cut off"])
def test_a_file_that_is_no_image_is_refused_in_one_line(ikomia_home, tmp_path, content):
    path = tmp_path / "absent.jpg"
    if content is not None:
        path.write_bytes(content)
    done = run_demo(ikomia_home, "--image", str(path))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("image: ")
    assert str(path) in done.stderr


@pytest.mark.parametrize("hw", [(300, 400), (50, 900), (4000, 60)])
def test_panels_of_any_shape(tmp_path, hw):
    image = np.zeros((*hw, 3), np.uint8)
    panels = [
        Panel("A title " * 30, (), image, point_xy=(3, 3)),
        Panel("", (), image, box_xyxy=(1, 1, 9, 9)),
    ]
    draw_panels(panels, tmp_path / "panels.png")
    with Image.open(tmp_path / "panels.png") as page:
        assert page.width >= 1000
        assert 100 <= page.height <= 2000


def test_the_video_demo_leaves_a_film_tracks_and_a_contact_sheet(ikomia_home, tmp_path):
    done = run_demo(
        ikomia_home, "--frames", "3", "--out", str(tmp_path), module="examples.demo_video"
    )
    assert done.returncode == 0, done.stderr
    assert "id  class" in done.stdout
    assert "3/3" in done.stderr, "the progress bar"
    film = cv2.VideoCapture(str(tmp_path / "shapes_tracks.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    data = json.loads((tmp_path / "shapes_tracks.json").read_text())
    assert data["videos"][0]["length"] == 3
    assert all(len(track["segmentations"]) == 3 for track in data["annotations"])
    with Image.open(tmp_path / "shapes_tracks.png") as sheet:
        assert sheet.width > 1000


def test_the_video_demo_follows_a_text_through_a_file(ikomia_home, film, tmp_path):
    done = run_demo(
        ikomia_home,
        *("--video", str(film), "--text", "red circle", "--out", str(tmp_path / "out")),
        module="examples.demo_video",
    )
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
    done = run_demo(ikomia_home, "--video", str(path), module="examples.demo_video")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "video: expected a video file" in done.stderr
