"""What is forgotten changes nothing, and memory does not grow with the frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from infer_segment_anything_3.engine import (
    ConceptPrompt,
    Engine,
    ObjectPrompt,
    PromptedObject,
    Result,
    VideoSession,
)
from infer_segment_anything_3.engine.video.trackers import separate
from infer_segment_anything_3.tests.helpers import resident_bytes

from .clips import BLUE, Ball, draw_clip, draw_frame, place_balls

BALLS = [Ball((60, 70), (4, 2), 30), Ball((260, 150), (-4, -1), 26, BLUE)]
PROMPT = ObjectPrompt(
    (PromptedObject(points_xy=((60, 70),)), PromptedObject(box_xyxy=(234, 124, 286, 176)))
)
CORRECTED_EVERY = 4


def follow(
    engine: Engine, count: int, prompt: ConceptPrompt | ObjectPrompt = PROMPT
) -> tuple[VideoSession, list[Result]]:
    """Follows two objects and corrects the oldest track ever again."""
    session = VideoSession(engine, prompt)
    results = []
    for t, frame in enumerate(draw_clip(BALLS, count)):
        results.append(session.step(frame))
        if t % CORRECTED_EVERY == CORRECTED_EVERY - 1:
            x, y = 60 + 4 * t, 70 + 2 * t
            oldest = session.track_ids[0]
            results.append(session.correct(oldest, PromptedObject(points_xy=((x, y),))))
    return session, results


@pytest.mark.parametrize("prompt", [PROMPT, ConceptPrompt(texts=("circle",))])
def test_forgetting_changes_nothing(
    sure_engine: Engine, monkeypatch: pytest.MonkeyPatch, prompt: ConceptPrompt | ObjectPrompt
) -> None:
    """Over more frames and corrections than the tracker can look back to."""
    _, pruned = follow(sure_engine, 26, prompt)
    monkeypatch.setattr(separate, "prune_tracker_state", lambda *_: None)
    _, complete = follow(sure_engine, 26, prompt)
    for ours, theirs in zip(pruned, complete, strict=True):
        assert [i.track_id for i in ours.instances] == [i.track_id for i in theirs.instances]
        for a, b in zip(ours.instances, theirs.instances, strict=True):
            assert (a.score, a.box_xyxy) == (b.score, b.box_xyxy)
            np.testing.assert_array_equal(a.mask.full(), b.mask.full())
            np.testing.assert_array_equal(a.low_res_logits, b.low_res_logits)


def test_removing_one_object_leaves_the_others(sure_engine: Engine) -> None:
    """Also when the frame that they started on together is forgotten."""
    session, _ = follow(sure_engine, 26)
    assert [i.track_id for i in session.remove(0).instances] == [1]
    assert [i.track_id for i in session.step(draw_frame(BALLS, 26)).instances] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["concept", "objects"])
def test_memory_does_not_grow_with_the_frames(sure_engine: Engine, kind: str) -> None:
    balls = place_balls(4)
    prompts: dict[str, Any] = {
        "concept": ConceptPrompt(texts=("circle",)),
        "objects": ObjectPrompt(
            tuple(PromptedObject(points_xy=(ball.start_xy,)) for ball in balls)
        ),
    }
    session = VideoSession(sure_engine, prompts[kind], max_objects=4)
    for t in range(3001):
        moved = [
            Ball((x + t % 7, y + t % 5), color=b.color) for b in balls for x, y in [b.start_xy]
        ]
        session.step(draw_frame(moved, 0))
        if t == 300:
            early = resident_bytes()
    assert len(session.track_ids) == 4
    assert resident_bytes() - early < 20 * 1024**2


@pytest.mark.slow
def test_a_prompt_that_finds_nothing_for_500_frames(sure_engine: Engine) -> None:
    session = VideoSession(sure_engine, ConceptPrompt(texts=("green star",)))
    empty = draw_frame([], 0)
    for t in range(500):
        result = session.step(empty)
        assert (result.frame_index, result.instances) == (t, ())
    assert session.step(draw_frame(BALLS, 0)).frame_index == 500
