"""A session on SAM 3.1's tracker keeps the promises of any session.

The tracker's weights are random: what it computes is compared with another port in
``test_multiplex_fidelity``.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from infer_segment_anything_3.engine import (
    AssociationSettings,
    ConceptPrompt,
    Engine,
    ObjectPrompt,
    PromptedObject,
    Result,
    VideoSession,
)
from infer_segment_anything_3.engine.model.config import MULTIPLEX_ASSOCIATION
from infer_segment_anything_3.engine.model.multiplex.buckets import BucketState
from infer_segment_anything_3.engine.model.multiplex.tracker import MultiplexTracker
from infer_segment_anything_3.tests.helpers import resident_bytes
from infer_segment_anything_3.tests.multiplex_file import write_multiplex_file

from .clips import BLUE, Ball, draw_clip, draw_frame
from .square_detector import SquareDetector

BALLS = [Ball((60, 70), (4, 2), 30), Ball((260, 150), (-4, -1), 26, BLUE)]
CLICKS = ObjectPrompt(
    (PromptedObject(points_xy=((60, 70),)), PromptedObject(box_xyxy=(234, 124, 286, 176)))
)
CONCEPT = ConceptPrompt(texts=("circle",))
EMPTY = draw_frame([], 0, (320, 320))


def point_at(count: int, first: int = 0) -> ObjectPrompt:
    """Points in rows of 8, each an object."""
    places = [(20 + 40 * (k % 8), 20 + 40 * (k // 8)) for k in range(first, first + count)]
    return ObjectPrompt(tuple(PromptedObject(points_xy=((x, y),)) for x, y in places))


def summarize(result: Result) -> list[Any]:
    return [(i.track_id, i.score, i.box_xyxy, i.mask.crop.tobytes()) for i in result.instances]


def list_object_states(session: VideoSession) -> list[BucketState]:
    return session._memory.objects.states


def run(session: VideoSession, count: int) -> list[Any]:
    """Follows, corrects the oldest track every fourth frame, adds one and removes one."""
    seen = []
    for t, frame in enumerate(draw_clip(BALLS, count)):
        seen.append(summarize(session.step(frame)))
        if t % 4 == 3 and session.track_ids:
            point = PromptedObject(points_xy=((60 + 4 * t, 70 + 2 * t),))
            seen.append(summarize(session.correct(session.track_ids[0], point)))
        if t == 6:
            seen.append(summarize(session.add_objects(point_at(1, 40))))
        if t == 9:
            seen.append(summarize(session.remove(session.track_ids[-1])))
    return seen


@pytest.mark.parametrize("prompt", [CLICKS, CONCEPT], ids=["objects", "concept"])
def test_forgetting_changes_nothing(
    multiplex_engine: Engine, monkeypatch: pytest.MonkeyPatch, prompt: Any
) -> None:
    """Over more frames and corrections than the tracker can look back to."""
    settings = AssociationSettings(recondition_every=3)
    pruned = run(VideoSession(multiplex_engine, prompt, association=settings), 26)
    assert any(pruned)
    monkeypatch.setattr(MultiplexTracker, "prune", lambda *_: None)
    assert run(VideoSession(multiplex_engine, prompt, association=settings), 26) == pruned


def test_a_second_bucket_is_dropped_with_its_objects(multiplex_engine: Engine) -> None:
    session = VideoSession(multiplex_engine, point_at(20))
    assert len(session.step(EMPTY).instances) == 20
    (state,) = list_object_states(session)
    assert (state.buckets.count, state.buckets.free) == (2, 12)
    session.step(EMPTY)
    for track_id in range(16, 20):
        session.remove(track_id)
    assert session.track_ids == tuple(range(16))
    (state,) = list_object_states(session)
    assert state.buckets.count == 1
    assert {len(m.spatial) for m in (*state.prompted.values(), *state.tracked.values())} == {1}
    session.step(EMPTY)
    assert session.track_ids == tuple(range(16))


def test_objects_enter_a_state_only_if_all_fit(multiplex_engine: Engine) -> None:
    session = VideoSession(multiplex_engine, point_at(10))
    session.step(EMPTY)
    session.step(EMPTY)
    session.add_objects(point_at(4, 10))
    assert [s.buckets.ids for s in list_object_states(session)] == [tuple(range(14))]
    result = session.add_objects(point_at(3, 14))
    assert [i.track_id for i in result.instances] == list(range(17))
    assert [len(s.buckets.ids) for s in list_object_states(session)] == [14, 3]
    session.remove(0)
    session.add_objects(point_at(2, 20))
    buckets = [s.buckets.ids for s in list_object_states(session)]
    assert buckets == [(*range(1, 14), 17, 18), (14, 15, 16)], "the fullest that has room"
    assert list_object_states(session)[0].buckets.free == 0, "the slot of 0 is not used again"
    assert session.step(EMPTY).frame_index == 2


def test_detections_enter_the_buckets(
    multiplex_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = SquareDetector(multiplex_engine, monkeypatch)
    settings = AssociationSettings()
    session = VideoSession(multiplex_engine, ConceptPrompt(texts=("x",)), association=settings)
    detector.scores = dict.fromkeys(range(18), 0.9)
    found = session.step(EMPTY).instances
    assert [i.track_id for i in found] == list(range(18))
    (state,) = session._memory.concepts[0].states
    assert state.buckets.count == 2
    # What the random tracker marks may stop a birth: nothing is tracked where it is unsure.
    bias = multiplex_engine.model.multiplex.sam_mask_decoder.pred_obj_score_head.layers[-1].bias
    monkeypatch.setattr(bias, "data", bias.data - 99)
    detector.scores = dict.fromkeys(range(40, 44), 0.9)
    session.step(EMPTY)
    assert session.track_ids == tuple(range(22))
    (state,) = session._memory.concepts[0].states
    assert state.buckets.ids == tuple(range(22))


@contextlib.contextmanager
def failing(part: nn.Module) -> Iterator[None]:
    def fail(*_: Any) -> None:
        raise RuntimeError("injected")

    hook = part.register_forward_pre_hook(fail)
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.parametrize("name", ["sam_mask_decoder", "maskmem_backbone", "transformer.encoder"])
@pytest.mark.parametrize("prompt", [CLICKS, CONCEPT], ids=["objects", "concept"])
def test_a_call_that_raises_changes_nothing(
    multiplex_engine: Engine, prompt: Any, name: str
) -> None:
    part = multiplex_engine.model.multiplex.get_submodule(name)
    first, second, third = draw_clip(BALLS, 3)
    point = PromptedObject(points_xy=((64, 72),))
    disturbed, undisturbed = (VideoSession(multiplex_engine, prompt) for _ in range(2))
    seen: list[list[Any]] = []
    for session in (disturbed, undisturbed):
        session.step(first)
        if session is disturbed:
            with failing(part), pytest.raises(RuntimeError, match="injected"):
                session.step(second)
            assert session.frame_index == 0
        own = [summarize(session.step(second))]
        if session is disturbed and name == "maskmem_backbone":
            with failing(part), pytest.raises(RuntimeError, match="injected"):
                session.correct(0, point)
            with failing(part), pytest.raises(RuntimeError, match="injected"):
                session.add_objects(point_at(1))
        own.append(summarize(session.correct(0, point)))
        own.append(summarize(session.step(third)))
        seen.append(own)
    assert seen[0] == seen[1]


def test_a_correction_is_remembered(multiplex_engine: Engine) -> None:
    frames = draw_clip(BALLS, 4)
    corrected, other = (VideoSession(multiplex_engine, CLICKS) for _ in range(2))
    for session in (corrected, other):
        for frame in frames[:3]:
            result = session.step(frame)
    ball = BALLS[0].mask(2, (240, 320))
    before = {i.track_id: i.mask.full() for i in result.instances}
    after = {
        i.track_id: i.mask.full()
        for i in corrected.correct(0, PromptedObject(points_xy=((68, 74),))).instances
    }
    assert (after[0] & ball).sum() / (after[0] | ball).sum() > 0.9, "the heads are trained"
    assert np.array_equal(after[1], before[1])
    (state,) = list_object_states(corrected)
    assert sorted(state.prompted) == [0, 2]
    assert sorted(state.tracked) == [1]
    assert summarize(corrected.step(frames[3])) != summarize(other.step(frames[3]))


def test_every_kind_of_prompt(multiplex_engine: Engine) -> None:
    """Several concepts, an exemplar, candidates: ids are unique, and new after a reset, too."""
    frames = draw_clip(BALLS, 4)
    settings = AssociationSettings()
    two = ConceptPrompt(texts=("red circle", "blue circle"))
    session = VideoSession(multiplex_engine, two, association=settings)
    first = session.step(frames[0])
    assert [(i.class_index, i.track_id) for i in first.instances] == [(0, 0), (1, 1)]
    session.add_objects(point_at(2))
    assert session.track_ids == (0, 1, 2, 3)
    assert {i.track_id for i in session.step(frames[1]).instances} >= {2, 3}
    session.reset(ConceptPrompt(exemplars_xyxy=((30, 40, 90, 100),), exemplar_labels=(1,)))
    assert 0 in [i.track_id for i in session.step(frames[0]).instances]
    session.step(frames[1])
    session.reset(dataclasses.replace(CLICKS, multimask=True))
    found = session.step(frames[0]).instances
    assert [len(i.alternatives) for i in found] == [2, 2]


def test_bfloat16_gives_nearly_the_same_masks(tmp_path: Path) -> None:
    path = write_multiplex_file(tmp_path, with_tracker=True)
    seen = []
    for precision in ("float32", "bfloat16"):
        engine = Engine.load("tiny_shapes", path, "cpu", precision)  # type: ignore[arg-type]
        session = VideoSession(engine, CLICKS)
        results = [session.step(frame) for frame in draw_clip(BALLS, 4)]
        seen.append([i.mask.full() for result in results for i in result.instances])
        (state,) = list_object_states(session)
        assert state.tracked[3].spatial.dtype == getattr(torch, precision)
    assert len(seen[0]) == len(seen[1]) == 8
    for exact, rounded in zip(*seen, strict=True):
        assert (exact & rounded).sum() / (exact | rounded).sum() > 0.9


def test_another_input_size(tmp_path: Path) -> None:
    path = write_multiplex_file(tmp_path, with_tracker=True)
    engine = Engine.load("tiny_shapes", path, "cpu", "float32", 224)
    session = VideoSession(engine, CLICKS)
    for frame in draw_clip(BALLS, 2):
        assert len(session.step(frame).instances) == 2


def test_only_frames_of_a_video_go_through_the_third_stack(multiplex_engine: Engine) -> None:
    calls: list[int] = []
    convs = multiplex_engine.model.backbone.vision_backbone.propagation_convs
    hook = convs[0].register_forward_hook(lambda *_: calls.append(1))
    try:
        multiplex_engine.segment(draw_frame(BALLS, 60), CONCEPT)
        assert not calls
        VideoSession(multiplex_engine, CONCEPT).step(draw_frame(BALLS, 61))
        assert len(calls) == 1
    finally:
        hook.remove()


def test_the_settings_are_those_of_3_1(multiplex_engine: Engine) -> None:
    assert VideoSession(multiplex_engine, CONCEPT)._association == MULTIPLEX_ASSOCIATION


@pytest.mark.slow
def test_memory_does_not_grow_with_objects_that_come_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 objects over 3,000 frames: every 15 frames the 5 oldest leave and 5 others enter."""
    path = write_multiplex_file(tmp_path, with_tracker=True)
    engine = Engine.load("tiny_shapes", path, "cpu", "float32", 112)
    encoded = engine.encoder.encode_frame(EMPTY)
    monkeypatch.setattr(engine.encoder, "encode_frame", lambda *_: encoded)
    session = VideoSession(engine, point_at(20))
    most = 0
    for t in range(3001):
        session.step(EMPTY)
        if t % 15 == 14:
            for track_id in session.track_ids[:5]:
                session.remove(track_id)
            session.add_objects(point_at(5, t % 40))
        states = list_object_states(session)
        assert all(state.buckets.ids for state in states)
        most = max(most, sum(state.buckets.count for state in states))
        if t == 300:
            early = resident_bytes()
    assert session.track_ids == tuple(range(1000, 1020))
    assert most <= 3, "buckets whose objects are all gone are dropped"
    assert resident_bytes() - early < 20 * 1024**2
