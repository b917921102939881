"""``track``: a video, its tracks and the video with them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from infer_segment_anything_3.engine.video_files import VideoReader, VideoWriter

FRAMES = 3


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with VideoWriter(path, 12) as writer:
        for t in range(FRAMES):
            image = np.full((200, 280, 3), (205, 208, 200), np.uint8)
            cv2.circle(image, (60 + 3 * t, 70), 28, (220, 40, 40), -1)
            writer.write(cv2.circle(image, (200, 130), 28, (50, 70, 220), -1))
    return path


def test_the_video_and_the_tracks_are_saved(run, film, tmp_path):
    out, tracks = tmp_path / "new" / "out.mp4", tmp_path / "tracks.json"
    code, printed, err = run("track", film, "--text", "circle", "--save", out, "--save", tracks)
    assert code == 0, err
    assert VideoReader(out).count == FRAMES
    data = json.loads(tracks.read_text())
    assert len(data["annotations"]) == 2
    assert "3 frames, 2 tracks." in err
    assert [line for line in err.splitlines() if line.startswith("Written: ")] == [
        f"Written: {out}",
        f"Written: {tracks}",
    ]
    assert "mean score" in printed


@pytest.mark.parametrize(
    ("options", "tracks"),
    [
        (("--point", "200,130"), 1),
        (("--box", "170,100,230,160"), 1),
        (("--text", "red circle"), 1),
    ],
)
def test_prompts_and_json(run, film, options, tracks):
    code, out, err = run("track", film, *options, "--json", "--max-frames", "2")
    assert code == 0, err
    data = json.loads(out)
    assert data["videos"][0]["length"] == 2
    assert len(data["annotations"]) == tracks


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "text: expected one kind of prompt"),
        (("--text", "star", "--save", "out.avi"), "save: expected a name that ends in .mp4 or"),
        (("--point", "900,900"), "points_xy: "),
    ],
)
def test_bad_options_are_refused(run, film, options, message):
    code, _, err = run("track", film, *options)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_what_is_no_video_is_refused(run, tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"no video")
    code, _, err = run("track", tmp_path / "film.mp4", "--text", "star")
    assert code == 2
    assert "video: expected a video file" in err
