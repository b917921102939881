"""Measures the engine against Meta's package on the same model, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from unittest import mock

from ..engine.images import RgbImage
from ..engine.runtime import openmp
from .context import PHOTO, BenchmarkContext, click, compare
from .table import Row
from .timing import time_call

UNREACHABLE = 0.999
"""A score that no instance passes."""


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows."""
    yield from _measure_encoded_image(context)
    yield from (_measure_thresholds(context, wanted) for wanted in (5, 100))
    yield from _measure_new_images(context)
    if context.device == "cpu":
        yield _measure_busy_guard(context)


def _measure_encoded_image(context: BenchmarkContext) -> Iterator[Row]:
    """Measures prompts on an image whose encoding is cached on both sides."""
    image, state = context.encoded
    segment = context.package.segment_concept
    texts = context.take(context.texts)
    yield compare(
        f"click, image encoded before, {PHOTO}", range(context.repeats),
        lambda _: click(context.engine, image),
        lambda _: context.click_by_package(image, state),
        excess_at_most=30,
    )  # fmt: skip
    yield compare(
        "new text, image encoded before, nothing found", texts,
        lambda text: context.segment_texts(image, [text], UNREACHABLE),
        lambda text: segment(state, text, UNREACHABLE),
        ratio_at_most=0.8 if context.is_full_size else None,
    )  # fmt: skip
    # Other texts: of those above the engine remembers all but the masks.
    yield compare(
        "new text, image encoded before, 5 masks",
        [(text, context.find_threshold(text, 5)) for text in context.take(context.texts)],
        lambda asked: context.segment_texts(image, [asked[0]], asked[1]),
        lambda asked: segment(state, *asked),
    )


def _measure_thresholds(context: BenchmarkContext, wanted: int) -> Row:
    """Measures other thresholds for an image and a text that were segmented before."""
    image, state = context.encoded
    text = next(context.texts)
    queries = len(context.package.score_queries(state, text))
    wanted = min(wanted, queries // 2)
    lower, upper = (context.find_threshold(text, n) for n in (wanted, max(1, wanted // 2)))
    found = context.segment_texts(image, [text], lower)
    ours = max(
        time_call(partial(context.segment_texts, image, [text], threshold))
        for threshold in (upper, lower, (upper + lower) / 2)
    )
    theirs = time_call(partial(context.package.segment_concept, state, text, lower))
    return Row(f"another threshold, up to {found} of {queries} instances", ours * 1e3, "ms",
               theirs * 1e3, ratio_at_most=0.1, note="the slowest of three moves")  # fmt: skip


def _measure_new_images(context: BenchmarkContext) -> Iterator[Row]:
    """Measures from an RGB array to masks on the host, with encoding."""
    yield _compare_new_images(
        context, "click", partial(click, context.engine), context.click_by_package
    )
    for count in (1,) if context.is_slow else (1, 4, 16):
        texts = [next(context.texts) for _ in range(count)]
        threshold = max(map(context.find_threshold, texts))
        yield _compare_new_images(
            context,
            f"{count} text{'s' * (count > 1)}",
            partial(context.segment_texts, texts=texts, threshold=threshold),
            partial(context.segment_texts_by_package, texts=texts, threshold=threshold),
        )


def _compare_new_images(
    context: BenchmarkContext,
    what: str,
    ours: Callable[[RgbImage], object],
    theirs: Callable[[RgbImage], object],
) -> Row:
    for warm_up in (ours, theirs):
        warm_up(next(context.images))
    return compare(f"new image, {PHOTO}, {what}", context.take(context.images), ours, theirs,
                   ratio_at_most=1.0 if context.device == "cuda" else 1.05)  # fmt: skip


def _measure_busy_guard(context: BenchmarkContext) -> Row:
    """Measures the cost of checking whether the machine is busy, on a short run."""
    image, _ = context.encoded

    def click_with(is_busy: Callable[[], bool], _: object) -> None:
        with mock.patch.object(openmp, "is_machine_busy", is_busy):
            click(context.engine, image)

    return compare(
        "click, image encoded before, with the guard for busy machines",
        range(4 * context.repeats),
        partial(click_with, openmp.is_machine_busy), partial(click_with, lambda: False),
        reference_name="without", ratio_at_most=1.05, note="counts on an idle machine only",
    )  # fmt: skip
