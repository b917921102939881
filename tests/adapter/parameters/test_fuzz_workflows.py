"""Mutated values of saved workflows: kept, or left out with one line that names the parameter."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given

from infer_segment_anything_3.adapter.parameters.settings import (
    PARAMETERS,
    Settings,
    get_defaults,
    keep_valid,
)
from infer_segment_anything_3.tests.fuzzing import (
    FEW,
    MANY,
    bound_memory,
    examples,
    mutate_bytes,
    stop_hang,
)

SAVED = get_defaults() | {
    "input_text": "person, red car:0.4",
    "input_point": "[[10, 20], [30, 40]]",
    "input_point_label": "[1, 0]",
    "input_box": "[[1, 2, 30, 40]]",
}


@pytest.fixture(autouse=True)
def _with_subnormal_numbers() -> None:
    """Ikomia's OpenCV lets the processor flush subnormal numbers, which hypothesis refuses."""
    torch.set_flush_denormal(False)


def fuzz(count: int) -> None:
    outcomes = {"kept": 0, "left out": 0}

    @examples(count)
    @given(mutate_bytes(json.dumps(SAVED).encode()))
    def load(content: bytes) -> None:
        try:
            values = json.loads(content.decode("utf-8", "replace"))
        except ValueError:  # Ikomia's own reader refuses it
            return
        if not isinstance(values, dict):
            return
        with stop_hang():
            kept, warnings = keep_valid({str(name): str(text) for name, text in values.items()})
            Settings.parse(kept)
        assert kept.keys() == PARAMETERS.keys()
        assert all("\n" not in line and len(line) < 500 for line in warnings), warnings
        outcomes["left out" if warnings else "kept"] += 1

    with bound_memory(100):
        load()
    assert min(outcomes.values()) > 0, outcomes


def test_mutated_workflows() -> None:
    fuzz(FEW)


@pytest.mark.slow
def test_many_mutated_workflows() -> None:
    fuzz(MANY)
