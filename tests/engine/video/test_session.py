"""What a session promises: ids, prompts in mid-video, what it refuses, what it survives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infer_segment_anything_3.engine import (
    ConceptPrompt,
    Engine,
    EverythingPrompt,
    ObjectPrompt,
    PromptedObject,
    Result,
    VideoSession,
)
from infer_segment_anything_3.tests import host_state
from infer_segment_anything_3.tests.multiplex_file import write_multiplex_file

from .clips import BLUE, GREEN, RED, Ball, draw_clip, draw_frame, place_balls

CIRCLES = ConceptPrompt(texts=("red circle", "blue circle"))
TWO_CLICKS = ObjectPrompt(
    (PromptedObject(points_xy=((60, 70),)), PromptedObject(box_xyxy=(234, 124, 286, 176)))
)
BALLS = [Ball((60, 70), (4, 2), 30), Ball((260, 150), (-4, -1), 26, BLUE)]
FRAMES = draw_clip(BALLS, 6)


def summary(result: Result) -> list[tuple[Any, ...]]:
    """Everything about a result that a user can see."""
    return [
        (i.track_id, i.class_index, round(i.score, 5), i.box_xyxy, i.mask.area)
        for i in result.instances
    ]


def ids(result: Result) -> list[int | None]:
    return [i.track_id for i in result.instances]


@contextmanager
def counted_decoder_calls(engine: Engine) -> Iterator[list[int]]:
    """Batch sizes of the calls of the tracker's mask decoder."""
    sizes: list[int] = []
    decoder = engine.model.inst_interactive_predictor.model.sam_mask_decoder
    hook = decoder.register_forward_hook(
        lambda module, args, kwargs, out: sizes.append(len(kwargs["image_embeddings"])),
        with_kwargs=True,
    )
    try:
        yield sizes
    finally:
        hook.remove()


def test_ids_are_unique_over_concepts_and_a_concept_finds_what_enters(tiny_engine: Engine) -> None:
    balls = [*BALLS, Ball((160, 200), radius=24, frames=(2, 9))]
    session = VideoSession(tiny_engine, CIRCLES)
    classes: dict[int | None, set[int]] = {}
    for t, frame in enumerate(draw_clip(balls, 4)):
        result = session.step(frame)
        assert result.class_names == CIRCLES.texts
        assert result.frame_index == session.frame_index == t
        for instance in result.instances:
            classes.setdefault(instance.track_id, set()).add(instance.class_index)
        if t == 2:
            centers = [i.mask.full()[200, 160] for i in result.instances]
            assert any(centers), "the ball that entered"
    assert all(len(own) == 1 for own in classes.values())


def test_objects_keep_their_ids_and_nothing_joins_them(sure_engine: Engine) -> None:
    session = VideoSession(sure_engine, TWO_CLICKS)
    for frame in FRAMES[:4]:
        assert ids(session.step(frame)) == [0, 1]
    assert session.track_ids == (0, 1)


@pytest.mark.parametrize("count", [1, 4])
def test_objects_born_on_one_frame_take_one_call(tiny_engine: Engine, count: int) -> None:
    balls = place_balls(count)
    frame = draw_frame(balls, 0)
    with counted_decoder_calls(tiny_engine) as sizes:
        found = VideoSession(tiny_engine, ConceptPrompt(texts=("circle",))).step(frame)
        assert sizes == [len(found.instances)]
        assert len(found.instances) >= count - 1, "the model may miss one"
        sizes.clear()
        clicks = tuple(PromptedObject(points_xy=(ball.start_xy,)) for ball in balls)
        VideoSession(tiny_engine, ObjectPrompt(clicks)).step(frame)
        assert sizes == [count]


def test_a_frame_is_encoded_once_for_everything(tiny_engine: Engine) -> None:
    session = VideoSession(tiny_engine, CIRCLES)
    session.step(FRAMES[0])
    session.add_objects(TWO_CLICKS)
    before, cached = tiny_engine.encodings, len(tiny_engine.image_cache)
    session.step(FRAMES[1])
    assert tiny_engine.encodings == before + 1
    assert len(tiny_engine.image_cache) == cached, "frames are not kept"


