"""A streamed session gives what the package's own offline classes give of the whole video."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from infer_segment_anything_3.engine import (
    AssociationSettings,
    ConceptPrompt,
    Engine,
    ObjectPrompt,
    PromptedObject,
    Result,
    VideoSession,
)
from infer_segment_anything_3.engine.postprocess import masks
from infer_segment_anything_3.tools.sam3_video_package import (
    PackageVideo,
    build_package_tracker,
    prepare_package,
)

from .agreement import LOGIT_TOLERANCE, SCORE_TOLERANCE, assert_same_mask
from .clips import THREE_BALLS, draw_clip

FRAMES = draw_clip(THREE_BALLS, 30)
MAX_OBJECTS = 6
"""Bounds the time: whatever the weights, there are no more tracks on either side."""

PROMPT = ConceptPrompt(texts=("red circle",))
OF_THE_PACKAGE = AssociationSettings()

_NOISE = np.random.default_rng(0).integers(0, 256, FRAMES[0].shape, np.uint8)
_BLACK = np.zeros_like(FRAMES[0])
CLIPS = {
    "30 frames": FRAMES,
    "lost, repeated, black and noisy frames": [
        *(FRAMES[t] for t in (0, 1, 9, 9)), _BLACK, FRAMES[10], _NOISE, _NOISE, FRAMES[11],
    ],
}  # fmt: skip

Offline = tuple[list[npt.NDArray[np.uint8]], PackageVideo, list[dict[str, Any]]]


class LogitRecorder:
    """Low-resolution logits that a session brought to the frame's size, one list a frame."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from infer_segment_anything_3.engine.video import outputs

        self.logits: list[torch.Tensor] = []

        def record(logits: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            self.logits.append(logits.clone())
            return masks.upscale_logit_masks(logits, *args, **kwargs)

        monkeypatch.setattr(outputs, "upscale_logit_masks", record)

    def take(self) -> list[torch.Tensor]:
        """The logits since the last call, one after the other."""
        taken, self.logits = self.logits, []
        return [mask for chunk in taken for mask in chunk]


@pytest.fixture(scope="module", params=CLIPS)
def offline(tiny_engine: Engine, request: pytest.FixtureRequest) -> Offline:
    """A clip, and what the package makes of it."""
    frames = CLIPS[request.param]
    video = PackageVideo(tiny_engine, frames, max_objects=MAX_OBJECTS)
    return frames, video, video.run("red circle")


def test_a_stream_is_the_whole_video_offline(
    tiny_engine: Engine, offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, video, theirs = offline
    recorder = LogitRecorder(monkeypatch)
    session = VideoSession(tiny_engine, PROMPT, max_objects=MAX_OBJECTS, association=OF_THE_PACKAGE)
    births: dict[int, float] = {}
    false_starts: set[int] = set()
    missing_offline: set[int] = set()
    contested: set[int] = set()
    for t, frame in enumerate(frames):
        ours = session.step(frame)
        false_starts |= set(ours.removed_track_ids)
        logits = dict(zip([i.track_id for i in ours.instances], recorder.take(), strict=True))
        later_removed = set(logits) - set(_visible_ids(theirs[t]))
        missing_offline |= later_removed
        assert set(_visible_ids(theirs[t])) <= set(logits)
        for instance in ours.instances:
            births.setdefault(instance.track_id, instance.score)
            reference = video.logits[t][instance.track_id]
            contested |= _find_contested(video.logits[t])
            if instance.track_id in contested:
                assert _count_sign_changes(logits[instance.track_id], reference) <= 2
                continue
            assert torch.allclose(
                logits[instance.track_id], reference, rtol=0, atol=LOGIT_TOLERANCE
            )
            _assert_one_of(instance.score, video.detections[: t + 1])
            if not later_removed:
                assert_same_mask(instance.mask.full(), theirs[t], instance.track_id, reference)
    assert len(births) >= 3
    assert missing_offline <= false_starts, "the package takes them out of earlier frames too"
    for out in theirs:
        for i, score in zip(out["out_obj_ids"], out["out_probs"], strict=True):
            assert births[int(i)] == pytest.approx(float(score), abs=SCORE_TOLERANCE)


def _find_contested(logits: dict[int, torch.Tensor]) -> set[int]:
    """Finds tracks that claim pixels of one another.

    The package gives such a pixel to the track with the greater logit. Where both follow the
    same object that is a tie, which the last bits decide, and memory keeps the decision.
    """
    found = {i: mask > 0 for i, mask in logits.items()}
    return {i for i in found for j in found if i != j and bool((found[i] & found[j]).any())}


def _count_sign_changes(ours: torch.Tensor, theirs: torch.Tensor) -> int:
    return int(((ours > 0) != (theirs > 0)).sum())


def test_the_packages_tracker_leaves_the_engines_parameters(tiny_engine: Engine) -> None:
    before = {name: p.clone() for name, p in tiny_engine.model.state_dict().items()}
    tracker = build_package_tracker(tiny_engine)
    for name, parameter in tiny_engine.model.state_dict().items():
        assert torch.equal(parameter, before[name]), name
    own = tiny_engine.model.inst_interactive_predictor.model
    for name, parameter in tracker.state_dict().items():
        assert torch.equal(parameter, own.state_dict()[name]), name


def test_delayed_results_are_the_packages_own(tiny_engine: Engine, offline: Offline) -> None:
    frames, _, theirs = offline
    session = VideoSession(tiny_engine, PROMPT, max_objects=MAX_OBJECTS, association=OF_THE_PACKAGE)
    ours = list(session.track(frames, delay_frames=15))
    assert [result.frame_index for result in ours] == list(range(len(frames)))
    for result, out in zip(ours, theirs, strict=True):
        assert [i.track_id for i in result.instances] == _visible_ids(out)
        for instance in result.instances:
            row = list(out["out_obj_ids"]).index(instance.track_id)
            assert (instance.mask.full() != out["out_binary_masks"][row]).sum() <= 2


def _visible_ids(out: dict[str, Any]) -> list[int]:
    seen = out["out_binary_masks"].any(axis=(1, 2)) if len(out["out_obj_ids"]) else []
    return [int(i) for i, is_seen in zip(out["out_obj_ids"], seen, strict=True) if is_seen]


def _assert_one_of(score: float, detections: list[list[float]]) -> None:
    known = np.array([s for frame in detections for s in frame])
    assert np.abs(known - score).min() <= SCORE_TOLERANCE


CLICKED = ObjectPrompt(
    (
        PromptedObject(points_xy=((60, 70),)),
        PromptedObject(box_xyxy=(234, 124, 286, 176)),
        PromptedObject(points_xy=((255, 150), (150, 60), (30, 200)), point_labels=(1, 0, 0)),
    )
)
"""Each of another number of points: the package decodes them one by one, the session in one
call those with equally many. Two in a call differ from one by 1e-5 in the logits, and the
memory of a click keeps only their signs."""

CORRECTED_AT = 6
CORRECTION = PromptedObject(points_xy=((84, 82), (30, 200)), point_labels=(1, 0))


def test_objects_are_followed_as_the_packages_predictor_does(
    tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = _package_objects(tiny_engine)
    recorder = LogitRecorder(monkeypatch)
    session = VideoSession(tiny_engine, CLICKED)
    seen = 0
    for t, frame in enumerate(FRAMES):
        ours = session.step(frame)
        _assert_same_objects(ours, recorder.take(), *theirs[t])
        seen += len(ours.instances)
        if t == CORRECTED_AT:
            ours = session.correct(0, CORRECTION)
            _assert_same_objects(ours, recorder.take(), *theirs[-1])
    assert seen >= len(CLICKED.objects)


def test_prompts_in_one_call_are_followed_as_prompts_alone(tiny_engine: Engine) -> None:
    boxes = [PromptedObject(box_xyxy=box) for box in ((34, 44, 86, 96), (234, 124, 286, 176))]
    together = VideoSession(tiny_engine, ObjectPrompt(tuple(boxes)))
    alone = [VideoSession(tiny_engine, ObjectPrompt((box,))) for box in boxes]
    for t, frame in enumerate(FRAMES[:5]):
        of_both = together.step(frame).instances
        of_each = [i for session in alone for i in session.step(frame).instances]
        assert len(of_both) == len(of_each)
        for ours, theirs in zip(of_both, of_each, strict=True):
            assert ours.low_res_logits is not None and theirs.low_res_logits is not None
            if t == 0:
                np.testing.assert_allclose(
                    ours.low_res_logits, theirs.low_res_logits, rtol=0, atol=LOGIT_TOLERANCE
                )
            assert (ours.mask.full() != theirs.mask.full()).sum() <= 5


def _assert_same_objects(
    ours: Result, logits: list[torch.Tensor], reference: torch.Tensor, scores: torch.Tensor
) -> None:
    shown = [i.track_id for i in ours.instances]
    visible = (reference > 0).flatten(1).any(1)
    assert [i for i in range(len(visible)) if visible[i]] == [
        i for i in shown if i is not None and visible[i]
    ]
    for instance, own in zip(ours.instances, logits, strict=True):
        i = instance.track_id
        assert torch.allclose(own, reference[i], rtol=0, atol=LOGIT_TOLERANCE)
        assert instance.score == pytest.approx(float(scores[i]), abs=SCORE_TOLERANCE)


def _package_objects(engine: Engine) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Logits and object scores of each frame by ``Sam3TrackerPredictor``; last, corrected ones."""
    tracker = build_package_tracker(engine)
    height, width = FRAMES[0].shape[:2]
    cache: dict[int, Any] = {}
    found = []

    def relative(points: Any) -> list[list[float]]:
        return [[x / width, y / height] for x, y in points]

    with prepare_package(engine):
        state = tracker.init_state(
            cached_features=cache, video_height=height, video_width=width, num_frames=None
        )
        for t, frame in enumerate(FRAMES):
            encoded = engine.encoder.encode_uncached(frame)
            features = encoded.state["backbone_out"]["sam2_backbone_out"]
            cache[t] = (
                torch.zeros(1, 3, 1, 1),
                {"tracker_backbone_out": {**features, "vision_features": None}},
            )
            if t == 0:
                for i, prompted in enumerate(CLICKED.objects):
                    box = prompted.box_xyxy
                    tracker.add_new_points_or_box(
                        state,
                        0,
                        i,
                        points=relative(prompted.points_xy) or None,
                        labels=list(prompted.point_labels or (1,) * len(prompted.points_xy))
                        or None,
                        box=None if box is None else torch.tensor(relative([box[:2], box[2:]])),
                    )
                tracker.propagate_in_video_preflight(state)
            ((_, _, logits, _, scores),) = tracker.propagate_in_video(
                state, t, 0, False, tqdm_disable=True
            )
            found.append((logits[:, 0].clone(), scores.sigmoid().flatten()))
            if t == CORRECTED_AT:
                tracker.add_new_points_or_box(
                    state,
                    t,
                    0,
                    points=relative(CORRECTION.points_xy),
                    labels=list(CORRECTION.point_labels),
                )
                tracker.propagate_in_video_preflight(state)
                out = state["output_dict"]["cond_frame_outputs"][t]
                corrected = (
                    out["pred_masks"][:, 0].clone(),
                    out["object_score_logits"].sigmoid().flatten(),
                )
    return [*found, corrected]
