"""The rows for a GPU that need none."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("transformers")

from infer_segment_anything_3.benchmarks import gpu
from infer_segment_anything_3.benchmarks.__main__ import main
from infer_segment_anything_3.benchmarks.context import (
    BenchmarkContext,
    click,
    draw_image,
    get_click_xy,
)


def test_rows_compare_with_package_and_transformers(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "BATCH", 2)
    monkeypatch.setattr(gpu, "TEXTS", 2)
    path = tmp_path / "gpu.md"
    options = ["--model", "tiny_shapes", "--only", "gpu", "--repeats", "1", "--out", str(path)]
    assert main([*options, "--precision", "float32"]) == 0
    table = path.read_text()
    for what in ("encode", "click", "1 known text", "2 known texts", "a batch of 2 new images"):
        (first, *_) = [line for line in table.splitlines() if what in line]
        assert "sam3" in first or "one by one" in first
    assert table.count("| transformers") == 4


def test_transformers_segments_the_same():
    context = BenchmarkContext("tiny_shapes", None, "cpu", "float32", repeats=1)
    context, theirs = gpu._load_transformers(context)
    image = draw_image(1, (240, 320))
    mine = click(context.engine, image).instances[0].mask.full()
    found = theirs.click(image, get_click_xy(image)).numpy()
    # Each resizes the image in its own way.
    assert np.mean(found != mine) < 0.02
    assert 0.1 < np.mean(mine) < 0.9
    threshold = context.find_threshold("circle")
    wanted = context.segment_texts(image, ["circle"], threshold)
    ((masks,),) = theirs.segment_texts([image], ["circle"], threshold)
    assert len(masks) == wanted > 0
