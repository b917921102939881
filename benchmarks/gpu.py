"""Measures encoding, prompts, batches and memory, against the package and ``transformers``.

Rows of allocated memory and of ``torch.compile`` need CUDA; the others run on a CPU, too.
``transformers`` has some sizes fixed: beside it ``tiny_shapes`` is replaced by a small model with
random weights. Comes last in a run, because the engine stays compiled.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from ..engine import ConceptPrompt, Engine
from ..engine.checkpoints.loader import load_model
from ..engine.checkpoints.zoo import find_weight_files, resolve_input_size
from ..engine.images import RgbImage
from ..engine.model.config import SAM3
from ..engine.runtime.memory import release_memory
from .context import PHOTO, BenchmarkContext, click, get_click_xy
from .speed import UNREACHABLE
from .table import Row
from .timing import GIB, measure_gpu_peak, time_call, time_in_turns

if TYPE_CHECKING:
    from ..tools.transformers_package import TransformersPackage

ROUNDS = 5
TEXTS = 8
BATCH = 8

Calls = dict[str, Callable[[Any], object]]
"""What is compared, by name; the first is the engine."""


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows."""
    if context.device == "cuda":
        yield _measure_weights(context)
        yield from _measure_resting_text_encoder(context)
    theirs = None
    if importlib.util.find_spec("transformers") is not None:
        context, theirs = _load_transformers(context)
    texts = list(islice(context.texts, TEXTS))
    threshold = max(map(context.find_threshold, texts))
    tasks = _list_tasks(context, theirs, texts, threshold)
    eager = {}
    for what, calls in tasks.items():
        rows = _compare(context, what, _take_images(context), calls)
        eager[what] = rows[0]
        yield from rows
    yield from _measure_batch(context, theirs, texts[0], threshold)
    if context.device == "cuda":
        yield from _measure_compiled(context, theirs, tasks, eager)


def _measure_weights(context: BenchmarkContext) -> Row:
    """Measures the GPU memory of the weights, in bfloat16 and in float32."""
    allocated = []
    for precision in ("bfloat16", "float32"):
        release_memory()
        before = torch.cuda.memory_allocated()
        engine = _load_unshared(context, precision)
        allocated.append((torch.cuda.memory_allocated() - before) / GIB)
        del engine
    return Row("allocated weights, bfloat16", allocated[0], "GiB", allocated[1], "float32",
               ratio_at_most=0.55 if context.is_full_size else None)  # fmt: skip


def _measure_resting_text_encoder(context: BenchmarkContext) -> Iterator[Row]:
    """Measures memory and time with the text encoder in the CPU's memory and in the GPU's."""
    precision = context.engine.precision
    release_memory()
    before = torch.cuda.memory_allocated()
    engine = _load_unshared(context, precision)
    texts = tuple(islice(context.texts, TEXTS))
    prompt = ConceptPrompt(texts, confidence_threshold=UNREACHABLE)
    seen: list[tuple[float, float, float]] = []
    for rests in (False, True):
        engine.prepare_texts(texts, rest_text_encoder=rests)
        known, new = time_in_turns(
            _take_images(context),
            lambda image: engine.segment(image, prompt),
            lambda _: engine.prepare_texts([next(context.texts)]),
        )
        engine.image_cache.clear()
        release_memory()
        seen.append(((torch.cuda.memory_allocated() - before) / GIB, known, new))
    where = "text encoder at rest on the CPU"
    what = ("allocated", f"new image, {TEXTS} known texts", "encode a new text")
    for name, unit, full, resting in zip(what, ("GiB", "ms", "ms"), *seen, strict=True):
        yield Row(f"{name}, {where}", resting, unit, full, "on the GPU")


def _load_unshared(context: BenchmarkContext, precision: Any) -> Engine:
    """Loads an engine that is not shared, so that its memory can be measured and freed."""
    files = find_weight_files(context.model_name, context.weight_file)
    model = load_model(context.model_name, files, context.device, precision=precision)
    return Engine(model, resolve_input_size(context.model_name), precision)


def _load_transformers(
    context: BenchmarkContext,
) -> tuple[BenchmarkContext, TransformersPackage]:
    """Builds the models of ``transformers`` with the weights of an engine.

    Returns:
        A context whose engine has sizes that ``transformers`` supports, and these models.
    """
    from ..tools.random_weights import build_random_model
    from ..tools.transformers_models import SMALL
    from ..tools.transformers_package import TransformersPackage

    if context.is_full_size:
        return context, TransformersPackage(context.engine, SAM3)
    context = dataclasses.replace(context)
    model = build_random_model(SMALL).to(context.device)
    context.engine = Engine(model, SMALL.image_size, context.precision)
    return context, TransformersPackage(context.engine, SMALL)


