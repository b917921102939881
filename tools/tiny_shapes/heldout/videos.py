"""Measures video on held-out clips: concepts against other trackers, exemplars, objects."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ....engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from ....engine.images import RgbImage
from ....engine.results import Instance, Mask, Result
from ....engine.video.session import VideoSession
from ..clips import CLIP_FRAMES, Clip, Frame
from ..painting import Pixels
from ..random_clips import ABSENCE_RANGE, draw_clip
from .matching import Measure
from .other_trackers import LOWEST_SCORE, MAKERS, THRESHOLDS, associate
from .tracks import (
    MATCH_IOU,
    ClipScores,
    FrameFound,
    FrameTruth,
    compute_boundary_accuracy,
    compute_region_similarity,
    score_clip,
    sum_scores,
)

SCENES_PER_CLIP = 3
"""Scenes for which one clip is scored: 100 clips for 300 scenes."""

SCENES_PER_ENTERING_CLIP = 10
"""Scenes for which one clip is scored in which a shape enters that looks like another one: few
random clips are so, and it takes long to find one."""

CLIP_SEED_OFFSET = 1
FIRST_VISIBLE_SHARE = 0.4
"""Share of a shape that must be visible on the first frame for it to be prompted."""

SHOWN_SHARE = 0.9
"""Share of a shape that must be visible for its box to be an exemplar."""

HALF_VISIBLE_SHARE = 0.5
FRAMES_TO_FIND = 8
"""Frames within which a shape that comes back must be found, once it is half visible."""

Step = Callable[[RgbImage], Result]
Prompt = ConceptPrompt | ObjectPrompt
OpenSession = Callable[[Engine, Prompt], Step]
"""Starts a session: what it returns gives a frame's result, instances with a ``track_id``."""


def open_session(engine: Engine, prompt: Prompt) -> Step:
    """Starts this project's own session."""
    return VideoSession(engine, prompt).step


