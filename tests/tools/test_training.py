"""The training goes through its stages, can be interrupted, and its weights load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.engine.checkpoints.zoo import MODELS
from infer_segment_anything_3.tools.tiny_shapes import export, train

pytestmark = pytest.mark.slow


def training(out: Path, **arguments: object) -> train.Training:
    return train.Training(out, seed=3, device=torch.device("cpu"), speed=1e-4, **arguments)  # type: ignore[arg-type]


def test_an_interrupted_run_goes_on_and_gives_weights_that_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = len(train.STAGES)
    first = training(tmp_path)
    run_stage = first._run_stage

    def interrupted(stage: train.Stage) -> None:
        if first.stage_index == stages - 1:
            raise KeyboardInterrupt
        run_stage(stage)

    monkeypatch.setattr(first, "_run_stage", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    second = training(tmp_path)
    assert second.stage_index == stages - 1
    second.run()
    weights = tmp_path / "tiny.safetensors"
    export.export(second.snapshot_path, weights, seed=3)
    assert Engine.load("tiny_shapes", weights, "cpu", "float32").image_size


def test_a_run_can_begin_with_trained_weights(tmp_path: Path) -> None:
    run = training(tmp_path, first_weights=MODELS["tiny_shapes"].bundled_path)
    assert run.stage_index == len(train.STAGES) - 1
    run.run()
    assert run.average
