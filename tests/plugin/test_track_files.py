"""The files that a followed video leaves, also where it is interrupted."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import uuid
from pathlib import Path

import cv2
import numpy as np
import pytest
from ikomia.dataprocess.workflow import Workflow
from pycocotools import mask as mask_api

from infer_segment_anything_3.adapter.outputs import tracks
from infer_segment_anything_3.engine.video_files import VideoReader, VideoWriter

from .videos import FRAMES, HW, RED_XY, draw_frames, get_frame_index, list_tracks, write_film


@pytest.fixture
def saving(make_algo):
    """Makes a workflow that writes its results, and its task."""

    def make(**parameters):
        # Ikomia names the folder of a run by the workflow and the second.
        wf = Workflow(uuid.uuid4().hex)
        wf, algo = make_algo(wf, **{"input_text": "circle", **parameters})
        wf.set_auto_save(True)
        return wf, algo

    return make


def read_files(algo, stem="film"):
    """Rows, lines of MOTChallenge's text and YouTube-VIS's data of a video."""
    folder = Path(algo.output_folder)
    rows = [json.loads(line) for line in (folder / f"{stem}_tracks.jsonl").open()]
    mot = (folder / f"{stem}_mot.txt").read_text().splitlines()
    data = json.loads((folder / f"{stem}_tracks.json").read_text())
    check_agreement(rows, mot, data)
    return rows, mot, data


def check_agreement(rows, mot, data):
    """Fails unless the three files hold the same tracks."""
    length = data["videos"][0]["length"]
    assert length == (rows[-1]["frame"] + 1 if rows else 0)
    seen = [(row["frame"] + 1, i["track_id"]) for row in rows for i in row["instances"]]
    assert [tuple(map(int, line.split(",")[:2])) for line in mot] == seen
    assert {line.count(",") for line in mot} <= {9}
    false_starts = {i for row in rows for i in row["removed"]}
    assert {a["id"] for a in data["annotations"]} == {i for _, i in seen} - false_starts
    for annotation in data["annotations"]:
        shown = [k for k, s in enumerate(annotation["segmentations"]) if s is not None]
        assert [(k + 1, annotation["id"]) for k in shown] == [
            pair for pair in seen if pair[1] == annotation["id"]
        ]


def test_files_of_a_whole_video(saving, film):
    wf, algo = saving()
    wf.run_on(path=str(film))
    rows, mot, data = read_files(algo)
    assert [row["frame"] for row in rows] == list(range(FRAMES))
    assert mot[0].startswith("1,0,")
    assert len(data["annotations"]) >= 2
    assert mask_api.decode(data["annotations"][0]["segmentations"][0]).shape == HW


def test_the_video_with_its_tracks_is_written(saving, film):
    wf, algo = saving()
    wf.run_on(path=str(film))
    shown = VideoReader(Path(algo.output_folder) / "film_overlay.mp4")
    plain = VideoReader(film)
    assert (shown.count, shown.fps) == (FRAMES, plain.fps)
    for one, other in zip(shown, plain, strict=True):
        change = np.abs(one.astype(int) - other).max(axis=2)
        assert change[RED_XY[1], RED_XY[0] + 10] > 40, "the circle is tinted"
        assert change[190:, :40].max() < 40, "the background is as it was"


@pytest.mark.parametrize(
    ("owner", "function", "error"),
    [
        (VideoWriter, "write", OSError("no space left")),
        (tracks, "draw_overlay", cv2.error("no space left")),
    ],
    ids=["writing", "drawing"],
)
def test_a_video_that_cannot_be_written_costs_no_tracks(
    saving, film, monkeypatch, caplog, owner, function, error
):
    tries = []

    def fail(*_):
        tries.append(1)
        raise error

    monkeypatch.setattr(owner, function, fail)
    wf, algo = saving()
    wf.run_on(path=str(film))
    assert len(read_files(algo)[0]) == FRAMES
    assert len(tries) == 1, "the other frames are not tried"
    assert [r.message for r in caplog.records if "no space left" in r.message] == [
        "the video with the tracks is not written: no space left"
    ]


def test_without_auto_save_nothing_is_written(make_algo, film):
    wf, algo = make_algo(input_text="circle")
    wf.run_on(path=str(film))
    assert algo.save_tracks() == ""
    assert not list(Path(algo.output_folder).rglob("film_*"))


def stop(wf):
    thread = threading.Thread(target=wf.stop)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_a_stop_between_two_frames_writes_the_json(saving, film, watched):
    wf, algo = saving()
    with pytest.raises(RuntimeError, match="Stop workflow requested"):
        watched(
            wf,
            algo,
            get_frame_index,
            lambda task, count: stop(wf) if count == 3 else None,
            path=str(film),
        )
    rows, _, _ = read_files(algo)
    assert [row["frame"] for row in rows] == [0, 1, 2]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt], ids=["stop", "Ctrl-C"])
def test_an_end_within_a_frame_writes_the_json_and_the_next_video_is_whole(
    saving, film, monkeypatch, error
):
    wf, algo = saving()
    steps = 0

    def end_in_the_third_frame():
        nonlocal steps
        steps += 1
        if steps == 2 * algo.get_progress_steps() + 2:
            if error is None:
                stop(wf)
            else:
                signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(algo, "emit_step_progress", end_in_the_third_frame)
        with pytest.raises((RuntimeError, KeyboardInterrupt)):
            wf.run_on(path=str(film))
    rows, _, _ = read_files(algo)
    # A stop is seen at the next step, which may be the next frame's first.
    assert [row["frame"] for row in rows] in ([0, 1], [0, 1, 2])
    assert list_tracks(algo) == []
    another = write_film(film.with_name("another.avi"), draw_frames(3))
    wf.run_on(path=str(another))
    rows, _, _ = read_files(algo, "another")
    assert [row["frame"] for row in rows] == [0, 1, 2]
    assert [i["track_id"] for i in rows[0]["instances"]] == [0, 1]


def test_ctrl_c_between_two_frames_leaves_valid_rows(saving, film, watched):
    def interrupt(task, count):
        if count == 2:
            raise KeyboardInterrupt

    wf, algo = saving()
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        watched(wf, algo, get_frame_index, interrupt, path=str(film))
    assert Path(algo.save_tracks()).name == "film_tracks.json"
    rows, _, _ = read_files(algo)
    assert [row["frame"] for row in rows] == [0, 1]


def test_a_video_that_ends_early_keeps_what_came(saving, film):
    data = film.read_bytes()
    film.write_bytes(data[: len(data) // 2])
    wf, algo = saving()
    # Ikomia either raises, or gives the last frame again as often as frames are missing.
    with contextlib.suppress(RuntimeError):
        wf.run_on(path=str(film))
    rows, _, _ = read_files(algo)
    frames = [row["frame"] for row in rows]
    assert frames == list(range(len(frames)))
    assert 1 <= len(frames) < FRAMES


def test_what_starts_anew_in_mid_video_leaves_the_earlier_rows(saving, film, watched):
    def change_the_prompt(task, count):
        if count == 2:
            task.set_parameters({"input_text": "red circle"})

    wf, algo = saving()
    watched(wf, algo, get_frame_index, change_the_prompt, path=str(film))
    assert [row["frame"] for row in read_files(algo)[0]] == [0, 1]
    rows, _, _ = read_files(algo, "film_2")
    assert [row["frame"] for row in rows] == [2, 3, 4]
    assert {i["category"] for row in rows for i in row["instances"]} == {"red circle"}


def test_a_paused_frame_has_one_row_the_newest(saving, paused, tmp_path):
    _, algo = saving(input_text="", input_box=[174, 104, 226, 156])
    algo.output_folder = str(tmp_path)
    from ikomia.core import CGraphicsRectangle

    for items in ([], [], [CGraphicsRectangle(34.0, 44.0, 52.0, 52.0)]):
        algo.get_input(1).set_items(items)
        paused(algo)
        algo.run()
    algo.save_tracks()
    ((row,), mot, _) = read_files(algo)
    assert [i["track_id"] for i in row["instances"]] == [0, 1]
    assert len(mot) == 2
