"""A long session stays flat: memory, threads, open files, outputs."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ikomia")

from infer_segment_anything_3.engine import ConceptPrompt, Engine

from .asking import BASE, ask, boxes_of

logger = logging.getLogger(__name__)

pytestmark = [
    pytest.mark.usefixtures("watchdog"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells of a process"),
]

SIDES = (96, 320)
MOST_GROWTH_MB = 30


def resident_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def counted() -> dict[str, int]:
    """What must not become more."""
    return {
        "threads": threading.active_count(),
        "threads of the process": len(list(Path("/proc/self/task").iterdir())),
        "open files": len(list(Path("/proc/self/fd").iterdir())),
    }


def question(random: np.random.Generator, image: np.ndarray, scene: Any) -> dict[str, str]:
    """Values for all parameters: another prompt each time, of every kind."""
    height, width = image.shape[:2]
    x, y = int(random.integers(width - 1)), int(random.integers(height - 1))
    box = [x, y, int(random.integers(x + 1, width)), int(random.integers(y + 1, height))]
    asked = [
        {"input_point": str([x, y])},
        {"input_point": str([[[x, y]], [[x // 2, y // 2]]]), "multimask_output": "True"},
        {"input_box": str(box), "refine": str(bool(random.integers(2)))},
        {"input_text": f"circle, star, thing number {random.integers(10**6)}"},
        {"input_text": "square", "input_box": str(box), "confidence_threshold": "0.3"},
        {"prompt_mode": "everything", "points_per_side": "3"},
        {"input_box": boxes_of(scene), "segmentation_format": "polygon"},
        {"input_point": str([width + 9, y])},  # refused by the run
        {},
    ]
    return {**BASE, **asked[int(random.integers(len(asked)))]}


def run_many(wf: Any, algo: Any, scene: Any, random: np.random.Generator, count: int) -> None:
    """Runs that change the prompt, and the image in every second."""
    image = scene.image
    for turn in range(count):
        if turn % 2:
            height, width = random.integers(*SIDES, 2)
            image = random.integers(0, 256, (height, width, 3), np.uint8)
        algo.set_parameters(question(random, image, scene))
        try:
            wf.run_on(array=image)
        except RuntimeError as error:
            assert "input_point" in str(error) or "input_box" in str(error)
        assert algo.get_output_count() in (4, 6)


@pytest.mark.parametrize(
    ("warm_up", "count"), [(40, 80), pytest.param(200, 1800, marks=pytest.mark.slow)]
)
def test_a_session_stays_flat(make_algo, shown, warm_up, count, record_property):
    wf, algo = make_algo()
    expected = ask(wf, algo, shown)
    engine = Engine.load("tiny_shapes", device="cpu", precision="float32")
    cache = engine.image_cache
    limits = cache.max_items, cache.max_bytes
    # Filled within the warm-up: what it keeps is meant to be kept.
    cache.max_items = 3
    random = np.random.default_rng(0)
    # Far more than a busy machine needs; the fixture's limit is for seconds of work.
    faulthandler.dump_traceback_later(10 * (warm_up + count), exit=True)
    try:
        run_many(wf, algo, shown, random, warm_up)
        before_mb, before = resident_mb(), counted()
        run_many(wf, algo, shown, random, count)
        grown_mb = resident_mb() - before_mb
    finally:
        cache.max_items, cache.max_bytes = limits
    record_property("grown_mb", grown_mb)
    logger.info("%d runs after %d: %+.1f MB at %.0f MB", count, warm_up, grown_mb, before_mb)
    assert counted() == before
    assert ask(wf, algo, shown) == expected
    assert algo.get_output_count() == 4
    assert grown_mb < MOST_GROWTH_MB


def test_what_is_kept_of_one_image_is_bounded(tiny_engine, shown, monkeypatch):
    monkeypatch.setattr("infer_segment_anything_3.engine.inference.image_encoder.MAX_CONCEPTS", 5)
    engine = Engine(tiny_engine.model, tiny_engine.image_size, "float32")
    texts = [f"thing {number}" for number in range(12)]

    def scores(*asked: str) -> list[list[float]]:
        prompt = ConceptPrompt(asked, confidence_threshold=0)
        found = engine.segment(shown.image, prompt).instances
        return [[i.score for i in found if i.class_index == k] for k in range(len(asked))]

    alone = [scores(text)[0] for text in texts]
    encoded, _ = engine.encoder.encode(shown.image)
    assert len(encoded.concepts) == 5
    assert scores(*texts) == alone, "more concepts at once than are kept"
    assert engine.text_encodings == len(texts)