def _list_tasks(
    context: BenchmarkContext,
    theirs: TransformersPackage | None,
    texts: Sequence[str],
    threshold: float,
) -> dict[str, Calls]:
    """Returns what is compared on one new image, from an RGB array to masks on the host."""
    engine, package = context.engine, context.package
    tasks: dict[str, Calls] = {
        "encode": {"engine": engine.encoder.encode_uncached, "sam3": package.encode},
        "click": {"engine": partial(click, engine), "sam3": context.click_by_package},
    }
    if theirs is not None:
        tasks["encode"]["transformers, for texts only"] = lambda image: theirs.encode([image])
        tasks["click"]["transformers"] = lambda image: theirs.click(image, get_click_xy(image))
    for count in (1, TEXTS):
        asked: dict[str, Any] = {"texts": texts[:count], "threshold": threshold}
        calls = tasks[f"{count} known text{'s' * (count > 1)}"] = {
            "engine": partial(context.segment_texts, **asked),
            "sam3": partial(context.segment_texts_by_package, **asked),
        }
        if theirs is not None:
            calls["transformers"] = partial(_segment_texts_of_one, theirs, **asked)
    return {f"new image, {PHOTO}, {what}": calls for what, calls in tasks.items()}


def _segment_texts_of_one(theirs: TransformersPackage, image: RgbImage, **asked: Any) -> object:
    return theirs.segment_texts([image], **asked)


def _measure_batch(
    context: BenchmarkContext, theirs: TransformersPackage | None, text: str, threshold: float
) -> list[Row]:
    """Measures a text that was encoded before on several new images."""
    engine, prompt = context.engine, ConceptPrompt((text,), confidence_threshold=threshold)

    def segment_batch(images: Sequence[RgbImage]) -> None:
        engine.image_cache.clear()
        engine.segment_batch(images, prompt)

    def segment_one_by_one(images: Sequence[RgbImage]) -> None:
        engine.image_cache.clear()
        for image in images:
            engine.segment(image, prompt)

    def segment_by_package(images: Sequence[RgbImage]) -> None:
        for image in images:
            context.segment_texts_by_package(image, [text], threshold)

    calls: Calls = {
        "engine": segment_batch,
        "one by one": segment_one_by_one,
        "sam3, one by one": segment_by_package,
    }
    if theirs is not None:
        calls["transformers, a batch"] = lambda images: theirs.segment_texts(
            images, [text], threshold
        )
    batches = [list(islice(context.images, BATCH)) for _ in _take_images(context)]
    what = f"a batch of {BATCH} new images, {PHOTO}, 1 known text"
    return _compare(context, what, batches, calls)


def _measure_compiled(
    context: BenchmarkContext,
    theirs: TransformersPackage | None,
    tasks: dict[str, Calls],
    eager: dict[str, Row],
) -> Iterator[Row]:
    """Measures the tasks again with compiled image encoders."""
    context.engine.compile()
    if theirs is not None:
        theirs.compile()
    warm_up = time_call(partial(click, context.engine, next(context.images)))
    for what, calls in tasks.items():
        rows = _compare(context, f"{what}, torch.compile", _take_images(context), calls)
        yield dataclasses.replace(rows[0], reference=eager[what].value, reference_name="eager",
                                  note=f"warm-up {warm_up:.1f} s")  # fmt: skip
        yield from rows


def _take_images(context: BenchmarkContext) -> list[RgbImage]:
    """Takes a new image for each timed round, and one for the memory measurement."""
    return list(islice(context.images, 1 + min(ROUNDS, context.slow_repeats)))


def _compare(
    context: BenchmarkContext, what: str, inputs: Sequence[Any], calls: Calls
) -> list[Row]:
    """Times functions in turns; on a GPU also measures their peak memory, on the last input."""
    *timed, last = inputs
    names = list(calls)[1:]
    ours, *others = time_in_turns(timed, *calls.values())
    rows = [Row(what, ours, "ms", other, name) for name, other in zip(names, others, strict=True)]
    if context.device == "cuda":
        what = f"{what}: peak allocated above the weights"
        ours, *others = (measure_gpu_peak(partial(call, last)) / GIB for call in calls.values())
        rows += [
            Row(what, ours, "GiB", other, name) for name, other in zip(names, others, strict=True)
        ]
    return rows