def draw_held_out_clips(seed: int, scenes: int) -> Iterator[tuple[np.random.Generator, Clip]]:
    """Draws clips of 320 to 1280 px, each with a generator for its prompts.

    Args:
        seed: Seed of all; each clip depends on it and its own index alone.
        scenes: One clip for each :data:`SCENES_PER_CLIP` of them.

    Yields:
        Generator and clip.
    """
    for index in range(max(1, scenes // SCENES_PER_CLIP)):
        rng = np.random.default_rng((seed + CLIP_SEED_OFFSET, index))
        yield rng, draw_clip(rng)


def measure_video_concepts(
    engine: Engine, seed: int, scenes: int, open_session: OpenSession = open_session
) -> dict[str, float]:
    """Measures HOTA, IDF1 and identity switches of text prompts, and of other trackers.

    The other trackers associate this engine's own detections on each frame; each is given
    with the threshold at which its HOTA is best.
    """
    ours: list[ClipScores] = []
    unlike: list[ClipScores] = []
    others: dict[tuple[str, float, int], list[ClipScores]] = {}
    for _, clip in draw_held_out_clips(seed, scenes):
        looks = sorted({shape.look for shape in clip.shapes})
        prompt = ConceptPrompt(tuple(f"{color} {kind}" for color, kind in looks))
        step = open_session(engine, prompt)
        truth: list[FrameTruth] = []
        found: list[FrameFound] = []
        detected: list[list[Instance]] = []
        every = dataclasses.replace(prompt, confidence_threshold=LOWEST_SCORE)
        for time in range(CLIP_FRAMES):
            frame = clip.frame_at(time)
            truth.append(get_frame_truth(clip, frame))
            found.append(collect_masks(step(frame.image)))
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
                    others.setdefault(key, []).append(score_clip(truth, tracks))
    named = {"video": sum_scores(ours)}
    if unlike:
        named["video_unlike"] = sum_scores(unlike)
    for name in MAKERS:
        totals = [sum_scores(scores) for key, scores in others.items() if key[0] == name]
        named[name] = max(totals, key=lambda total: total["hota"])
    return {f"{name}_{k}": v for name, total in named.items() for k, v in total.items()}


def measure_video_exemplars(
    engine: Engine, seed: int, scenes: int, open_session: OpenSession = open_session
) -> dict[str, float]:
    """Measures the recall of shapes that enter later and look like the one in an exemplar box.

    A shape is found on a frame if a mask has an IoU of 0.5 with it; frames on which it is at
    least half visible count.
    """
    found: list[bool] = []
    for clip, shown, entering in draw_clips_with_entries(seed, scenes):
        prompt = ConceptPrompt(exemplars_xyxy=(_get_box(clip.frame_at(0).mask(shown)),))
        step = open_session(engine, prompt)
        for time in range(CLIP_FRAMES):
            frame = clip.frame_at(time)
            masks = list(collect_masks(step(frame.image)).values())
            for index in entering:
                if frame.counts(index) and frame.visible_share[index] >= HALF_VISIBLE_SHARE:
                    truth = _get_mask(clip, frame.visible[index])
                    ious = [compute_region_similarity(mask, truth) for mask in masks]
                    found.append(max(ious, default=0.0) >= MATCH_IOU)
    return {"video_exemplar_recall": float(np.mean(found))} if found else {}


def draw_clips_with_entries(seed: int, scenes: int) -> Iterator[tuple[Clip, int, list[int]]]:
    """Draws clips in which a shape enters that looks like one of the first frame.

    Yields:
        The clip, the index of the shape on the first frame, and those of the shapes that
        look the same and are not yet visible there.
    """
    for index in range(max(1, scenes // SCENES_PER_ENTERING_CLIP)):
        rng = np.random.default_rng((seed + CLIP_SEED_OFFSET, index, 1))
        while True:
            clip = draw_clip(rng, like_share=1.0)
            first = clip.frame_at(0)
            looks = [shape.look for shape in clip.shapes]
            unseen = [i for i, pixels in enumerate(first.visible) if pixels is None]
            shown = [
                i
                for i, share in enumerate(first.visible_share)
                if share >= SHOWN_SHARE and looks[i] in [looks[k] for k in unseen]
            ]
            if shown:
                yield clip, shown[0], [i for i in unseen if looks[i] == looks[shown[0]]]
                break


def measure_video_objects(
    engine: Engine, seed: int, scenes: int, open_session: OpenSession = open_session
) -> dict[str, float]:
    """Measures how well shapes that are clicked or boxed on the first frame are followed.

    J and F are those of DAVIS. A shape is found again as :func:`_find_returns` says; a mask is
    of another shape if its IoU with that one is greater.
    """
    scores: dict[str, list[float]] = {}
    found_again: list[bool] = []
    on_another: list[bool] = []
    for rng, clip in draw_held_out_clips(seed, scenes):
        first = clip.frame_at(0)
        asked = [
            i
            for i in range(len(clip.shapes))
            if first.counts(i) and first.visible_share[i] >= FIRST_VISIBLE_SHARE
        ]
        if not asked:
            continue
        clicks = [PromptedObject(points_xy=(_draw_point(first.mask(i), rng),)) for i in asked]
        boxes = [PromptedObject(box_xyxy=_get_box(first.mask(i))) for i in asked]
        for form, objects in (("click", clicks), ("box", boxes)):
            frames = list(_follow_objects(open_session(engine, ObjectPrompt(tuple(objects))), clip))
            for row, index in enumerate(asked):
                # The first frame is given, not followed (DAVIS).
                for frame, masks in frames[1:]:
                    if frame.counts(index):
                        shapes = [_get_mask(clip, pixels) for pixels in frame.visible]
                        truth = shapes[index]
                        ious = [compute_region_similarity(masks.get(row), m) for m in shapes]
                        on_another.append(max(ious) > ious[index])
                        scores.setdefault(f"video_{form}_j", []).append(ious[index])
                        f = compute_boundary_accuracy(masks.get(row), truth)
                        scores.setdefault(f"video_{form}_f", []).append(f)
                found_again += _find_returns(clip, frames, index, row)
    result = {name: float(np.mean(values)) for name, values in scores.items()}
    if found_again:
        result["video_found_again"] = float(np.mean(found_again))
    if on_another:
        result["video_on_another"] = float(np.mean(on_another))
    return result


def _follow_objects(step: Step, clip: Clip) -> Iterator[tuple[Frame, dict[int, Mask]]]:
    """Tracks prompted objects; yields each frame and the masks by place in the prompt."""
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


def _find_returns(
    clip: Clip, frames: Sequence[tuple[Frame, dict[int, Mask]]], index: int, row: int
) -> list[bool]:
    """Tells for each return after 5 to 20 frames whether the shape is found again in time."""
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
                    compute_region_similarity(masks.get(row), _get_mask(clip, seen.visible[index]))
                    >= MATCH_IOU
                    for seen, masks in later
                )
            )
    return found


def get_frame_truth(clip: Clip, frame: Frame) -> FrameTruth:
    """Returns the true shapes of a frame; hardly visible ones are ignored."""
    counted: dict[int, Mask] = {}
    ignored: list[Mask] = []
    for index, pixels in enumerate(frame.visible):
        if frame.counts(index):
            counted[index] = _get_mask(clip, pixels)
        elif pixels is not None:
            ignored.append(_get_mask(clip, pixels))
    return FrameTruth(counted, ignored)


def collect_masks(result: Result) -> FrameFound:
    """Collects the masks that are not empty, by track."""
    return {i.track_id: i.mask for i in result.instances if i.mask.area}


def _get_mask(clip: Clip, pixels: Pixels | None) -> Mask:
    if pixels is None:
        return Mask(clip.image_hw, (0, 0), np.zeros((0, 0), bool))
    top, left = (axis.start for axis in pixels.window)
    return Mask(clip.image_hw, (left, top), pixels.inside)


def _get_box(mask: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    left, top, right, bottom = Mask.from_full(mask).xyxy
    return float(left), float(top), float(right), float(bottom)


def _draw_point(mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    y, x = divmod(int(rng.choice(np.flatnonzero(mask))), mask.shape[1])
    return float(x), float(y)


MEASURES: tuple[Measure, ...] = (
    measure_video_concepts,
    measure_video_exemplars,
    measure_video_objects,
)
