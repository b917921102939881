"""Measures the time of a video's frame: the session against the package's video classes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from torch import nn

from ..engine import ConceptPrompt, ObjectPrompt, PromptedObject, VideoSession
from ..engine.images import RgbImage
from ..engine.inference.automatic_masks import make_point_grid
from ..engine.inference.image_encoder import EncodedImage
from ..engine.model.sam3_imports import (
    Sam3Image,
    Sam3VideoBase,
    SAM3VLBackbone,
    UniversalSegmentationHead,
)
from ..engine.model.video_tracker import VideoTracker
from ..engine.video.detections import ConceptDetector
from ..engine.video.frame import Frame
from ..tools.random_weights import choose_threshold
from ..tools.sam3_video_package import (
    PackageVideo,
    build_package_tracker,
    prepare_package,
    remember_encodings,
)
from .context import BenchmarkContext, compare
from .table import Row
from .timing import time_call, watch_calls

HD, SMALL = (720, 1280), (360, 640)
OBJECT_COUNTS = {"cpu": (1, 4, 16), "cuda": (1, 16, 64)}
WARM_UP_FRAMES = 8
"""Frames after which the memory that each frame looks back to is full."""
_COLORS = ((220, 40, 40), (40, 180, 60), (50, 70, 220), (235, 210, 50))
_NETWORKS = (
    (SAM3VLBackbone, "forward_image"),
    (SAM3VLBackbone, "forward_text"),
    (nn.Conv2d, "forward"),  # the mask decoder's first layers, computed with the image
    (Sam3Image, "_encode_prompt"),
    (Sam3Image, "_run_encoder"),
    (Sam3Image, "_run_decoder"),
    (UniversalSegmentationHead, "forward"),
    (VideoTracker, "track_step"),
    (VideoTracker, "_encode_new_memory"),
)


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows."""
    encode = _measure_encoding(context)
    yield encode
    concept = _measure_concept(context)
    yield concept
    tracking = {}
    encoded = context.engine.encoder.encode_frame(draw_frame(HD, 4))
    for count in OBJECT_COUNTS[context.device]:
        tracking[count] = _measure_tracking(context, encoded, count)
        yield tracking[count]
    for count, row in tracking.items():
        yield _sum_up(context, count, encode, concept, row)
    yield _measure_multiple(context, encoded)
    yield _measure_own_share(context)
    if not context.is_full_size:
        yield _measure_frame_rate(context)


