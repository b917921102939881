"""Measures a step of SAM 3.1's tracker against one of SAM 3.0's, in turns, with random weights."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from ..engine import Engine, VideoSession
from ..engine.checkpoints.layouts import recognize_layout
from ..engine.checkpoints.zoo import get_model_spec
from ..engine.inference.image_encoder import EncodedImage
from ..tools.random_weights import build_random_model
from .context import BenchmarkContext, compare
from .table import Row
from .video import HD, draw_frame, make_clicks, reuse_encoding

COUNTS = (1, 4, 16)
MANY = 64
LIMITS = {4: 0.5, 16: 0.15}
"""Share of 3.0's time that 3.1 may take at full size."""

WARM_UP_FRAMES = {True: 4, False: 8}
"""Frames before the measured one, by whether a step takes minutes: after 7 the memory is full."""


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows."""
    engine = _build_engine(context)
    older, newer = (e.encoder.encode_frame(draw_frame(HD, 4)) for e in (context.engine, engine))
    for count in COUNTS:
        yield _compare(context, engine, older, newer, count)
    if context.is_slow:
        yield _measure_many(context, engine, newer)
    else:
        yield _compare(context, engine, older, newer, MANY)


def _build_engine(context: BenchmarkContext) -> Engine:
    """Builds a model of the context's sizes with SAM 3.1's tracker."""
    layout = recognize_layout(["tracker.model.interactive_sam_mask_decoder.x"], Path())
    architecture = dataclasses.replace(
        get_model_spec(context.model_name).architecture, **layout.architecture_changes
    )
    model = build_random_model(architecture).to(context.device)
    return Engine(
        model,
        architecture.image_size,
        context.engine.precision,
        most_threads=architecture.most_threads,
    )


def _compare(
    context: BenchmarkContext, engine: Engine, older: EncodedImage, newer: EncodedImage, count: int
) -> Row:
    frames = WARM_UP_FRAMES[context.is_slow]
    image = draw_frame(HD, 4)
    sessions = [VideoSession(e, make_clicks(count)) for e in (engine, context.engine)]
    with contextlib.ExitStack() as stack:
        for each, encoded in ((engine, newer), (context.engine, older)):
            stack.enter_context(reuse_encoding(each, encoded))
        for _ in range(frames):
            for session in sessions:
                session.step(image)
        return compare(
            f"one frame, encoded before: track {count} objects by 3.1",
            range(1 if context.is_slow else context.repeats),
            lambda _: sessions[0].step(image),
            lambda _: sessions[1].step(image),
            reference_name="3.0",
            ratio_at_most=LIMITS.get(count) if context.is_full_size else None,
            note=f"after {frames} frames",
        )


def _measure_many(context: BenchmarkContext, engine: Engine, encoded: EncodedImage) -> Row:
    """Measures four buckets alone: by 3.0 they would take ten minutes a frame."""
    session, image = VideoSession(engine, make_clicks(MANY)), draw_frame(HD, 4)
    with reuse_encoding(engine, encoded):
        session.step(image)
        row = compare(
            f"one frame, encoded before: track {MANY} objects by 3.1",
            range(1),
            lambda _: session.step(image),
            lambda _: None,
        )
    return dataclasses.replace(row, reference=None, note="after 1 frame")
