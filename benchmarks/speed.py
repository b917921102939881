"""Measures the engine against Meta's package on the same model, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .context import PHOTO, WANTED_INSTANCES, BenchmarkContext, RgbImage, compare, make_click
from .table import Row
from .timing import time_call

UNREACHABLE = 0.999
"""A score that no instance passes."""
SYNCHRONIZING = ("cudaStreamSynchronize", "cudaEventSynchronize", "cudaMemcpy")
"""CUDA calls for which the host waits; a copy to or from pageable memory makes the first."""


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows."""
    yield from _measure_encoded(context)
    yield from _measure_thresholds(context)
    yield from _measure_new_images(context)
    if context.device == "cuda":
        yield from _count_synchronizations(context)
        yield _measure_compiled(context)


def _measure_encoded(context: BenchmarkContext) -> Iterator[Row]:
    """Measures prompts on an image that both have encoded."""
    engine, package = context.engine, context.package
    image, state = context.encoded
    yield compare(
        f"click, image encoded before, {PHOTO}", range(context.repeats),
        lambda _: engine.segment(image, make_click(image)),
        lambda _: context.click_by_package(image, state),
        excess_at_most=30,
    )  # fmt: skip
    texts = context.get_new_texts()
    yield compare(
        "new text, image encoded before, nothing found", texts,
        lambda text: context.segment_texts(image, [text], UNREACHABLE),
        lambda text: package.segment_concept(state, text, UNREACHABLE),
        ratio_at_most=0.8 if context.is_full_size else None,
    )  # fmt: skip
    yield compare(
        f"text, image encoded before, {WANTED_INSTANCES} masks",
        [(text, context.find_threshold(text)) for text in texts],
        lambda asked: context.segment_texts(image, [asked[0]], asked[1]),
        lambda asked: package.segment_concept(state, *asked),
    )


def _measure_thresholds(context: BenchmarkContext) -> Iterator[Row]:
    """Measures other thresholds for an image and a text that were segmented before."""
    image, state = context.encoded
    for wanted in (WANTED_INSTANCES, 100):
        text = context.get_new_text()
        queries = len(context.package.score_queries(state, text))
        wanted = min(wanted, queries // 2)
        lower = context.find_threshold(text, wanted)
        upper = context.find_threshold(text, max(1, wanted // 2))
        found = context.segment_texts(image, [text], lower)
        moves = (upper, lower, (upper + lower) / 2)
        ours = max(
            time_call(lambda v=v, t=text: context.segment_texts(image, [t], v))  # type: ignore[misc]
            for v in moves
        )
        theirs = time_call(
            lambda t=text, v=lower: context.package.segment_concept(state, t, v)  # type: ignore[misc]
        )
        yield Row(f"another threshold, up to {found} of {queries} instances", ours * 1e3, "ms",
                  theirs * 1e3, ratio_at_most=0.1, note="the slowest of three moves")  # fmt: skip


def _measure_new_images(context: BenchmarkContext) -> Iterator[Row]:
    """Measures from an RGB array to masks on the host, with encoding."""
    engine, package = context.engine, context.package
    limit = 1.0 if context.device == "cuda" else 1.05

    def compare_after_warm_up(
        what: str, ours: Callable[[RgbImage], Any], theirs: Callable[[RgbImage], Any]
    ) -> Row:
        for warm_up in (ours, theirs):
            warm_up(context.draw_new_image())
        what = f"new image, {PHOTO}, {what}"
        return compare(what, context.draw_new_images(), ours, theirs, ratio_at_most=limit)

    yield compare_after_warm_up(
        "click",
        lambda image: engine.segment(image, make_click(image)),
        lambda image: context.click_by_package(image, package.encode(image)),
    )
    for count in (1, 4, 16) if context.device == "cuda" or not context.is_full_size else (1,):
        texts = [context.get_new_text() for _ in range(count)]
        threshold = max(context.find_threshold(text) for text in texts)

        def by_engine(image: RgbImage, texts: Any = texts, threshold: float = threshold) -> None:
            context.segment_texts(image, texts, threshold)

        def by_package(image: RgbImage, texts: Any = texts, threshold: float = threshold) -> None:
            state = package.encode(image)
            for text in texts:
                package.segment_concept(state, text, threshold)

        yield compare_after_warm_up(f"{count} text{'s' * (count > 1)}", by_engine, by_package)


def _count_synchronizations(context: BenchmarkContext) -> Iterator[Row]:
    """Counts how often the host waits for the GPU in one prompt on an encoded image."""
    image, state = context.encoded
    text, other = context.get_new_text(), context.get_new_text()
    threshold = context.find_threshold(text)
    # Texts are encoded once for all images: not part of a later prompt.
    context.segment_texts(context.draw_new_image(), [text, other], threshold)
    context.segment_texts(image, [other], threshold)
    for what, ours, theirs in (
        ("known text", lambda: context.segment_texts(image, [text], threshold),
         lambda: context.package.segment_concept(state, text, threshold)),
        ("click", lambda: context.engine.segment(image, make_click(image)),
         lambda: context.click_by_package(image, state)),
    ):  # fmt: skip
        yield Row(f"waits of the host for the GPU, {what}", _count_waits(ours), "",
                  _count_waits(theirs), at_most=2)  # fmt: skip


def _count_waits(call: Callable[[], object]) -> int:
    import torch

    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=kinds) as profile:
        call()
    return sum(event.name in SYNCHRONIZING for event in profile.events())


def _measure_compiled(context: BenchmarkContext) -> Row:
    """Measures the compiled encoder; comes last, because it stays compiled."""

    def encode_new() -> None:
        image = context.draw_new_image()
        context.engine.segment(image, make_click(image))

    before = min(time_call(encode_new) for _ in range(3))
    context.engine.compile()
    warm_up = time_call(encode_new)
    after = min(time_call(encode_new) for _ in range(3))
    return Row("new image, click, torch.compile", after * 1e3, "ms", before * 1e3, "eager",
               note=f"warm-up {warm_up:.1f} s")  # fmt: skip
