"""The training goes through its stages, can be interrupted, and its weights load."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.engine.checkpoints.zoo import MODELS
from infer_segment_anything_3.engine.model.config import TINY_SHAPES
from infer_segment_anything_3.engine.model.sam3_imports import Sam3Image, Sam3TrackerBase
from infer_segment_anything_3.tools.tiny_shapes import (
    export,
    stages,
    tracker_training,
    train,
    training_model,
)
from infer_segment_anything_3.tools.tiny_shapes.footage import FootageSource, find_new_lookalikes
from infer_segment_anything_3.tools.tiny_shapes.losses import OTHERS_WEIGHT, compute_object_losses
from infer_segment_anything_3.tools.tiny_shapes.rollouts import find_lost, roll_out
from infer_segment_anything_3.tools.tiny_shapes.tracker_losses import (
    TrainingHeads,
    compute_tracker_losses,
)


@pytest.fixture(autouse=True)
def _few_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_training, "LEAST_KEPT", 1)


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
    [
        ("many alike", stages.DETECTOR),
        ("looks", stages.TRACKER_PARTS),
        ("video, scattered", stages.TRACKER_PARTS),
        ("video", stages.TRACKER_PARTS),
    ],
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
    # The finer maps serve clicks; they were encoded once.
    assert not any("conv_s" in key for key in changed)


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


@pytest.fixture(scope="module")
def model() -> Sam3Image:
    model = training_model.build_training_model(TINY_SHAPES, torch.device("cpu"))
    training_model.initialize_weights(model)
    return model


def make_source(model: Sam3Image, seed: int) -> FootageSource:
    return FootageSource(model, np.random.default_rng(seed), TINY_SHAPES.image_size, 80)


@pytest.mark.parametrize("moving", [False, True])
def test_losses_of_the_tracker_reach_every_part_of_the_memory(
    model: Sam3Image, moving: bool
) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    trained = [(n, p) for n, p in model.named_parameters() if n.startswith(stages.TRACKER_PARTS)]
    for _, parameter in trained:
        parameter.requires_grad_(True)
    rng = np.random.default_rng(5)
    source = make_source(model, 5)
    footage = source.draw_moving(5) if moving else source.draw_scattered()
    objects = footage.pick_objects(rng, 2)
    rollout = roll_out(model, footage, objects, rng) if moving else None
    heads = TrainingHeads(TINY_SHAPES.width)
    losses, answers = compute_tracker_losses(model, heads, footage, rollout, objects, [3, 4], rng)
    assert {"iou", "seen_as_there", "gone_as_gone"} == answers.keys()
    torch.stack(list(losses.values())).sum().backward()
    untouched = [
        name
        for name, parameter in trained
        if training_model.is_memory(name) and (parameter.grad is None or not parameter.grad.any())
    ]
    # The package keeps the first and never uses it; others belong to what is absent, or to
    # objects that are given as masks.
    unused = ("no_mem_pos_enc", "no_obj_ptr", "no_obj_embed_spatial", "mask_downsample", "obj_ptr")
    assert [name for name in untouched if not name.split("model.")[1].startswith(unused)] == []


def test_a_rollout_remembers_the_frames_that_the_package_remembers(model: Sam3Image) -> None:
    rng = np.random.default_rng(5)
    footage = make_source(model, 5).draw_moving(5)
    rollout = roll_out(model, footage, footage.pick_objects(rng, 2), rng)
    tracker = model.inst_interactive_predictor.model
    stored = {t: {"eff_iou_score": quality} for t, quality in enumerate(rollout.quality) if t}
    for least in (-1.0, float(np.median(rollout.quality)), 2.0):
        tracker.mf_threshold, before = least, tracker.mf_threshold
        for frame in range(1, 5):
            known = {t: out for t, out in stored.items() if t < frame}
            memory = {"non_cond_frame_outputs": known}
            chosen = Sam3TrackerBase.frame_filter(tracker, memory, False, frame, 5, 1)
            assert rollout.choose_remembered(tracker, frame) == [t for t in chosen if t]
        tracker.mf_threshold = before


def test_exchanged_memories_are_of_another_shape_that_looks_different(model: Sam3Image) -> None:
    rng = np.random.default_rng(5)
    footage = make_source(model, 5).draw_scattered()
    objects = footage.pick_objects(rng, 3)
    rollout = roll_out(model, footage, objects, rng)
    marked = dataclasses.replace(
        rollout, pointers=torch.arange(len(objects)).expand(len(footage.trunk), -1)[..., None]
    )
    whose = [marked.exchange_some(rng, footage.looks, 3).pointers[..., 0] for _ in range(30)]
    own = torch.arange(len(objects))
    assert all(torch.equal(table[0], own) for table in whose)
    assert any(not torch.equal(table[3], own) for table in whose)
    assert all(torch.equal(table[3], table[-1]) for table in whose)
    alike = (("red", "circle"),) * len(footage.looks)
    kept = marked.exchange_some(rng, alike, 3).pointers[..., 0]
    assert torch.equal(kept, own.expand_as(kept))


def test_a_rollout_knows_where_a_shape_was_lost(model: Sam3Image) -> None:
    rng = np.random.default_rng(5)
    footage = make_source(model, 5).draw_moving(5)
    objects = footage.pick_objects(rng, 2)
    real = footage.coverage[:, objects] > 0.5
    counts = footage.counts[:, objects]
    assert not find_lost(real, real, counts).any()
    elsewhere = real.roll(40, dims=-1) & ~real
    assert find_lost(elsewhere, real, counts)[counts].all()
    nothing = torch.zeros_like(real)
    assert np.array_equal(find_lost(nothing, real, counts), counts)


def test_a_clip_can_be_asked_for_in_which_a_lookalike_enters(model: Sam3Image) -> None:
    footage = make_source(model, 7).draw_moving(9, like_share=0.0, entering_share=1.0)
    beside_new = find_new_lookalikes(footage.counts, footage.looks)
    assert beside_new[:, footage.counts[0]].any()
    assert not (beside_new & ~footage.counts).any()


def test_a_lookalike_is_new_for_some_frames_after_it_entered() -> None:
    looks = (("red", "circle"), ("red", "circle"), ("blue", "circle"))
    visible = np.ones((12, 3), bool)
    visible[:3, 1] = visible[:5, 2] = False
    found = find_new_lookalikes(visible, looks)
    assert np.flatnonzero(found[:, 0]).tolist() == [3, 4, 5, 6, 7, 8]
    assert not found[:, 1:].any()


def test_the_share_of_a_mask_that_lies_on_other_shapes_is_added_to_its_loss() -> None:
    own, other = torch.zeros(2, 1, 1, 40, 40)
    own[..., 5:15, 5:15] = other[..., 25:35, 25:35] = 1
    quality = torch.full((1, 4), 0.5)
    for mask, share in ((own, 0.0), (own + other, 0.5), (other, 1.0)):
        logits = (20 * (2 * mask - 1)).expand(-1, 4, -1, -1)
        alone, _ = compute_object_losses(logits, quality, own)
        beside, _ = compute_object_losses(logits, quality, own, other)
        # Of the single mask and of the best of three.
        assert float(beside - alone) == pytest.approx(2 * OTHERS_WEIGHT * share, rel=0.02, abs=1e-3)


def test_scattered_shapes_are_elsewhere_on_each_frame_and_none_looks_like_another(
    model: Sam3Image,
) -> None:
    footage = make_source(model, 6).draw_scattered()
    assert len(set(footage.looks)) == len(footage.looks)
    shown = footage.coverage[:, footage.counts.all(axis=0)] > 0.5
    assert shown.shape[1]
    both = (shown[1:] & shown[:-1]).flatten(2).sum(2)
    either = (shown[1:] | shown[:-1]).flatten(2).sum(2)
    assert float((both / either).mean()) < 0.3
