"""What a user of Python is told while a video runs, and at its end."""

from __future__ import annotations

import io
import logging
import uuid
from pathlib import Path

import pytest
from ikomia.dataprocess.workflow import Workflow

from infer_segment_anything_3.adapter import video_report

from .videos import FRAMES, draw_frames


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "ikomia.infer_segment_anything_3")

    def read():
        return [r.getMessage() for r in caplog.records if r.name.startswith("ikomia.infer")]

    return read


def test_the_last_line_says_what_was_found_and_how_to_keep_it(make_algo, film, lines):
    wf, _ = make_algo(input_text="circle")
    wf.run_on(path=str(film))
    assert lines() == [
        f"{film.name}: {FRAMES} frames, 2 tracks. Only the last frame's outputs are kept: "
        "wf.set_auto_save(True) before the run saves tracks and a video with them."
    ]


def test_with_auto_save_it_says_where_the_results_are(make_algo, film, lines):
    wf, algo = make_algo(Workflow(uuid.uuid4().hex), input_text="circle")
    wf.set_auto_save(True)
    wf.run_on(path=str(film))
    (line,) = lines()
    folder = Path(algo.output_folder)
    written = [folder / "film_tracks.json", folder / "film_overlay.mp4"]
    assert line == f"{film.name}: {FRAMES} frames, 2 tracks. Written: " + ", ".join(
        map(str, written)
    )
    assert all(path.is_file() for path in written)


def test_each_video_has_its_line(make_algo, film, lines):
    wf, _ = make_algo(input_text="circle", tracking="off")
    for _ in range(2):
        wf.run_on(path=str(film))
    assert [line.partition(".")[0] for line in lines()] == ["film", "film"]
    assert all(f": {FRAMES} frames. " in line for line in lines()), "without tracks"


def test_images_have_none(make_algo, lines):
    wf, _ = make_algo(input_text="circle", tracking="on")
    for frame in draw_frames():
        wf.run_on(array=frame)
    assert lines() == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_one_line_that_is_written_over(make_algo, film, lines, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(video_report.sys, "stderr", terminal)
    wf, _ = make_algo(input_text="circle")
    wf.run_on(path=str(film))
    shown = terminal.getvalue()
    assert "\n" not in shown
    assert f"film.avi: frame 1 of {FRAMES}, 2 tracks" in shown
    assert shown.endswith("\r\x1b[K"), "nothing is left of it"
    assert len(lines()) == 1


def test_elsewhere_a_long_video_tells_how_far_it_is(make_algo, film, lines, monkeypatch):
    monkeypatch.setattr(video_report, "LINE_EVERY_S", 0.0)
    wf, _ = make_algo(input_text="circle")
    wf.run_on(path=str(film))
    assert lines()[0] == f"film.avi: frame 1 of {FRAMES}, 2 tracks"
    assert len(lines()) == FRAMES


def test_a_host_without_a_console_is_no_problem(make_algo, film, lines, monkeypatch):
    wf, _ = make_algo(input_text="circle")
    monkeypatch.setattr(video_report.sys, "stderr", None)
    wf.run_on(path=str(film))
    monkeypatch.undo()
    assert len(lines()) == 1


def test_an_error_leaves_nothing_of_the_line(make_algo, film, lines, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(video_report.sys, "stderr", terminal)
    wf, algo = make_algo(input_text="circle")
    shown = []

    def fail(*_):
        shown.append(1)
        if len(shown) == 3:
            raise ValueError("a frame that fails")

    monkeypatch.setattr(type(algo), "emit_step_progress", fail)
    with pytest.raises(RuntimeError, match="a frame that fails"):
        wf.run_on(path=str(film))
    assert lines() == []
    assert "frame" not in terminal.getvalue() or terminal.getvalue().endswith("\x1b[K")


def test_a_stopped_video_is_told_as_far_as_it_was_followed(make_algo, film, lines):
    wf, algo = make_algo(Workflow(uuid.uuid4().hex), input_text="circle")
    wf.set_auto_save(True)
    algo.emit_step_progress = lambda: algo.stop() if len(lines()) == 0 else None
    wf.run_on(path=str(film))
    assert lines(), "each stop ends the report of the frames so far"
    assert all(line.startswith("film.avi: ") and " frame" in line for line in lines())


def test_paths_of_an_earlier_video_are_not_told_again(make_algo, film, lines):
    wf, _ = make_algo(Workflow(uuid.uuid4().hex), input_text="circle")
    wf.set_auto_save(True)
    wf.run_on(path=str(film))
    wf.set_auto_save(False)
    wf.run_on(path=str(film))
    first, second = lines()
    assert "Written: " in first
    assert "Written: " not in second
