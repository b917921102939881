"""The measurements for a GPU give their rows; those that need no GPU are taken on a CPU."""

from __future__ import annotations

import itertools

import pytest

from infer_segment_anything_3.benchmarks import __main__ as command
from infer_segment_anything_3.benchmarks import gpu, precision
from infer_segment_anything_3.benchmarks.context import BenchmarkContext, draw_image
from infer_segment_anything_3.benchmarks.table import Row

ONE_IMAGE = {f"new image, 1800×1200, {what}" for what in ("click", "1 known text", "8 known texts")}
ENCODE = "new image, 1800×1200, encode"
BATCH = "a batch of 8 new images, 1800×1200, 1 known text"
AT_REST = "text encoder at rest on the CPU"


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_every_row_is_measured(device):
    pytest.importorskip("transformers")
    small = (draw_image(seed, (120, 180)) for seed in itertools.count(1))
    context = BenchmarkContext("tiny_shapes", None, device, "auto", repeats=1, images=small)
    rows = list(gpu.measure(context))
    assert all(row.value > 0 and row.reference > 0 for row in rows)
    expected = {(what, name) for what in ONE_IMAGE for name in ("sam3", "transformers")}
    expected |= {(ENCODE, "sam3"), (ENCODE, "transformers, for texts only")}
    expected |= {(BATCH, n) for n in ("one by one", "sam3, one by one", "transformers, a batch")}
    if device == "cuda":
        alone = {(what, name) for what, name in expected if what != BATCH}
        expected |= {(f"{what}, torch.compile", name) for what, name in alone}
        expected |= {(f"{w}: peak allocated above the weights", n) for w, n in expected}
        expected |= {(f"{w}, torch.compile", "eager") for w in (*ONE_IMAGE, ENCODE)}
        expected |= {("allocated weights, bfloat16", "float32")}
        expected |= {
            (f"{what}, {AT_REST}", "on the GPU")
            for what in ("allocated", "new image, 8 known texts", "encode a new text")
        }
        memory = {row.what: row for row in rows if row.unit == "GiB"}
        for what in ("allocated weights, bfloat16", f"allocated, {AT_REST}"):
            assert memory[what].value < memory[what].reference
    assert len(rows) == len(expected)
    assert {(row.what, row.reference_name) for row in rows} == expected


def test_a_group_that_fails_does_not_end_the_others(monkeypatch, tmp_path, capfd):
    def fail(context):
        yield Row("measured before", 1.0)
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(precision, "measure", fail)
    monkeypatch.setattr(gpu, "measure", lambda context: [Row("measured after", 2.0)])
    out = tmp_path / "gpu.md"
    chosen = ["--model", "tiny_shapes", "--only", "precision,gpu", "--out", str(out)]
    assert command.main(chosen) == 1
    assert "no such kernel" in capfd.readouterr().err
    text = out.read_text()
    assert "measured before" in text
    assert "measured after" in text
