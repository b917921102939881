"""The training goes through its stages, can be interrupted, and its weights load."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.engine.checkpoints.zoo import MODELS
from infer_segment_anything_3.engine.model.config import TINY_SHAPES
from infer_segment_anything_3.tools.tiny_shapes import (
    clip_samples,
    export,
    stages,
    train,
    training_model,
)
from infer_segment_anything_3.tools.tiny_shapes.clip_losses import ClipTracking
from infer_segment_anything_3.tools.tiny_shapes.clip_samples import ClipPool


@pytest.fixture(autouse=True)
def _few_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_samples, "LEAST_KEPT", 1)


def training(out: Path, **arguments: object) -> train.Training:
    return train.Training(out, seed=3, device=torch.device("cpu"), speed=1e-4, **arguments)  # type: ignore[arg-type]


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_gives_weights_that_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = len(train.STAGES) - 1
    first = training(tmp_path)
    learning_rate = train.compute_learning_rate

    def interrupt_last_stage(stage: train.Stage, step: int) -> float:
        if first.stage_index == last:
            raise KeyboardInterrupt
        return learning_rate(stage, step)

    with monkeypatch.context() as patched:
        patched.setattr(train, "compute_learning_rate", interrupt_last_stage)
        with pytest.raises(KeyboardInterrupt):
            first.run()
    second = training(tmp_path)
    assert second.stage_index == last
    second.run()
    weights = tmp_path / "tiny.safetensors"
    export.export(second.snapshot_path, weights, seed=3)
    assert Engine.load("tiny_shapes", weights, "cpu", "float32").image_size


@pytest.mark.parametrize(
    ("name", "trained"),
    [("many alike", stages.DETECTOR), ("video, two frames", (training_model.TRACKER,))],
)
def test_a_stage_changes_its_part_of_trained_weights_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trained: tuple[str, ...]
) -> None:
    (stage,) = (stage for stage in train.STAGES if stage.name == name)
    monkeypatch.setattr(train, "STAGES", (dataclasses.replace(stage, steps=2, batch=2),))
    path = MODELS["tiny_shapes"].bundled_path
    run = train.Training(
        tmp_path, seed=3, device=torch.device("cpu"), first_weights=path, first_stage=name
    )
    assert run.weights is not None
    before = dict(run.weights)
    run.run()
    changed = {
        key
        for key, value in before.items()
        if value.is_floating_point() and not torch.equal(value, run.weights[key])
    }
    assert changed
    assert all(key.startswith(trained) for key in changed)


def test_a_stage_can_end_with_the_mean_of_its_weights_and_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stages.Stage("first", 112, 1, 1, 1e-3, 1.0, concepts=False)
    second = dataclasses.replace(first, name="second")
    mixed = dataclasses.replace(second, mixed_with=(("first", 0.25),))
    ends = []
    for name, last in (("own", second), ("mixed", mixed)):
        monkeypatch.setattr(train, "STAGES", (first, last))
        run = train.Training(tmp_path / name, seed=3, device=torch.device("cpu"))
        run.run()
        ends.append(run.average)
    start = torch.load(tmp_path / "mixed" / "after first.pt", weights_only=True)
    assert any(not torch.equal(value, ends[0][name]) for name, value in start.items())
    for name, value in ends[1].items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.25 * start[name] + 0.75 * ends[0][name])


def test_a_loss_of_video_reaches_every_part_of_the_memory() -> None:
    model = training_model.build_training_model(TINY_SHAPES, torch.device("cpu"))
    training_model.initialize_weights(model)
    tracker = model.inst_interactive_predictor.model
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    tracker.requires_grad_(True)
    pool = ClipPool(model, seed=5, side=280, mask_side=80, frames=4, capacity=4)
    losses, _ = ClipTracking(model, pool, clips=2).compute_losses(frames=4)
    torch.stack(list(losses.values())).sum().backward()
    untouched = [
        name
        for name, parameter in model.named_parameters()
        if training_model.is_memory(name) and (parameter.grad is None or not parameter.grad.any())
    ]
    # The package keeps this one and never uses it; those of absent objects need one.
    unused = ("no_mem_pos_enc", "no_obj_ptr", "no_obj_embed_spatial", "mask_downsample")
    assert [name for name in untouched if not name.split("model.")[1].startswith(unused)] == []


def test_a_clip_goes_on_from_the_memory_of_the_frames_before() -> None:
    model = training_model.build_training_model(TINY_SHAPES, torch.device("cpu"))
    training_model.initialize_weights(model)
    losses = []
    for part in (4, 2):
        pool = ClipPool(model, seed=5, side=280, mask_side=80, frames=4, capacity=2)
        followed = ClipTracking(model, pool, clips=1)
        parts = 0
        with torch.no_grad():
            while not followed.is_over:
                _, report = followed.compute_losses(part)
                parts += 1
        assert parts == 4 // part
        losses.append(report["late_iou"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