def test_prompts_in_mid_video(sure_engine: Engine) -> None:
    frames = draw_clip([*BALLS, Ball((160, 40), color=GREEN)], 4)
    session = VideoSession(sure_engine, TWO_CLICKS)
    for frame in frames[:2]:
        session.step(frame)
    before = session.step(frames[2])
    corrected = session.correct(
        0, PromptedObject(points_xy=((68, 74), (255, 148)), point_labels=(1, 0))
    )
    assert ids(corrected) == [0, 1]
    assert summary(corrected)[0] != summary(before)[0]
    assert summary(corrected)[1] == summary(before)[1]
    added = session.add_objects(
        ObjectPrompt((PromptedObject(points_xy=((160, 40),), class_name="ball"),))
    )
    assert ids(added) == [0, 1, 2]
    assert added.class_names == ("object", "ball")
    assert ids(session.remove(0)) == [1, 2]
    assert ids(session.step(frames[3])) == [1, 2]
    again = session.add_objects(ObjectPrompt((PromptedObject(points_xy=((72, 76),)),)))
    assert ids(again) == [1, 3, 2], "by class, then id; 0 is not given again"


def test_a_removed_track_of_a_concept_does_not_come_back(sure_engine: Engine) -> None:
    session = VideoSession(sure_engine, ConceptPrompt(texts=("red circle",)))
    still = draw_frame([Ball((60, 70))], 0)
    (first,) = session.step(still).instances
    assert ids(session.remove(first.track_id)) == []
    assert first.track_id not in session.track_ids
    assert first.track_id not in ids(session.step(still))


def test_candidates_are_given_on_the_first_frame(sure_engine: Engine) -> None:
    prompt = ObjectPrompt((PromptedObject(points_xy=((60, 70),)),), multimask=True)
    session = VideoSession(sure_engine, prompt)
    assert [len(session.step(f).instances[0].alternatives) for f in FRAMES[:2]] == [2, 0]


def test_what_is_not_seen_is_forgotten(tiny_engine: Engine) -> None:
    session = VideoSession(tiny_engine, ConceptPrompt(texts=("red circle",)), forget_after=3)
    empty = draw_frame([], 0)
    first = set(ids(session.step(FRAMES[0])))
    for _ in range(3):
        session.step(empty)
        known = set(session.track_ids)
    assert first
    assert not any(i in known for i in first)
    later = set(ids(session.step(FRAMES[0])))
    assert later and min(later) > max(first)


