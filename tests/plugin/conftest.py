"""Videos, and what a task leaves after each of their frames."""

from __future__ import annotations

import pytest

from .videos import draw_frames, write_film


@pytest.fixture
def film(tmp_path):
    """A short video."""
    return write_film(tmp_path / "film.avi", draw_frames())


@pytest.fixture
def watched(monkeypatch):
    """Runs a workflow and gives what ``read`` finds in a task after each frame.

    ``then`` is called with the task and the number of frames so far, before the next one.
    """

    def watch(wf, algo, read, then=lambda task, count: None, **source):
        seen = []
        run = type(algo).run

        def record(task):
            run(task)
            if task is algo:
                seen.append(read(task))
                then(task, len(seen))

        with monkeypatch.context() as patched:
            patched.setattr(type(algo), "run", record)
            wf.run_on(**source)
        return seen

    return watch


@pytest.fixture
def paused(ikomia_home, film):
    """Gives a task a video that stands at its first frame."""
    from ikomia.core import IODataType
    from ikomia.dataprocess import CVideoIO

    video = CVideoIO(IODataType.VIDEO, "", str(film))
    video.start_video(60_000)

    def pause(task):
        if video.get_current_pos():  # a frame that was read moved it on
            video.set_video_pos(0)
        task.set_input(video, 0)

    yield pause
    video.stop_video()
