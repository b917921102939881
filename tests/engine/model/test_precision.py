"""Bfloat16 finds what float32 finds."""

from __future__ import annotations

import pytest
import torch

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.engine.model.precision import resolve_precision
from infer_segment_anything_3.tools.tiny_shapes.heldout.agreement import compare_engines

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("avx512", "amx", "resolved"),
    [(True, False, "bfloat16"), (False, True, "bfloat16"), (False, False, "float32")],
)
def test_auto_is_bfloat16_where_the_cpu_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, avx512: bool, amx: bool, resolved: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert resolve_precision("auto", CPU) == resolved
    assert resolve_precision("float32", CPU) == "float32"


@pytest.mark.parametrize("scenes", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_it_agrees_with_float32_on_held_out_scenes(tiny_engine: Engine, scenes: int) -> None:
    rounded = Engine(tiny_engine.model, tiny_engine.image_size, "bfloat16")
    found = compare_engines(tiny_engine, rounded, scenes)
    assert found.instances >= 8 * scenes
    assert found.mean_iou >= 0.97
    assert found.score_difference_p99 <= 0.05
    assert found.crossed <= max(1, 0.01 * found.instances)
