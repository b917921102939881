"""Objects followed through a video by the plugin's task, in a real Ikomia."""

from __future__ import annotations

import logging
import shutil

import cv2
import numpy as np
import pytest

from infer_segment_anything_3.tests.multiplex_file import write_multiplex_file

from .videos import (
    BLUE_XY,
    FRAMES,
    HW,
    RADIUS_PX,
    RED_XY,
    draw_frames,
    get_frame_index,
    list_tracks,
    read_answer,
)


def read_frame(task):
    return list_tracks(task), task.get_output(3).data, task.get_image_with_mask()


def test_a_video_gives_ids_colors_and_frame_indices(make_algo, film, watched):
    wf, algo = make_algo(input_text="circle")
    seen = watched(wf, algo, read_frame, path=str(film))
    assert [data["image"]["frame_index"] for _, data, _ in seen] == list(range(FRAMES))
    colors = {}
    for found, data, overlay in seen:
        assert overlay.shape == (*HW, 3)
        assert [i for i, _, _ in found] == [a["track_id"] for a in data["annotations"]]
        for track_id, label, color in found:
            assert label == "circle"
            assert colors.setdefault(track_id, color) == color
    assert [i for i, _, _ in seen[0][0]] == [0, 1]


@pytest.mark.parametrize("is_another_path", [False, True])
def test_a_video_starts_anew(make_algo, film, watched, tmp_path, is_another_path):
    wf, algo = make_algo(input_text="circle", input_point="")
    seen = watched(wf, algo, read_answer, path=str(film))
    if is_another_path:
        film = shutil.copy(film, tmp_path / "another.avi")
    assert watched(wf, algo, read_answer, path=str(film)) == seen


def test_a_live_stream_is_followed_whatever_its_position(make_algo, film):
    from ikomia.core import IODataType
    from ikomia.dataprocess import CVideoIO

    _, algo = make_algo(input_text="circle")
    stream = CVideoIO(IODataType.LIVE_STREAM, "", str(film))
    stream.start_video(60_000)
    algo.set_input(stream, 0)
    found = []
    for _ in range(3):  # the position of this one stands still
        algo.run()
        found.append(get_frame_index(algo))
    stream.stop_video()
    assert found == [0, 1, 2]


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
        return get_frame_index(algo)

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
    assert get_frame_index(algo) == 1


@pytest.mark.parametrize(
    ("parameters", "word"),
    [({"prompt_mode": "everything"}, "prompt_mode"), ({"tiles": "2"}, "tiles")],
)
def test_what_cannot_be_followed(make_algo, parameters, word):
    wf, _ = make_algo(input_text="circle", tracking="on", **parameters)
    with pytest.raises(RuntimeError, match=word):
        wf.run_on(array=draw_frames(1)[0])


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"prompt_mode": "everything", "points_per_side": "2"}, "prompt_mode"),
        ({"tiles": "2"}, "tiles"),
    ],
)
def test_auto_segments_what_cannot_be_followed_frame_by_frame(
    make_algo, film, watched, caplog, parameters, word
):
    wf, algo = make_algo(input_text="circle", **parameters)
    seen = watched(wf, algo, lambda task: task.get_output(3).data, path=str(film))
    assert len(seen) == FRAMES
    for data in seen:
        assert data["annotations"]
        assert not any("track_id" in annotation for annotation in data["annotations"])
    warnings = [r.getMessage() for r in caplog.records if "tracking is off" in r.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].startswith(word)


def test_an_image_file_is_no_frame(make_algo, tmp_path):
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), draw_frames(1)[0])
    wf, _ = make_algo(input_text="circle", tracking="on")
    with pytest.raises(RuntimeError, match="tracking on: expected a video"):
        wf.run_on(path=str(path))


def test_a_folder_is_no_video(make_algo, tmp_path, caplog):
    for t, frame in enumerate(draw_frames(2)):
        cv2.imwrite(str(tmp_path / f"{t}.png"), frame)
    wf, algo = make_algo(input_text="circle", tracking="on")
    with caplog.at_level(logging.ERROR):
        wf.run_on(folder=str(tmp_path))
    assert list_tracks(algo) == []


def test_drawings_belong_to_their_frame(make_algo):
    from ikomia.core import CGraphicsPoint, CGraphicsRectangle, CPointF

    wf, algo = make_algo(tracking="on")
    frames = draw_frames(3)
    drawing = [CGraphicsPoint(CPointF(60, 70))]
    algo.get_input(1).set_items(drawing)
    wf.run_on(array=frames[0])
    assert [i for i, _, _ in list_tracks(algo)] == [0]
    wf.run_on(array=frames[1])
    assert get_frame_index(algo) == 1
    algo.get_input(1).set_items([*drawing, CGraphicsRectangle(172, 102, 56, 56)])
    wf.run_on(array=frames[2])
    assert get_frame_index(algo) == 2
    assert 1 in [i for i, _, _ in list_tracks(algo)], "a new box starts a new object"


@pytest.mark.parametrize("refine", [True, False])
def test_points_drawn_on_a_paused_frame_correct_a_track_or_start_one(make_algo, paused, refine):
    from ikomia.core import CGraphicsPoint, CPointF

    x, y = BLUE_XY
    _, algo = make_algo(
        input_box=[x - RADIUS_PX, y - RADIUS_PX, x + RADIUS_PX, y + RADIUS_PX], refine=refine
    )
    paused(algo)
    algo.run()
    before = read_answer(algo)
    paused(algo)
    algo.run()
    assert read_answer(algo) == before, "nothing is new"
    paused(algo)
    algo.get_input(1).set_items([CGraphicsPoint(CPointF(*map(float, RED_XY)))])
    algo.run()
    after = read_answer(algo)
    assert get_frame_index(algo) == 0
    assert [i for i, _, _ in list_tracks(algo)] == ([0] if refine else [0, 1])
    assert (after["instances"][0] == before["instances"][0]) != refine
    paused(algo)
    algo.run()
    assert read_answer(algo) == after, "a point corrects once"


def test_candidates_are_given_on_the_first_frame_only(make_algo):
    wf, algo = make_algo(tracking="on", input_point=list(RED_XY), multimask_output=True)
    counts = []
    for frame in draw_frames(3):
        wf.run_on(array=frame)
        counts.append(algo.get_output_count())
    assert counts == [6, 4, 4]


def test_weights_of_sam_3_1_are_refused_or_segment_frame_by_frame(
    make_algo, film, watched, caplog, tmp_path
):
    weights = write_multiplex_file(tmp_path)
    wf, algo = make_algo(input_text="circle", model_weight_file=weights)
    seen = watched(wf, algo, lambda task: task.get_output(3).data["annotations"], path=str(film))
    assert len(seen) == FRAMES
    assert all(found and "track_id" not in found[0] for found in seen)
    warnings = [r for r in caplog.records if r.getMessage().startswith("tracking: these weights")]
    assert len(warnings) == 1
    algo.set_parameters({"tracking": "on"})
    with pytest.raises(RuntimeError, match=r"tracking: .*no tracker.*SAM 3\.1"):
        wf.run_on(path=str(film))


def test_weights_of_sam_3_1_with_their_tracker_track(make_algo, film, watched, tmp_path):
    weights = write_multiplex_file(tmp_path, with_tracker=True)
    wf, algo = make_algo(input_point=list(RED_XY), model_weight_file=weights)
    seen = watched(wf, algo, lambda task: task.get_output(3).data["annotations"], path=str(film))
    assert len(seen) == FRAMES
    assert all([a["track_id"] for a in found] == [0] for found in seen)
