"""Objects followed through a video by the plugin's task, in a real Ikomia."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_api

FRAMES = 5
HW = (200, 280)


def draw_frames(count=FRAMES, hw=HW):
    """A red circle that moves to the right and a blue one that stays."""
    frames = []
    for t in range(count):
        image = np.full((*hw, 3), (120, 125, 118), np.uint8)
        cv2.circle(image, (60 + 3 * t, 70), 26, (220, 40, 40), -1)
        cv2.circle(image, (200, 130), 26, (50, 70, 220), -1)
        frames.append(image)
    return frames


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, HW[::-1])
    assert writer.isOpened()
    for frame in draw_frames():
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def objects(task):
    """Id, class and color of each instance of output 2."""
    return [(o.id, o.label, tuple(o.color)) for o in task.get_output(2).get_objects()]


@pytest.fixture
def watched(monkeypatch):
    """Runs a workflow and gives what each run of the task left in its outputs."""

    def watch(wf, algo, **source):
        seen = []
        run = type(algo).run

        def record(task):
            run(task)
            seen.append((objects(task), task.get_output(3).data, task.get_image_with_mask()))

        monkeypatch.setattr(type(algo), "run", record)
        wf.run_on(**source)
        monkeypatch.setattr(type(algo), "run", run)
        return seen

    return watch


def test_a_video_gives_ids_colors_and_frame_indices(make_algo, film, watched):
    wf, algo = make_algo(input_text="circle")
    seen = watched(wf, algo, path=str(film))
    assert [data["image"]["frame_index"] for _, data, _ in seen] == list(range(FRAMES))
    colors = {}
    for found, data, overlay in seen:
        assert overlay.shape == (*HW, 3)
        assert [i for i, _, _ in found] == [a["track_id"] for a in data["annotations"]]
        for track_id, label, color in found:
            assert label == "circle"
            assert colors.setdefault(track_id, color) == color
    assert [i for i, _, _ in seen[0][0]] == [0, 1]
    again = watched(wf, algo, path=str(film))
    assert again[0][0] == seen[0][0], "the same video starts anew"


@pytest.mark.parametrize(
    ("tracking", "is_tracked"), [("auto", False), ("off", False), ("on", True)]
)
def test_frames_given_as_arrays(make_algo, tracking, is_tracked):
    wf, algo = make_algo(input_text="circle", tracking=tracking)
    for t, frame in enumerate(draw_frames(3)):
        wf.run_on(array=frame)
        data = algo.get_output(3).data
        assert data["image"].get("frame_index") == (t if is_tracked else None)
        assert all(("track_id" in a) == is_tracked for a in data["annotations"])


def test_a_session_starts_anew(make_algo):
    wf, algo = make_algo(input_text="circle", tracking="on")
    frames = draw_frames(2)

    def frame_index(image):
        wf.run_on(array=image)
        return algo.get_output(3).data["image"]["frame_index"]

    assert [frame_index(f) for f in frames] == [0, 1]
    assert frame_index(draw_frames(1, (240, 280))[0]) == 0, "another size"
    assert frame_index(draw_frames(1, (240, 280))[0]) == 1
    algo.set_parameters({"input_text": "red circle"})
    assert frame_index(draw_frames(1, (240, 280))[0]) == 0, "another prompt"
    assert frame_index(draw_frames(1, (240, 280))[0]) == 1
    algo.start_over()
    assert frame_index(draw_frames(1, (240, 280))[0]) == 0, "by the method"
    algo.set_parameters({"segmentation_format": "none"})
    assert frame_index(draw_frames(1, (240, 280))[0]) == 1, "it is about the output only"


def test_a_refused_frame_does_not_end_the_session(make_algo):
    wf, algo = make_algo(input_text="circle", tracking="on")
    wf.run_on(array=draw_frames(1)[0])
    with pytest.raises(RuntimeError, match="image"):
        wf.run_on(array=np.full(HW, np.nan, np.float32))
    wf.run_on(array=draw_frames(2)[1])
    assert algo.get_output(3).data["image"]["frame_index"] == 1


@pytest.mark.parametrize(
    ("parameters", "word"),
    [({"prompt_mode": "everything"}, "prompt_mode"), ({"tiles": "2"}, "tiles")],
)
def test_what_cannot_be_followed(make_algo, film, watched, parameters, word):
    wf, _ = make_algo(input_text="circle", tracking="on", **parameters)
    with pytest.raises(RuntimeError, match=word):
        wf.run_on(array=draw_frames(1)[0])


def test_an_image_file_is_no_frame(make_algo, tmp_path):
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), draw_frames(1)[0])
    wf, _ = make_algo(input_text="circle", tracking="on")
    with pytest.raises(RuntimeError, match="tracking on: expected a video"):
        wf.run_on(path=str(path))


def test_drawings_belong_to_their_frame(make_algo):
    from ikomia.core import CGraphicsPoint, CGraphicsRectangle, CPointF

    wf, algo = make_algo(tracking="on")
    frames = draw_frames(3)
    drawing = [CGraphicsPoint(CPointF(60, 70))]
    algo.get_input(1).set_items(drawing)
    wf.run_on(array=frames[0])
    assert [i for i, _, _ in objects(algo)] == [0]
    wf.run_on(array=frames[1])
    assert algo.get_output(3).data["image"]["frame_index"] == 1
    algo.get_input(1).set_items([*drawing, CGraphicsRectangle(172, 102, 56, 56)])
    wf.run_on(array=frames[2])
    assert algo.get_output(3).data["image"]["frame_index"] == 2
    assert 1 in [i for i, _, _ in objects(algo)], "a new box starts a new object"


def test_files_of_a_whole_video(make_algo, film, tmp_path):
    wf, algo = make_algo(input_text="circle")
    wf.set_auto_save(True)
    wf.run_on(path=str(film))
    folder = Path(algo.output_folder)
    rows = [json.loads(line) for line in (folder / "film_tracks.jsonl").open()]
    assert [row["frame"] for row in rows] == list(range(FRAMES))
    data = json.loads((folder / "film_tracks.json").read_text())
    assert data["videos"][0]["length"] == FRAMES
    first = data["annotations"][0]
    assert len(first["segmentations"]) == FRAMES
    assert mask_api.decode(first["segmentations"][0]).shape == HW
    mot = (folder / "film_mot.txt").read_text().splitlines()
    assert len(mot) == sum(len(row["instances"]) for row in rows)
    assert mot[0].startswith("1,0,")


def test_a_video_that_breaks_off_leaves_valid_rows(make_algo, film, monkeypatch):
    wf, algo = make_algo(input_text="circle")
    wf.set_auto_save(True)
    run = type(algo).run
    count = [0]

    def interrupted(task):
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        run(task)

    monkeypatch.setattr(type(algo), "run", interrupted)
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        wf.run_on(path=str(film))
    folder = Path(algo.output_folder)
    rows = [json.loads(line) for line in (folder / "film_tracks.jsonl").open()]
    assert [row["frame"] for row in rows] == [0, 1]
    assert Path(algo.save_tracks()) == folder / "film_tracks.json"
    assert json.loads((folder / "film_tracks.json").read_text())["videos"][0]["length"] == 2
