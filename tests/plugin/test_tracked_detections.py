"""Boxes of an earlier task, followed through a video by the plugin's task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ikomia.dataprocess.workflow import Workflow

from .detector import Detector
from .videos import BLUE_XY, FRAMES, RADIUS_PX, RED_XY, get_frame_index, list_tracks


def detect(name, center_xy, shift_px=0):
    """A box around a circle, as :class:`Detector` finds it."""
    color = (10, 200, 30) if name == "ball" else (200, 10, 30)
    x, y = center_xy[0] + shift_px, center_xy[1]
    return name, color, (x - RADIUS_PX, y - RADIUS_PX, x + RADIUS_PX, y + RADIUS_PX)


RED, BLUE = detect("ball", RED_XY), detect("marble", BLUE_XY)


@pytest.fixture
def detecting(make_algo):
    """A workflow of a detector and the plugin's task."""
    wf, detector = Workflow(), Detector()
    wf.add_task(task=detector, auto_connect=True)
    _, algo = make_algo(workflow=wf)
    return wf, detector, algo


def follow(watched, wf, detector, algo, film, found):
    """Ids and classes on each frame of a video; ``found`` are the detections by frame."""
    detector.found = found.get(0, ())

    def detect_next(task, count):
        detector.found = found.get(count, ())

    def read(task):
        return get_frame_index(task), [(i, label) for i, label, _ in list_tracks(task)]

    seen = watched(wf, algo, read, detect_next, path=str(film))
    assert [index for index, _ in seen] == list(range(FRAMES))
    return [tracks for _, tracks in seen]


def test_boxes_of_the_first_frame_start_objects(detecting, film, watched):
    tracks = follow(watched, *detecting, film, {0: (RED, BLUE)})
    assert tracks[0] == [(0, "ball"), (1, "marble")]
    for later in tracks[1:]:
        assert set(later) <= {(0, "ball"), (1, "marble")}, "nothing else joins them"


def test_boxes_that_come_later_are_the_first_ones(detecting, film, watched):
    tracks = follow(watched, *detecting, film, {2: (BLUE,)})
    assert tracks[:3] == [[], [], [(0, "marble")]]


def test_a_later_box_starts_an_object_where_none_is_in_view(detecting, film, watched):
    tracks = follow(watched, *detecting, film, {0: (RED,), 3: (BLUE,)})
    assert tracks[0] == [(0, "ball")]
    assert (1, "marble") in tracks[3]
    assert not any(i > 1 for later in tracks for i, _ in later)


def test_a_later_box_on_an_object_in_view_starts_none(detecting, film, watched):
    wf, detector, algo = detecting
    above = detect("ball", (BLUE_XY[0], 30))
    found = [(RED,), (BLUE,), (detect("marble", BLUE_XY, shift_px=8),), (above, BLUE), ()]
    detector.found = found[0]

    def pause_on_the_second_frame(task, count):
        detector.found = found[min(count, 4)]
        if count >= 2:
            detector.get_input(0).set_video_pos(1)

    def read(task):
        return get_frame_index(task), [i for i, _, _ in list_tracks(task)]

    seen = watched(wf, algo, read, pause_on_the_second_frame, path=str(film))
    assert [index for index, _ in seen] == [0, 1, 1, 1, 1]
    assert [max(ids) for _, ids in seen] == [0, 1, 1, 2, 2]


def test_a_video_that_an_earlier_task_saves_is_followed_to_its_end(detecting, film, watched):
    wf, detector, algo = detecting
    wf.set_auto_save(True)  # then the position of the detector's video stands still
    tracks = follow(watched, wf, detector, algo, film, {0: (RED,), 3: (BLUE,)})
    assert tracks[0] == [(0, "ball")]
    assert (1, "marble") in tracks[3]
    (rows,) = Path(algo.output_folder).glob("*_tracks.jsonl")
    assert [json.loads(line)["frame"] for line in rows.open()] == list(range(FRAMES))
    assert rows.with_suffix(".json").exists()


def test_boxes_beyond_the_limit_are_left_out_with_one_warning(
    detecting, film, watched, caplog, monkeypatch
):
    monkeypatch.setattr("infer_segment_anything_3.adapter.tracking.MAX_OBJECTS", 2)
    more = tuple(detect("ball", (x, 30)) for x in (30, 100, 170, 240))
    tracks = follow(watched, *detecting, film, {0: (RED,), 1: (BLUE, *more), 2: more, 3: more})
    assert (1, "marble") in tracks[1]
    assert not any(i > 1 for later in tracks for i, _ in later)
    warnings = [r for r in caplog.records if "objects are followed" in r.getMessage()]
    assert len(warnings) == 1


def test_boxes_as_exemplars_are_those_of_the_first_frame(detecting, film, watched):
    wf, detector, algo = detecting
    algo.set_parameters({"prompt_mode": "concept"})
    tracks = follow(watched, wf, detector, algo, film, {0: (RED,), 1: (BLUE,), 3: (RED, BLUE)})
    assert tracks[0]
    assert all(later == [] or later[0][1] == tracks[0][0][1] for later in tracks)