def draw_frame(hw: tuple[int, int], count: int, step: int = 0) -> RgbImage:
    """Draws up to 4 circles of different colors that move a pixel a step."""
    height, width = hw
    image = np.full((height, width, 3), (120, 125, 118), np.uint8)
    for k in range(count):
        center = (width * (2 * k + 1) // (2 * count) + step, height // 2)
        cv2.circle(image, center, min(height, width // count) // 4, _COLORS[k], -1)
    return image


def _measure_encoding(context: BenchmarkContext) -> Row:
    """Measures what both sides do once a frame."""
    engine, image = context.engine, draw_frame(HD, 4)
    times = [
        time_call(lambda: engine.encoder.encode_frame(image)) for _ in range(context.slow_repeats)
    ]
    return Row("one frame: encode, 1280×720", min(times) * 1e3, "ms")


def _measure_concept(context: BenchmarkContext) -> Row:
    """Measures what detects a text on each frame of a video whose frames are encoded."""
    engine, text = context.engine, "circle"
    frames = [draw_frame(HD, 4, step) for step in range(2 if context.is_slow else 6)]
    with remember_encodings(engine):
        threshold = choose_threshold(engine, frames[0], text, wanted=4)
        prompt = ConceptPrompt(texts=(text,), confidence_threshold=threshold)
        package = PackageVideo(engine, frames, threshold, birth=threshold, max_objects=4)

        def follow_by_session() -> None:
            session = VideoSession(engine, prompt, max_objects=4)
            for frame in frames:
                session.step(frame)

        def time_detection(owner: type, name: str, follow: Callable[[], object]) -> float:
            seconds = []
            for _ in range(2):  # the first one encodes
                with watch_calls((owner, name)) as detection:
                    follow()
                seconds.append(sum(detection))
            return min(seconds) * 1e3 / len(frames)

        ours = time_detection(ConceptDetector, "detect", follow_by_session)
        theirs = time_detection(
            Sam3VideoBase, "run_backbone_and_detection", lambda: package.run(text)
        )
    return Row("one frame, encoded before: detect a text", ours, "ms", theirs)


def _measure_tracking(context: BenchmarkContext, encoded: EncodedImage, count: int) -> Row:
    """Measures clicked objects on a frame that both have encoded."""
    package = _PackageObjects(context, encoded.state, count)
    return _compare_steps(
        context,
        encoded,
        f"one frame, encoded before: track {count} objects",
        count,
        package.step,
        context.repeats,
    )


def _measure_multiple(context: BenchmarkContext, encoded: EncodedImage) -> Row:
    """Measures how many times as long 16 clicked objects take as one, in turns.

    Minutes apart, the times of a small model differ by half.
    """
    one, image = VideoSession(context.engine, make_clicks(1)), draw_frame(HD, 4)
    return _compare_steps(
        context,
        encoded,
        "one frame, encoded before: 16 objects against one",
        16,
        lambda: one.step(image),
        3 * context.repeats,
        reference_name="one",
        ratio_at_most=16 if context.is_full_size else 8,
    )


def _compare_steps(
    context: BenchmarkContext,
    encoded: EncodedImage,
    what: str,
    count: int,
    step_reference: Callable[[], object],
    repeats: int,
    **fields: Any,
) -> Row:
    """Compares a session's steps with others in turns, once the memory of both is full."""
    session, image = VideoSession(context.engine, make_clicks(count)), draw_frame(HD, 4)
    with reuse_encoding(context.engine, encoded):
        for _ in range(2 if context.is_slow else WARM_UP_FRAMES):
            session.step(image)
            step_reference()
        return compare(
            what,
            range(1 if context.is_slow else repeats),
            lambda _: session.step(image),
            lambda _: step_reference(),
            **fields,
        )


def _sum_up(context: BenchmarkContext, count: int, encode: Row, concept: Row, track: Row) -> Row:
    """Adds up a frame: encoding, which is the same for both, detection and tracking."""
    ours = encode.value + concept.value + track.value
    theirs = encode.value + (concept.reference or 0) + (track.reference or 0)
    what = f"one frame in all: a text and {count} objects"
    if context.device == "cuda":
        return Row(what, 1e3 / ours, "frames/s", 1e3 / theirs)
    return Row(what, ours, "ms", theirs)


def _measure_own_share(context: BenchmarkContext) -> Row:
    """Measures the part of a step that is no network."""
    session = VideoSession(context.engine, make_clicks(4))
    image = draw_frame(HD, 4)
    session.step(image)
    own = []
    for _ in range(2 if context.is_full_size else context.repeats):
        with watch_calls(*_NETWORKS) as networks:
            seconds = time_call(lambda: session.step(image))
        own.append(seconds - sum(networks))
    return Row("all but the networks, 4 objects, 1280×720", min(own) * 1e3, "ms", at_most=15)


def _measure_frame_rate(context: BenchmarkContext) -> Row:
    session = VideoSession(context.engine, ConceptPrompt(texts=("circle",)))
    frames = [draw_frame(SMALL, 3, step) for step in range(WARM_UP_FRAMES + 4 * 4)]
    seconds = [time_call(functools.partial(session.step, frame)) for frame in frames]
    # Tracks begin anew on every fourth frame, which takes longer than the others.
    fours = [sum(seconds[first : first + 4]) for first in range(WARM_UP_FRAMES, len(frames), 4)]
    return Row("text, 3 objects, 640×360", 4 / min(fours), "frames/s", at_least=8,
               note="2 cores, the fastest 4 frames in a row")  # fmt: skip


class _PackageObjects:
    """Tracks clicked objects with the package's predictor, on the same frame again and again."""

    def __init__(self, context: BenchmarkContext, state: dict[str, Any], count: int) -> None:
        self._context = context
        self._tracker = build_package_tracker(context.engine)
        self._features = state["backbone_out"]["sam2_backbone_out"]
        self._cache: dict[Any, Any] = {}
        self._t = -1
        height, width = HD
        with self._running():
            self._state = self._tracker.init_state(
                cached_features=self._cache, video_height=height, video_width=width
            )
            for i, prompted in enumerate(make_clicks(count).objects):
                ((x, y),) = prompted.points_xy
                self._tracker.add_new_points_or_box(
                    self._state, 0, i, points=[[x / width, y / height]], labels=[1]
                )
            self._tracker.propagate_in_video_preflight(self._state)

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        Frame(max(0, self._t), HD, self._features).fill(self._cache)
        with prepare_package(self._context.engine):
            yield

    def step(self) -> None:
        """Follows the objects to the next frame."""
        self._t += 1
        with self._running():
            for _ in self._tracker.propagate_in_video(
                self._state, self._t, 0, False, tqdm_disable=True
            ):
                pass


def make_clicks(count: int) -> ObjectPrompt:
    """Makes clicks on a grid over an HD frame."""
    grid = make_point_grid(int(np.ceil(np.sqrt(count))), HD)[:count]
    return ObjectPrompt(tuple(PromptedObject(points_xy=(xy,)) for xy in grid.tolist()))


@contextlib.contextmanager
def reuse_encoding(engine: Any, encoded: EncodedImage) -> Iterator[None]:
    """Replaces the image encoder by the encoding of one frame, for every frame."""
    engine.encoder.encode_frame = lambda *args: encoded
    try:
        yield
    finally:
        del engine.encoder.encode_frame
