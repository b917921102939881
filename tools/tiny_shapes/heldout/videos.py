"""Held-out scores of video: concepts beside other trackers, and objects that were pointed at."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ....engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from ....engine.results import Instance, Mask, Result
from ....engine.video.session import VideoSession
from ..clips import CLIP_FRAMES, Clip, Frame
from ..painting import Pixels
from ..random_clips import ABSENCE_RANGE, draw_clip
from .matching import Measure
from .rivals import LOWEST_SCORE, MAKERS, THRESHOLDS, associate
from .tracks import (
    MATCH_IOU,
    ClipScores,
    FrameFound,
    FrameTruth,
    boundary_accuracy,
    region_similarity,
    score_clip,
    total_of,
)

SCENES_PER_CLIP = 3
"""A clip is scored for so many scenes: 100 clips for 300 scenes."""

CLIP_SEED_OFFSET = 1
FIRST_VISIBLE_SHARE = 0.4
"""A shape is pointed at where so much of it is visible on the first frame."""

HALF_VISIBLE_SHARE = 0.5
FRAMES_TO_FIND = 8
"""A shape that comes back must be found within so many frames of being half visible."""

RgbImage = npt.NDArray[np.uint8]
Step = Callable[[RgbImage], Result]
Prompt = ConceptPrompt | ObjectPrompt
OpenSession = Callable[[Engine, Prompt], Step]
"""Starts a session: what it returns gives a frame's result, instances with a ``track_id``."""


def open_session(engine: Engine, prompt: Prompt) -> Step:
    """Starts this project's own session."""
    return VideoSession(engine, prompt).step


