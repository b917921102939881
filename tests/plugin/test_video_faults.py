"""Videos with faults, several at a time: right results afterwards, an unchanged host."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import pytest

from infer_segment_anything_3.engine import ConceptPrompt, VideoSession
from infer_segment_anything_3.engine.images import to_rgb_uint8
from infer_segment_anything_3.tests import host_state

from .videos import BLUE_XY, FRAMES, RED_XY, draw_frames, get_frame_index, read_answer

CIRCLE = ConceptPrompt(texts=("circle",))


def follow(make_algo, frames, **parameters):
    """Answers of a task of its own to frames that are given as arrays."""
    wf, algo = make_algo(**{"tracking": "on", "input_text": "circle", **parameters})
    answers = []
    for frame in frames:
        wf.run_on(array=frame)
        answers.append(read_answer(algo))
    return answers


def test_lost_repeated_and_black_frames_of_a_stream_are_frames(make_algo, tiny_engine):
    first, *_, last = draw_frames()
    frames = [first, last, last, np.zeros_like(first), first]
    session = VideoSession(tiny_engine, CIRCLE)
    for answer, frame in zip(follow(make_algo, frames), frames, strict=True):
        expected = session.step(frame).instances
        assert [i for i, *_ in answer["instances"]] == [i.track_id for i in expected]
        for (_, _, score, _, mask), instance in zip(answer["instances"], expected, strict=True):
            assert score == pytest.approx(instance.score, abs=1e-6)
            assert np.array_equal(np.frombuffer(mask, np.uint8) > 0, instance.mask.full().ravel())


def test_after_a_jump_of_the_position_all_is_as_in_a_new_video(make_algo, film, watched):
    def jump(task, count):
        if count == 2:
            task.get_input(0).get_snapshot(3)  # moves the position, but not the buffered frames

    def read(task):
        answer, image = read_answer(task), task.get_output(0).get_image().copy()
        seen.append((get_frame_index(task), answer, image))

    seen = []
    wf, algo = make_algo(input_text="circle")
    with contextlib.suppress(RuntimeError):  # Ikomia misses the frames that were jumped over
        watched(wf, algo, read, jump, path=str(film))
    indices = [index for index, _, _ in seen]
    assert indices[:2] == [0, 1] and indices[2] > 2
    after = seen[2:]
    assert [answer for _, answer, _ in after] == follow(make_algo, [image for *_, image in after])


@pytest.mark.parametrize(
    "convert",
    [
        lambda frame: frame[..., 0].copy(),
        lambda frame: np.dstack([frame, np.full(frame.shape[:2], 7, np.uint8)]),
        lambda frame: (frame / 255).astype(np.float32),
        lambda frame: frame.astype(np.uint16) * 257,
    ],
    ids=["gray", "RGBA", "float", "16 bits"],
)
def test_frames_of_another_type_are_the_same_video(make_algo, convert):
    first, second, third = draw_frames(3)
    odd = convert(second)
    plain = follow(make_algo, [first, to_rgb_uint8(odd), third])
    assert follow(make_algo, [first, odd, third]) == plain


def test_a_frame_of_another_size_begins_a_video_and_the_next_another(make_algo):
    first, second = draw_frames(2)
    small = np.ascontiguousarray(first[:150, :220])
    answers = follow(make_algo, [first, small, first, second])
    assert answers[1] == follow(make_algo, [small])[0]
    assert answers[2:] == follow(make_algo, [first, second])


def test_two_videos_in_turns_and_clicks_on_an_image_meanwhile(make_algo):
    there, back = draw_frames(), draw_frames()[::-1]
    image = np.ascontiguousarray(there[0][:, ::-1])
    alone = follow(make_algo, there), follow(make_algo, back)
    click_wf, click_algo = make_algo(input_point=[image.shape[1] - 1 - RED_XY[0], RED_XY[1]])
    click_wf.run_on(array=image)
    expected = read_answer(click_algo)
    clicked, done, begun = [], threading.Event(), threading.Event()

    def click_on():
        while not done.is_set():
            click_wf.run_on(array=image)
            clicked.append(read_answer(click_algo))
            begun.set()

    thread = threading.Thread(target=click_on)
    thread.start()
    try:
        begun.wait(120)
        tasks = [make_algo(tracking="on", input_text="circle") for _ in range(2)]
        together = [], []
        for frames in zip(there, back, strict=True):
            for (wf, algo), frame, seen in zip(tasks, frames, together, strict=True):
                wf.run_on(array=frame)
                seen.append(read_answer(algo))
    finally:
        done.set()
        thread.join(120)
    assert together == alone
    assert len(clicked) > 1
    assert all(answer == expected for answer in clicked)


def test_two_video_files_at_the_same_time(make_algo, film, watched):
    tasks = [make_algo(input_text=text) for text in ("circle", "blue circle")]
    alone = [watched(wf, algo, read_answer, path=str(film)) for wf, algo in tasks]
    together = {}

    def play(index):
        wf, algo = make_algo(input_text=("circle", "blue circle")[index])
        wf.run_on(path=str(film))
        together[index] = read_answer(algo)

    threads = [threading.Thread(target=play, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert together == {index: answers[FRAMES - 1] for index, answers in enumerate(alone)}


def test_the_host_is_as_before_after_videos_and_their_faults(make_algo, film, watched):
    wf, algo = make_algo(input_text="circle")
    wf.run_on(path=str(film))
    before = host_state.snapshot(), host_state.functions()
    wf.run_on(path=str(film))
    algo.set_parameters({"input_text": "", "input_point": str(list(BLUE_XY))})
    with pytest.raises(RuntimeError):
        watched(
            wf,
            algo,
            get_frame_index,
            lambda task, count: task.set_parameters({"input_point": "[5000, 5]"}),
            path=str(film),
        )
    algo.set_parameters({"input_point": str(list(BLUE_XY))})
    with pytest.raises(RuntimeError, match="Stop workflow requested"):
        watched(wf, algo, get_frame_index, lambda task, count: wf.stop(), path=str(film))
    assert not host_state.changed(before[0], host_state.snapshot())
    assert not host_state.changed(before[1], host_state.functions())
