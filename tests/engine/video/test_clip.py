"""Whole videos in one call: tracks, their file, and the video with them."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest

from infer_segment_anything_3.engine import ConceptPrompt, ObjectPrompt, PromptedObject, track_video
from infer_segment_anything_3.engine.drawing.trails import TRAIL_FRAMES, Trails
from infer_segment_anything_3.engine.results import Instance, Mask, Result
from infer_segment_anything_3.engine.video_files import VideoReader, VideoWriter

HW = (201, 281)
FRAMES = 4
CIRCLES = ConceptPrompt(("circle",))


def draw_frame(t):
    image = np.full((*HW, 3), (205, 208, 200), np.uint8)
    cv2.circle(image, (60 + 3 * t, 70), 28, (220, 40, 40), -1)
    return cv2.circle(image, (200, 130), 28, (50, 70, 220), -1)


@pytest.fixture(scope="module")
def frames():
    return [draw_frame(t) for t in range(FRAMES)]


@pytest.fixture(scope="module")
def film(frames, tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with VideoWriter(path, 12) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.fixture(scope="module")
def tracks(tiny_engine, film):
    return track_video(tiny_engine, film, CIRCLES)


def test_a_video_is_read_as_it_was_written(film, frames):
    reader = VideoReader(film)
    assert (reader.count, reader.fps) == (FRAMES, 12)
    for _ in range(2):
        read = list(reader)
        assert len(read) == FRAMES
        for one, other in zip(read, frames, strict=True):
            # An odd size is made even by repeating the border.
            assert one.shape == (202, 282, 3)
            assert np.abs(one[:201, :281].astype(int) - other).mean() < 4


def test_every_frame_has_its_instances(tracks):
    assert repr(tracks) == "<VideoTracks: film.mp4, 4 frames, 2 tracks>"
    assert tracks.track_ids == (0, 1)
    results = list(tracks)
    assert [result.frame_index for result in results] == list(range(FRAMES))
    for result in results:
        assert sorted(i.track_id for i in result.instances) == [0, 1]
        assert result.class_names == ("circle",)
    first, last = (
        next(i for i in result.instances if i.box_xyxy[0] < 120)
        for result in results[:: FRAMES - 1]
    )
    assert last.mask.centroid_xy[0] > first.mask.centroid_xy[0] + 5


def test_the_tracks_are_saved_in_the_terms_of_youtube_vis(tracks, tmp_path):
    data = json.loads(tracks.save(tmp_path / "tracks.json").read_text())
    assert data["videos"][0]["length"] == FRAMES
    assert data["videos"][0]["name"] == "film.mp4"
    assert len(data["annotations"]) == 2


def test_the_video_shows_the_tracks(tracks, tmp_path):
    done = []
    path = tracks.save_video(tmp_path / "out.mp4", on_frame=lambda *counts: done.append(counts))
    assert done == [(k, FRAMES) for k in range(1, FRAMES + 1)]
    shown, plain = list(VideoReader(path)), list(VideoReader(tracks.source))
    assert len(shown) == FRAMES
    for result, one, other in zip(tracks, shown, plain, strict=True):
        changed = np.abs(one.astype(int) - other).max(axis=2) > 40
        inside = np.zeros(one.shape[:2], bool)
        for instance in result.instances:
            inside |= instance.mask.full()
        assert changed[inside].mean() > 0.6
        assert changed[:, 240:].mean() < 0.02


def test_false_starts_are_left_out_of_every_frame(tracks):
    rows = [dict(row) for row in tracks.rows]
    rows[-1]["removed"] = [1]
    later = dataclasses.replace(tracks, rows=tuple(rows))
    assert later.track_ids == (0,)
    assert {i.track_id for result in later for i in result.instances} == {0}
    assert [a["id"] for a in later.to_youtube_vis()["annotations"]] == [0]


def test_frames_that_were_given_must_be_given_again(tiny_engine, frames, tmp_path):
    counts = []
    prompt = ObjectPrompt((PromptedObject(points_xy=((200.0, 130.0),)),))
    tracks = track_video(
        tiny_engine,
        iter(frames),
        prompt,
        fps=5,
        max_frames=2,
        on_frame=lambda *done: counts.append(done),
    )
    assert counts == [(1, 2), (2, 2)]
    assert repr(tracks) == "<VideoTracks: frames, 2 frames, 1 tracks>"
    with pytest.raises(ValueError, match="frames: expected the frames"):
        tracks.save_video(tmp_path / "out.mp4")
    assert VideoReader(tracks.save_video(tmp_path / "out.mp4", frames)).count == 2


@pytest.mark.parametrize(
    ("content", "message"), [(None, "an existing video file"), (b"no video", "OpenCV can read")]
)
def test_what_is_no_video_is_refused(tiny_engine, tmp_path, content, message):
    path = tmp_path / "film.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"video: expected.*{message}"):
        track_video(tiny_engine, path, CIRCLES)


def test_frames_of_another_size_are_not_written(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", 5) as writer:
        writer.write(draw_frame(0))
        with pytest.raises(ValueError, match="frame: expected the size of the first"):
            writer.write(draw_frame(1)[:100])


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with (
        VideoWriter(tmp_path / "absent" / "out.mp4", 5) as writer,
        pytest.raises(OSError, match="cannot write a video"),
    ):
        writer.write(draw_frame(0))


def test_trails_are_bounded_and_end_with_their_track():
    full = np.zeros((20, 20), bool)
    full[4:8, 4:8] = True
    seen = Instance(0, 0.9, (4.0, 4.0, 8.0, 8.0), Mask.from_full(full), track_id=3)
    trails = Trails()
    for _ in range(TRAIL_FRAMES + 5):
        trails.add(Result((20, 20), ("circle",), (seen,)))
    assert {i: len(trail) for i, trail in trails.copy().items()} == {3: TRAIL_FRAMES}
    assert trails.copy()[3][0] == (6.0, 6.0)
    trails.add(Result((20, 20), ("circle",), ()))
    assert trails.copy() == {}
