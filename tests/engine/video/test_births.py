"""Which detections start tracks, and how many."""

from __future__ import annotations

import pytest

from infer_segment_anything_3.engine import ConceptPrompt, Engine, VideoSession

from .clips import draw_frame
from .square_detector import SIDE, SquareDetector


@pytest.mark.parametrize(("room", "refused"), [(64, 0), (40, 20)])
def test_sixty_objects_enter(
    sure_engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    room: int,
    refused: int,
) -> None:
    detector = SquareDetector(sure_engine, monkeypatch)
    session = VideoSession(sure_engine, ConceptPrompt(texts=("square",)), max_objects=room)
    frame = draw_frame([], 0, (320, 320))
    assert session.step(frame).instances == ()
    detector.scores = {place: 0.99 - place / 1000 for place in range(60)}
    found = session.step(frame).instances
    entered = 60 - refused
    assert [i.track_id for i in found] == list(range(entered))
    for place, instance in enumerate(found):
        row, column = divmod(place, SIDE)
        assert instance.mask.full()[40 * row + 20, 40 * column + 20]
    assert sum(i.mask.area for i in found) == pytest.approx(entered * 32 * 32, rel=0.2)
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warnings == [
        f"max_objects: {refused} more objects were found and are not followed, because {room} "
        "are followed already; this is said once a video"
    ] * bool(refused)
    assert session.step(frame).frame_index == 2
    assert set(range(entered)) <= set(session.track_ids)
    assert len(session.track_ids) <= room


@pytest.mark.parametrize(
    ("prompt", "score", "is_born"),
    [
        (ConceptPrompt(texts=("square",)), 0.69, False),
        (ConceptPrompt(texts=("square",)), 0.71, True),
        (ConceptPrompt(texts=("square",), confidence_threshold=0.8), 0.81, True),
        (ConceptPrompt(texts=("square",), confidence_threshold=0.4), 0.41, True),
        (ConceptPrompt(texts=("square",), thresholds=(0.4,)), 0.41, True),
    ],
)
def test_the_score_from_which_a_track_starts_beside_others(
    sure_engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    prompt: ConceptPrompt,
    score: float,
    is_born: bool,
) -> None:
    detector = SquareDetector(sure_engine, monkeypatch)
    session = VideoSession(sure_engine, prompt)
    frame = draw_frame([], 0, (320, 320))
    detector.scores = {0: score}
    assert [i.track_id for i in session.step(frame).instances] == [0], "where nothing is followed"
    detector.scores = {63: score}
    session.step(frame)
    assert session.track_ids == ((0, 1) if is_born else (0,))
