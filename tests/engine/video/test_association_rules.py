"""The rules that SAM 3.1 adds to the association, each by itself, on detections that are given.

The tracker is the bundled model's: the rules belong to no tracker.
"""

from __future__ import annotations

import pytest
import torch

from infer_segment_anything_3.engine import (
    AssociationSettings,
    ConceptPrompt,
    Engine,
    VideoSession,
)
from infer_segment_anything_3.engine.model.video_tracker import VideoTracker
from infer_segment_anything_3.engine.postprocess.nms import compute_cell_ious

from .clips import Ball, draw_frame
from .square_detector import SquareDetector

PLACE, OTHER_PLACE, BORDER = 27, 30, 7
"""Cells of an 8 x 8 grid; the last one is in a corner."""

BALLS = [
    Ball((20 + 40 * (place % 8), 20 + 40 * (place // 8)), radius=18)
    for place in (PLACE, OTHER_PLACE)
]
FRAME = draw_frame(BALLS, 0, (320, 320))


@pytest.fixture
def detector(sure_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> SquareDetector:
    return SquareDetector(sure_engine, monkeypatch)


def follow(engine: Engine, threshold: float = 0.5, **settings: float | bool) -> VideoSession:
    prompt = ConceptPrompt(texts=("ball",), confidence_threshold=threshold)
    association = AssociationSettings(recondition_every=0, **settings)  # type: ignore[arg-type]
    return VideoSession(engine, prompt, association=association)


def list_shown(session: VideoSession) -> list[int | None]:
    return [i.track_id for i in session.step(FRAME).instances]


@pytest.mark.parametrize(("birth", "count"), [(0.7, 1), (0.65, 2)])
def test_birth_beside_others(
    sure_engine: Engine, detector: SquareDetector, birth: float, count: int
) -> None:
    session = follow(sure_engine, birth_threshold=birth)
    detector.scores = {PLACE: 0.9}
    session.step(FRAME)
    detector.scores = {PLACE: 0.9, OTHER_PLACE: 0.68}
    session.step(FRAME)
    assert len(session.track_ids) == count


def test_faint_detections_continue_tracks_and_start_none(
    sure_engine: Engine, detector: SquareDetector
) -> None:
    session = follow(sure_engine, detection_threshold=0.4)
    detector.scores = {PLACE: 0.45}
    assert list_shown(session) == []
    detector.scores = {PLACE: 0.9}
    assert list_shown(session) == [0]
    detector.scores = {PLACE: 0.45}
    (instance,) = session.step(FRAME).instances
    assert instance.score == pytest.approx(0.45), "it was matched"
    assert session.track_ids == (0,)


@pytest.mark.parametrize(("settings_threshold", "kept"), [(1.0, 1), (0.3, 2)])
def test_faint_detections_are_found(
    tiny_engine: Engine, settings_threshold: float, kept: int
) -> None:
    """By the real detector: its detections above the lower one of both thresholds."""
    prompt = ConceptPrompt(texts=("red circle",), confidence_threshold=0.999)
    session = VideoSession(
        tiny_engine,
        prompt,
        association=AssociationSettings(detection_threshold=settings_threshold),
    )
    found: list[int] = []
    association = session._tracks._concepts[0]._association
    associate = association.run_backbone_and_detection
    association.run_backbone_and_detection = lambda **kwargs: (  # type: ignore[method-assign]
        found.append(len(kwargs["input_batch"]["scores"])) or associate(**kwargs)
    )
    session.step(FRAME)
    assert found == [0 if kept == 1 else 2]


@pytest.mark.parametrize("skip", [True, False])
def test_a_detection_at_the_border(
    sure_engine: Engine, detector: SquareDetector, monkeypatch: pytest.MonkeyPatch, skip: bool
) -> None:
    boxes = torch.tensor([[0.96, 0.0, 1.0, 0.02]])
    monkeypatch.setattr(detector, "_make_boxes", lambda: boxes)
    session = follow(sure_engine, skip_border=skip)
    detector.scores = {BORDER: 0.9}
    session.step(FRAME)
    assert session.track_ids == (() if skip else (0,))


@pytest.mark.parametrize(("after", "shown"), [(1, [1, 1, 1, 1]), (3, [0, 0, 1, 1])])
def test_a_track_is_shown_once_it_is_confirmed(
    sure_engine: Engine, detector: SquareDetector, after: int, shown: list[int]
) -> None:
    session = follow(sure_engine, confirm_after=after)
    detector.scores = {PLACE: 0.9}
    assert [len(list_shown(session)) for _ in range(4)] == shown
    assert session.track_ids == (0,)


def test_results_that_are_held_back_show_it_from_its_first_frame(
    sure_engine: Engine, detector: SquareDetector
) -> None:
    session = follow(sure_engine, confirm_after=3)
    detector.scores = {PLACE: 0.9}
    results = list(session.track([FRAME] * 5, delay_frames=4))
    assert [len(result.instances) for result in results] == [1] * 5


def test_a_removed_object_leaves_the_confirmation_of_others(
    sure_engine: Engine, detector: SquareDetector
) -> None:
    session = VideoSession(
        sure_engine,
        ConceptPrompt(texts=("ball",)),
        forget_after=3,
        association=AssociationSettings(recondition_every=0, confirm_after=3),
    )
    detector.scores = {PLACE: 0.9, OTHER_PLACE: 0.9}
    session.step(FRAME)
    detector.scores = {OTHER_PLACE: 0.9}
    seen = [list_shown(session) for _ in range(5)]
    assert session.track_ids == (1,), "the other one was never confirmed, and is forgotten"
    assert seen[-1] == [1]


@pytest.mark.parametrize("hide", [True, False])
def test_a_track_that_is_long_not_detected(
    sure_engine: Engine, detector: SquareDetector, hide: bool
) -> None:
    session = follow(sure_engine, hide_unmatched=hide)
    detector.scores = {PLACE: 0.9}
    for _ in range(16):
        session.step(FRAME)
    detector.scores = {}
    seen = [len(list_shown(session)) for _ in range(34)]
    assert session.track_ids == (0,)
    assert seen == ([1] * 29 + [0] * 5 if hide else [1] * 34)
    detector.scores = {PLACE: 0.9}
    assert [len(list_shown(session)) for _ in range(2)] == ([0, 1] if hide else [1, 1])


@pytest.mark.parametrize("of_smaller", [True, False])
def test_a_track_begins_anew_at_a_detection_that_lies_in_it(
    sure_engine: Engine,
    detector: SquareDetector,
    monkeypatch: pytest.MonkeyPatch,
    of_smaller: bool,
) -> None:
    """The detection is half of the tracked square: 0.5 of the union, all of the smaller."""
    renewed: list[int] = []
    monkeypatch.setattr(
        VideoTracker, "add_new_mask", lambda self, frame_idx, **_: renewed.append(frame_idx)
    )
    prompt = ConceptPrompt(texts=("ball",))
    association = AssociationSettings(recondition_every=1, overlap_of_smaller=of_smaller)
    session = VideoSession(sure_engine, prompt, association=association)
    detector.scores = {PLACE: 0.9}
    session.step(FRAME)
    whole = detector._detect

    def detect_half() -> dict[str, torch.Tensor]:
        found = whole()
        rows = (found["mask"][0] > 0).any(dim=1).nonzero().flatten()
        found["mask"][0, rows[len(rows) // 2] :] = -10
        return found

    monkeypatch.setattr(detector, "_detect", detect_half)
    session.step(FRAME)
    assert renewed == ([1] if of_smaller else [])


def test_overlap_as_a_share_of_the_smaller_mask() -> None:
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[0, :2] = True  # 8 cells
    masks[1, 0, :2] = True  # 2 of them
    shares = compute_cell_ious(masks, masks, of_smaller=True)
    assert torch.equal(shares[0], torch.tensor([1.0, 1.0, 0.0]))
    assert compute_cell_ious(masks, masks)[0, 1] == pytest.approx(0.25)