def test_no_more_than_max_objects(tiny_engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    balls = place_balls(6)
    session = VideoSession(tiny_engine, ConceptPrompt(texts=("circle",)), max_objects=4)
    for _ in range(3):
        assert len(session.step(draw_frame(balls, 0)).instances) <= 4
        assert len(session.track_ids) <= 4
    warnings = [r for r in caplog.records if r.levelname == "WARNING"]
    assert [r.getMessage().split(":")[0] for r in warnings] == ["max_objects"]
    with pytest.raises(ValueError, match="max_objects"):
        VideoSession(tiny_engine, TWO_CLICKS, max_objects=1)


@pytest.mark.parametrize(
    ("prompt", "error", "word"),
    [
        (ConceptPrompt(texts=("circle",), tiles=2), ValueError, "tiles"),
        (EverythingPrompt(), TypeError, "prompt"),
        ("circle", TypeError, "prompt"),
    ],
)
def test_prompts_that_cannot_be_followed(
    tiny_engine: Engine, prompt: Any, error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        VideoSession(tiny_engine, prompt)


def test_a_sam_3_1_file_is_refused(tmp_path: Path) -> None:
    engine = Engine.load("tiny_shapes", write_multiplex_file(tmp_path), "cpu", "float32")
    with pytest.raises(ValueError, match=r"tracking: .*no tracker.*SAM 3\.1.*sam3\.pt"):
        VideoSession(engine, CIRCLES)
    assert engine.segment(FRAMES[0], CIRCLES).instances, "images are as ever"


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda s: s.correct(7, PromptedObject(points_xy=((5, 5),))), "track_id: .*0, 1.*got 7"),
        (lambda s: s.correct(0, PromptedObject(points_xy=((999, 5),))), "points_xy"),
        (lambda s: s.remove("a"), "track_id"),
        (lambda s: s.step(draw_frame(BALLS, 0, (100, 100))), "image: expected 320x240"),
        (lambda s: s.step(np.zeros((240, 320), np.uint8)), "image"),
        (lambda s: s.step(np.zeros((240, 320, 3), np.float32)), "image"),
    ],
)
def test_a_refused_call_changes_nothing(sure_engine: Engine, call: Any, word: str) -> None:
    session, undisturbed = (VideoSession(sure_engine, TWO_CLICKS) for _ in range(2))
    for frame in FRAMES[:2]:
        session.step(frame)
        undisturbed.step(frame)
    with pytest.raises((ValueError, TypeError), match=word):
        call(session)
    assert summary(session.step(FRAMES[2])) == summary(undisturbed.step(FRAMES[2]))


@pytest.mark.parametrize(
    ("prompt", "step_name", "error"),
    [
        pytest.param(CIRCLES, "encode", RuntimeError, id="concepts, after encoding"),
        pytest.param(CIRCLES, "concept: blue circle", KeyboardInterrupt, id="after a concept"),
        pytest.param(TWO_CLICKS, "objects", KeyboardInterrupt, id="after the objects"),
    ],
)
def test_an_interrupted_step_is_as_if_it_had_not_been(
    sure_engine: Engine, prompt: Any, step_name: str, error: type[BaseException]
) -> None:
    def interrupt(step: str) -> None:
        if step == step_name:
            raise error

    session, undisturbed = (VideoSession(sure_engine, prompt) for _ in range(2))
    session.step(FRAMES[0])
    undisturbed.step(FRAMES[0])
    with pytest.raises(error):
        session.step(FRAMES[1], interrupt)
    assert session.frame_index == 0
    session.step(FRAMES[1])
    undisturbed.step(FRAMES[1])
    assert summary(session.step(FRAMES[2])) == summary(undisturbed.step(FRAMES[2]))


def test_a_prompt_outside_the_first_frame_is_refused_there(tiny_engine: Engine) -> None:
    session = VideoSession(tiny_engine, TWO_CLICKS)
    with pytest.raises(ValueError, match=r"points_xy|box_xyxy"):
        session.step(draw_frame([], 0, (50, 50)))
    assert session.frame_index == -1
    with pytest.raises(ValueError, match="step"):
        session.remove(0)
    assert len(session.step(FRAMES[0]).instances) == 2


def test_reset_starts_anew(tiny_engine: Engine) -> None:
    session = VideoSession(tiny_engine, CIRCLES)
    first = summary(session.step(FRAMES[0]))
    session.step(FRAMES[1])
    session.reset()
    assert session.frame_index == -1
    assert summary(session.step(FRAMES[0])) == first
    session.reset(ConceptPrompt(texts=("blue circle",)))
    assert session.step(draw_frame(BALLS, 0, (200, 300))).class_names == ("blue circle",)


@pytest.mark.parametrize("kind", ["black", "repeated", "noise"])
def test_odd_frames_are_frames(sure_engine: Engine, kind: str) -> None:
    odd = {
        "black": np.zeros_like(FRAMES[0]),
        "repeated": FRAMES[0],
        "noise": np.random.default_rng(0).integers(0, 256, FRAMES[0].shape, np.uint8),
    }[kind]
    session = VideoSession(sure_engine, CIRCLES)
    for t, frame in enumerate([FRAMES[0], odd, odd, FRAMES[3]]):
        assert session.step(frame).frame_index == t
    assert session.track_ids


