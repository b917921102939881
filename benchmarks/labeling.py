"""Measures the labeling job against a plain loop, a stub engine, and the cluster model.

Job and loop take turns, so that other load of the machine slows both down.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..engine import ConceptPrompt, Instance, Mask, Result
from ..engine.export.rle import mask_to_rle
from ..engine.images import decode_image
from ..engine.model_options import ModelOptions
from ..labeling.labeler import ShardLabeler
from ..labeling.manifest import Shard
from ..labeling.options import JobOptions, Segmenter
from ..labeling.output_folder import OutputFolder
from ..labeling.prompt_sources import SamePrompt
from ..labeling.ray_runner import SHARDS_PER_CALL, label_with_ray
from ..labeling.sources import ImageSource
from ..tools.cluster_model import Layout, Times, simulate
from ..tools.tiny_shapes.scenes import draw_scene
from .context import BenchmarkContext
from .table import Row

IMAGES = 500
IMAGES_AT_FULL_SIZE = 3
STUB_S = 0.060
HW = (1200, 1800)
SHARD_SIZE = 16
PROMPT = ConceptPrompt(texts=("star", "circle"))


class StubEngine:
    """Replaces an engine: waits as long as a GPU would, and returns three discs."""

    def __init__(self) -> None:
        rows, columns = np.ogrid[: HW[0], : HW[1]]
        discs = [(rows - 600) ** 2 + (columns - x) ** 2 < 200**2 for x in (300, 900, 1500)]
        masks = [Mask.from_full(disc) for disc in discs]
        self._instances = tuple(
            Instance(0, 0.9, tuple(float(v) for v in mask.xyxy), mask)  # type: ignore[arg-type]
            for mask in masks
        )

    def segment(self, image: Any, prompt: Any, input_size_percent: float = 100) -> Result:
        """Sleeps."""
        time.sleep(STUB_S)
        return Result(HW, ("star", "circle"), self._instances)


@dataclasses.dataclass(frozen=True)
class StubModel(ModelOptions):
    """Replaces the model's options: loads the stub in an actor."""

    def load(self) -> Segmenter:  # type: ignore[override]  # a stand-in
        """Returns the stub."""
        return StubEngine()


def draw_images(folder: Path, count: int) -> list[str]:
    """Draws JPEGs of 1800 x 1200 pixels; returns their names."""
    for index in range(count):
        scene = draw_scene(np.random.default_rng(index), (HW[0], HW[1]), (3, 6), 1.5)
        picture = Image.fromarray(scene.image).resize((HW[1], HW[0]))
        picture.save(folder / f"{index:05d}.jpg", quality=90)
    return sorted(path.name for path in folder.glob("*.jpg"))


def run_plain_loop(engine: Segmenter, folder: Path, names: Sequence[str]) -> float:
    """Reads, segments and encodes one image after the other; returns seconds."""
    started = time.perf_counter()
    for name in names:
        pixels = decode_image(str(folder / name))
        for instance in engine.segment(pixels, PROMPT).instances:
            mask_to_rle(instance.mask)
    return time.perf_counter() - started


def run_job(engine: Segmenter, folder: Path, names: Sequence[str], out: Path) -> float:
    """Labels the same images in shards; returns seconds."""
    labeler = ShardLabeler(
        engine, ImageSource(str(folder)), SamePrompt(PROMPT), OutputFolder(str(out)), "benchmark"
    )
    started = time.perf_counter()
    for _ in labeler.label(make_shards(names)):
        pass
    return time.perf_counter() - started


def make_shards(names: Sequence[str]) -> list[Shard]:
    """Divides names into shards of the default size."""
    starts = range(0, len(names), SHARD_SIZE)
    return [
        Shard(start // SHARD_SIZE, tuple(names[start : start + SHARD_SIZE])) for start in starts
    ]


def measure_stages(folder: Path, names: Sequence[str], out: Path) -> dict[str, float]:
    """Measures the seconds to decode and to encode an image, and to write a shard."""
    from ..labeling.shard_files import LabeledImage, LabeledInstance, write_shard

    started = time.perf_counter()
    for name in names:
        content = (folder / name).read_bytes()
        hashlib.sha256(content)
        decode_image(io.BytesIO(content))
    decoded = time.perf_counter()
    instances = StubEngine().segment(None, None).instances
    encoding = time.perf_counter()
    for _ in names:
        counts = [mask_to_rle(instance.mask)["counts"] for instance in instances]
    encoded = time.perf_counter()
    found = tuple(LabeledInstance(1, 0.9, (0.0, 0.0, 1.0, 1.0), 1, text) for text in counts)
    rows = [LabeledImage(name, 1, "0" * 64, HW, found) for name in names[:SHARD_SIZE]]
    for index in range(10):
        write_shard(OutputFolder(str(out / "stages")), index, rows, "benchmark", {})
    written = time.perf_counter()
    return {
        "decode_s": (decoded - started) / len(names),
        "encode_s": (encoded - encoding) / len(names),
        "write_s": (written - encoded) / 10,
    }


def measure_ray(folder: Path, names: Sequence[str], out: Path, actors: int) -> float:
    """Measures the seconds from the first to the last shard with stub engines in Ray's actors."""
    options = JobOptions(
        str(folder), str(out), SamePrompt(PROMPT), StubModel("tiny_shapes", device="cpu")
    )
    shards = tuple(make_shards(names))
    moments = []
    for _ in label_with_ray(options, shards, "benchmark", actors=actors):
        moments.append(time.perf_counter())
    # The first reports come with the first call of each actor, whose start is not measured.
    return moments[-1] - moments[0]


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows: the job, its stages, and one and two actors where Ray is installed."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        folder = out / "images"
        folder.mkdir()
        engine = context.engine
        names = draw_images(folder, IMAGES_AT_FULL_SIZE if context.is_slow else IMAGES)
        run_plain_loop(engine, folder, names[:1])
        loop = job = 0.0
        for start in range(0, len(names), 50):
            some = names[start : start + 50]
            engine.image_cache.clear()
            loop += run_plain_loop(engine, folder, some)
            engine.image_cache.clear()
            job += run_job(engine, folder, some, out / f"tiny{start}")
        yield Row(f"labeling job, {len(names)} images", job, "s", loop, "plain loop",
                  ratio_at_most=1.15)  # fmt: skip
        if context.is_slow:  # the other rows need no model
            return
        yield Row("labeling job, a stub of 60 ms as engine",
                  run_job(StubEngine(), folder, names, out / "stub"), "s",
                  STUB_S * IMAGES, "the stub alone", ratio_at_most=1.05)  # fmt: skip
        stages = measure_stages(folder, names[:100], out)
        for stage, seconds in stages.items():
            yield Row(f"labeling job, {stage.removesuffix('_s')}", seconds * 1e3)
        for actors in (1, 2) if importlib.util.find_spec("ray") else ():
            real = measure_ray(folder, names, out / f"ray{actors}", actors)
            yield Row(f"labeling job, {actors} Ray actors, stub", real, "s",
                      predict_seconds(actors, stages), "model")  # fmt: skip


def predict_seconds(actors: int, stages: dict[str, float]) -> float:
    """Predicts what :func:`measure_ray` measures, with the model of a cluster."""
    calls = IMAGES / (SHARD_SIZE * SHARDS_PER_CALL) / actors
    times, layout = Times(gpu_s=STUB_S, **stages), Layout()
    one_call = simulate(actors, 1, times, layout).seconds
    whole = simulate(actors, round(calls), times, layout).seconds * calls / round(calls)
    return whole - one_call
