"""The settings of the association: merged masks are split, and tracks begin anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from infer_segment_anything_3.engine import (
    AssociationSettings,
    ConceptPrompt,
    Engine,
    VideoSession,
)
from infer_segment_anything_3.engine.model.sam3_imports import Sam3VideoBase
from infer_segment_anything_3.engine.model.video_tracker import VideoTracker
from infer_segment_anything_3.engine.video.association import Association
from infer_segment_anything_3.engine.video.merged_masks import split_merged_masks

from .clips import THREE_BALLS, Ball, draw_clip

SIDE = 20
BAR = range(2, 18)


def bars(*columns: Sequence[int]) -> torch.Tensor:
    """Masks of upright bars, (N, 20, 20) logits."""
    masks = torch.full((len(columns), SIDE, SIDE), -5.0)
    for mask, own in zip(masks, columns, strict=True):
        mask[BAR.start : BAR.stop, list(own)] = 5.0
    return masks


@pytest.mark.parametrize(
    ("tracks", "detections", "expected"),
    [
        pytest.param([range(2, 12)], [range(2, 8), range(8, 12)], [range(2, 8)], id="two in one"),
        pytest.param(
            [range(0, 12)], [range(2, 8), range(8, 12)], [range(0, 8)],
            id="cells in no detection stay",
        ),
        pytest.param(
            [range(2, 12)], [range(2, 10), range(8, 12)], [range(2, 10)],
            id="cells of both detections stay",
        ),
        pytest.param(
            [range(2, 12), range(7, 12)],
            [range(2, 6), range(7, 12)],
            [range(2, 7), range(7, 12)],
            id="the larger of the two belongs to another track",
        ),
        pytest.param(
            [range(2, 9)], [range(2, 8), range(8, 12)], [range(2, 9)],
            id="a quarter of a neighbor stays",
        ),
        pytest.param([range(2, 12)], [range(2, 12)], [range(2, 12)], id="one detection"),
        pytest.param([range(2, 18)], [range(2, 5), range(8, 12)], [range(2, 18)],
                     id="no detection is like the track"),
        pytest.param([[]], [range(2, 5), range(8, 12)], [[]], id="an empty mask"),
        pytest.param([range(2, 12)], [], [range(2, 12)], id="nothing detected"),
        pytest.param([], [range(2, 8), range(8, 12)], [], id="no track"),
    ],
)  # fmt: skip
def test_a_track_keeps_its_own_detection(
    tracks: list[Sequence[int]], detections: list[Sequence[int]], expected: list[Sequence[int]]
) -> None:
    given = bars(*tracks)
    before = given.clone()
    found = split_merged_masks(given, bars(*detections))
    assert torch.equal(found > 0, bars(*expected) > 0)
    assert torch.equal(given, before), "what was given stays as it was"


@pytest.mark.parametrize("split_merged", [True, False])
def test_like_objects_that_appear_later_get_tracks_of_their_own(
    tiny_engine: Engine, split_merged: bool
) -> None:
    balls = [Ball((80, 120)), Ball((160, 120), frames=(3, 99)), Ball((240, 120), frames=(6, 99))]
    session = VideoSession(
        tiny_engine,
        ConceptPrompt(texts=("red circle",)),
        association=AssociationSettings(split_merged=split_merged),
    )
    for frame in draw_clip(balls, 9):
        result = session.step(frame)
    owners = {
        ball.start_xy: [
            i.track_id
            for i in result.instances
            if i.mask.full()[round(ball.start_xy[1]), round(ball.start_xy[0])]
        ]
        for ball in balls
    }
    apart = {ball.start_xy: [k] for k, ball in enumerate(balls)}
    assert (owners == apart) is split_merged, owners


def test_the_bundled_model_keeps_tracks_apart_by_default(tiny_engine: Engine) -> None:
    frames = draw_clip([Ball((80, 120)), Ball((160, 120), frames=(3, 99))], 5)
    session = VideoSession(tiny_engine, ConceptPrompt(texts=("red circle",)))
    found = [len(session.step(frame).instances) for frame in frames]
    assert found == [1, 1, 1, 2, 2]


@pytest.mark.parametrize(("every", "expected"), [(0, []), (3, [3, 6, 9]), (4, [4, 8])])
def test_tracks_begin_anew_at_their_detections(
    tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch, every: int, expected: list[int]
) -> None:
    renewed: list[int] = []
    add_new_mask = VideoTracker.add_new_mask

    def record(self: VideoTracker, *, frame_idx: int, **kwargs: Any) -> Any:
        renewed.append(frame_idx)
        return add_new_mask(self, frame_idx=frame_idx, **kwargs)

    monkeypatch.setattr(VideoTracker, "add_new_mask", record)
    settings = AssociationSettings(recondition_every=every)
    session = VideoSession(
        tiny_engine, ConceptPrompt(texts=("star", "circle")), association=settings
    )
    for frame in draw_clip([Ball((80, 120), (2, 0), 30)], 11):
        session.step(frame)
    assert renewed == expected


def test_tracks_begin_anew_as_the_packages_do(
    tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = AssociationSettings(recondition_every=2)
    prompt = ConceptPrompt(texts=("red circle",))

    def follow() -> list[dict[int, torch.Tensor]]:
        session = VideoSession(tiny_engine, prompt, association=settings)
        results = [session.step(frame) for frame in draw_clip(THREE_BALLS, 10)]
        return [
            {i.track_id: torch.from_numpy(i.mask.full()) for i in result.instances}
            for result in results
        ]

    ours = follow()
    theirs_method = Sam3VideoBase._recondition_masklets
    monkeypatch.setattr(Association, "_recondition_masklets", theirs_method)
    for mine, theirs in zip(ours, follow(), strict=True):
        assert mine.keys() == theirs.keys()
        assert len(mine) >= 2
        for i, mask in mine.items():
            assert torch.equal(mask, theirs[i])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("recondition_every", -1, "recondition_every: expected 0 or more frames, got -1"),
        ("confirm_after", 0, "confirm_after: expected 1 or more detections, got 0"),
        ("birth_threshold", 1.2, "birth_threshold: expected 0 to 1, got 1.2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AssociationSettings(**{name: value})  # type: ignore[arg-type]