def test_sessions_and_images_share_an_engine(sure_engine: Engine) -> None:
    prompts = (CIRCLES, TWO_CLICKS)
    image = draw_frame([Ball((100, 100), color=GREEN), Ball((220, 90), color=RED)], 0)
    click = ObjectPrompt((PromptedObject(points_xy=((100, 100),)),))
    alone = []
    for prompt in prompts:
        session = VideoSession(sure_engine, prompt)
        alone.append([summary(session.step(frame)) for frame in FRAMES[:4]])
    expected = summary(sure_engine.segment(image, click))
    clicked: list[Any] = []
    done = threading.Event()

    def click_on() -> None:
        while not done.is_set():
            clicked.append(summary(sure_engine.segment(image, click)))

    thread = threading.Thread(target=click_on)
    thread.start()
    try:
        sessions = [VideoSession(sure_engine, prompt) for prompt in prompts]
        together: list[list[Any]] = [[], []]
        for frame in FRAMES[:4]:
            for session, seen in zip(sessions, together, strict=True):
                seen.append(summary(session.step(frame)))
    finally:
        done.set()
        thread.join()
    assert together == alone
    assert clicked and all(found == expected for found in clicked)


def test_the_host_process_stays_as_it_was(sure_engine: Engine) -> None:
    session = VideoSession(sure_engine, CIRCLES)
    session.step(FRAMES[0])
    before = host_state.snapshot(), host_state.functions()
    session.step(FRAMES[1])
    session.add_objects(TWO_CLICKS)
    session.correct(session.track_ids[-1], PromptedObject(points_xy=((250, 150),)))
    assert not host_state.changed(before[0], host_state.snapshot())
    assert not host_state.changed(before[1], host_state.functions())


def test_min_area_chooses_what_is_shown_not_what_is_followed(sure_engine: Engine) -> None:
    plain = VideoSession(sure_engine, ConceptPrompt(texts=("circle",)))
    filtered = VideoSession(sure_engine, ConceptPrompt(texts=("circle",), min_area_px=10**6))
    for frame in FRAMES[:2]:
        assert plain.step(frame).instances
        assert not filtered.step(frame).instances
    assert filtered.track_ids == plain.track_ids


def test_overlap_chooses_what_is_shown_not_what_is_followed(tiny_engine: Engine) -> None:
    texts = ("circle", "red circle")
    keep = VideoSession(tiny_engine, ConceptPrompt(texts=texts))
    best = VideoSession(tiny_engine, ConceptPrompt(texts=texts, overlap="best"))
    for frame in FRAMES[:2]:
        shown, fewer = keep.step(frame).instances, best.step(frame).instances
        assert (len(shown), len(fewer)) == (3, 2), "the red one is a circle too"
    assert best.track_ids == keep.track_ids


def test_others_may_click_at_every_step_of_a_frame(tiny_engine: Engine) -> None:
    """The server lends the model between the networks of a frame, see ``ModelExecution.lend``."""
    alone = VideoSession(tiny_engine, CIRCLES)
    disturbed, other = VideoSession(tiny_engine, CIRCLES), VideoSession(tiny_engine, CIRCLES)
    others = iter(draw_clip([Ball((100, 120), (6, 3), 28)], 40))
    steps: list[str] = []

    def work() -> None:
        tiny_engine.segment(FRAMES[0], TWO_CLICKS)
        other.step(next(others))

    def lend(step: str) -> None:
        steps.append(step)
        with tiny_engine.execution.lend():
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            thread.join(30)
            assert not thread.is_alive(), f"others wait forever after {step!r}"

    for frame in FRAMES[:3]:
        assert summary(disturbed.step(frame, lend)) == summary(alone.step(frame))
    assert steps[:3] == ["encode", "concept: red circle", "concept: blue circle"]