def held_out_clips(seed: int, scenes: int) -> Iterator[tuple[np.random.Generator, Clip]]:
    """Clips of 320 to 1280 px, with a generator for what is asked of them.

    Args:
        seed: Seed of all; each clip depends on it and its own index alone.
        scenes: One clip for each :data:`SCENES_PER_CLIP` of them.

    Yields:
        Generator and clip.
    """
    for index in range(max(1, scenes // SCENES_PER_CLIP)):
        rng = np.random.default_rng((seed + CLIP_SEED_OFFSET, index))
        yield rng, draw_clip(rng)


def video_concepts(
    engine: Engine, seed: int, scenes: int, open_session: OpenSession = open_session
) -> dict[str, float]:
    """HOTA, IDF1 and identity switches of every look in a clip, beside other trackers.

    The other trackers associate this engine's own detections on each frame; each is given
    with the threshold at which its HOTA is best.
    """
    ours: list[ClipScores] = []
    unlike: list[ClipScores] = []
    rivals: dict[tuple[str, float, int], list[ClipScores]] = {}
    for _, clip in held_out_clips(seed, scenes):
        looks = sorted({shape.look for shape in clip.shapes})
        prompt = ConceptPrompt(tuple(f"{color} {kind}" for color, kind in looks))
        step = open_session(engine, prompt)
        truth: list[FrameTruth] = []
        found: list[FrameFound] = []
        detected: list[list[Instance]] = []
        every = dataclasses.replace(prompt, confidence_threshold=LOWEST_SCORE)
        for time in range(CLIP_FRAMES):
            frame = clip.frame_at(time)
            truth.append(truth_of_frame(clip, frame))
            found.append(masks_of(step(frame.image)))
            detected.append(list(engine.segment(frame.image, every).instances))
        scores = score_clip(truth, found)
        ours.append(scores)
        if not clip.has_lookalikes():
            unlike.append(scores)
        for name, (make, patiences) in MAKERS.items():
            for threshold in THRESHOLDS:
                for patience in patiences:
                    tracks = associate(
                        detected, len(looks), functools.partial(make, threshold, patience)
                    )
                    key = name, threshold, patience
                    rivals.setdefault(key, []).append(score_clip(truth, tracks))
    named = {"video": total_of(ours)}
    if unlike:
        named["video_unlike"] = total_of(unlike)
    for name in MAKERS:
        totals = [total_of(scores) for key, scores in rivals.items() if key[0] == name]
        named[name] = max(totals, key=lambda total: total["hota"])
    return {f"{name}_{k}": v for name, total in named.items() for k, v in total.items()}


def video_objects(
    engine: Engine, seed: int, scenes: int, open_session: OpenSession = open_session
) -> dict[str, float]:
    """J and F of shapes clicked or boxed on the first frame, and how many are found again."""
    scores: dict[str, list[float]] = {}
    found_again: list[bool] = []
    for rng, clip in held_out_clips(seed, scenes):
        first = clip.frame_at(0)
        asked = [
            i
            for i in range(len(clip.shapes))
            if first.counts(i) and first.visible_share[i] >= FIRST_VISIBLE_SHARE
        ]
        if not asked:
            continue
        clicks = [PromptedObject(points_xy=(_point_in(first.mask(i), rng),)) for i in asked]
        boxes = [PromptedObject(box_xyxy=_box_of(first.mask(i))) for i in asked]
        for form, objects in (("click", clicks), ("box", boxes)):
            frames = list(_followed(open_session(engine, ObjectPrompt(tuple(objects))), clip))
            for row, index in enumerate(asked):
                # The first frame is given, not followed (DAVIS).
                for frame, masks in frames[1:]:
                    if frame.counts(index):
                        truth = _mask_of(clip, frame.visible[index])
                        j = region_similarity(masks.get(row), truth)
                        scores.setdefault(f"video_{form}_j", []).append(j)
                        f = boundary_accuracy(masks.get(row), truth)
                        scores.setdefault(f"video_{form}_f", []).append(f)
                found_again += _returns(clip, frames, index, row)
    result = {name: float(np.mean(values)) for name, values in scores.items()}
    if found_again:
        result["video_found_again"] = float(np.mean(found_again))
    return result


def _followed(step: Step, clip: Clip) -> Iterator[tuple[Frame, dict[int, Mask]]]:
    """Frames and, by the object's place in the prompt, the masks found on them."""
    order: dict[int, int] = {}
    for time in range(CLIP_FRAMES):
        frame = clip.frame_at(time)
        result = step(frame.image)
        if time == 0:
            ids = sorted(i.track_id for i in result.instances if i.track_id is not None)
            order = {track_id: place for place, track_id in enumerate(ids)}
        yield (
            frame,
            {
                order[i.track_id]: i.mask
                for i in result.instances
                if i.track_id in order and i.mask.area
            },
        )


def _returns(
    clip: Clip, frames: Sequence[tuple[Frame, dict[int, Mask]]], index: int, row: int
) -> list[bool]:
    """For each return after 5 to 20 frames away: whether the shape is found again in time."""
    found: list[bool] = []
    away = 0
    waiting = False
    for time, (frame, _) in enumerate(frames):
        if not frame.counts(index):
            away += 1
            continue
        waiting = waiting or ABSENCE_RANGE[0] <= away <= ABSENCE_RANGE[1]
        away = 0
        if waiting and frame.visible_share[index] >= HALF_VISIBLE_SHARE:
            waiting = False
            later = frames[time : time + FRAMES_TO_FIND]
            found.append(
                any(
                    region_similarity(masks.get(row), _mask_of(clip, seen.visible[index]))
                    >= MATCH_IOU
                    for seen, masks in later
                )
            )
    return found


def truth_of_frame(clip: Clip, frame: Frame) -> FrameTruth:
    """What is there: shapes that are hardly visible are ignored, for and against."""
    counted: dict[int, Mask] = {}
    ignored: list[Mask] = []
    for index, pixels in enumerate(frame.visible):
        if frame.counts(index):
            counted[index] = _mask_of(clip, pixels)
        elif pixels is not None:
            ignored.append(_mask_of(clip, pixels))
    return FrameTruth(counted, ignored)


def masks_of(result: Result) -> FrameFound:
    """Masks that are not empty, by track."""
    return {i.track_id: i.mask for i in result.instances if i.mask.area}


def _mask_of(clip: Clip, pixels: Pixels | None) -> Mask:
    if pixels is None:
        return Mask(clip.image_hw, (0, 0), np.zeros((0, 0), bool))
    top, left = (axis.start for axis in pixels.window)
    return Mask(clip.image_hw, (left, top), pixels.inside)


def _box_of(mask: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    left, top, right, bottom = Mask.from_full(mask).xyxy
    return float(left), float(top), float(right), float(bottom)


def _point_in(mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    y, x = divmod(int(rng.choice(np.flatnonzero(mask))), mask.shape[1])
    return float(x), float(y)


MEASURES: tuple[Measure, ...] = (
    video_concepts,
    video_objects,
)
