"""A training makes an adapter that loads, goes on after a stop, and changes nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from infer_segment_anything_3.engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights
from infer_segment_anything_3.engine.images import decode_image
from infer_segment_anything_3.training.observer import StoppedByUserError

from .conftest import STEPS, StopAfter, Train

CONCEPTS = ConceptPrompt(texts=("circle", "yellow thing"), confidence_threshold=0.01)
CLICK = ObjectPrompt((PromptedObject(points_xy=((100.0, 100.0),)),))


def read_factors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def test_folder_holds_everything(trained: Any) -> None:
    names = {path.name for path in trained.out.iterdir()}
    assert {"adapter", "scores.md", "scores.json", "loss_curve.png", "contact_sheet.png"} <= names
    assert json.loads((trained.out / "job.json").read_text())["is_done"]
    table = (trained.out / "scores.md").read_text()
    assert "| score | before | after |" in table
    for group in ("new concepts, by text", "exemplar box", "known before", "absent", "clicks"):
        assert group in table
    assert any(
        tensor.any() for name, tensor in read_factors(trained.adapter).items() if "_B" in name
    )


def test_adapter_changes_concepts_and_not_clicks(trained: Any, scenes: Path) -> None:
    image = decode_image(str(next(scenes.glob("*.png"))))
    engines = [
        Engine.load("tiny_shapes", weights, "cpu", "float32")
        for weights in (None, f"+ {trained.adapter}")
    ]
    before, after = (engine.segment(image, CONCEPTS) for engine in engines)
    assert before.best_scores != after.best_scores
    one, two = (engine.segment(image, CLICK).instances[0] for engine in engines)
    assert np.array_equal(one.mask.full(), two.mask.full()) and one.score == two.score


def test_adapter_loads_as_the_trained_model(
    train: Train, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infer_segment_anything_3.training import stages

    kept: list[Any] = []
    save = stages._save_adapter

    def keep(adapted: Any, root: Path) -> None:
        save(adapted, root)
        adapted.model.training = False
        kept.append(adapted.model)

    monkeypatch.setattr(stages, "_save_adapter", keep)
    result = train(tmp_path / "out", learning_rate=0.01)
    own = Engine(kept[0], 280, "float32", most_threads=1)
    loaded = Engine.load("tiny_shapes", f"+ {result.adapter}", "cpu", "float32")
    compared = 0
    for path in sorted(scenes.glob("*.png")):
        image = decode_image(str(path))
        expected, got = own.segment(image, CONCEPTS), loaded.segment(image, CONCEPTS)
        assert np.allclose(expected.best_scores, got.best_scores, atol=1e-5)
        for one, two in zip(expected.instances, got.instances, strict=True):
            assert abs(one.score - two.score) < 1e-5
            # Only pixels at the threshold may differ.
            assert (one.mask.full() != two.mask.full()).sum() <= 2
            compared += 1
    assert compared


def test_engine_and_weights_stay_as_they_are(train: Train, scenes: Path, tmp_path: Path) -> None:
    file = find_weights("tiny_shapes")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    engine = Engine.load("tiny_shapes", None, "cpu", "float32")
    before = {name: tensor.clone() for name, tensor in engine.model.state_dict().items()}
    state = torch.random.get_rng_state()
    train(tmp_path / "out", steps=1)
    assert torch.equal(state, torch.random.get_rng_state())
    for name, tensor in engine.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert hashlib.sha256(file.read_bytes()).hexdigest() == digest


def test_stopped_training_goes_on_to_the_same_adapter(
    train: Train, trained: Any, tmp_path: Path
) -> None:
    observer = StopAfter(3)
    with pytest.raises(StoppedByUserError, match="goes on"):
        train(tmp_path / "out", observer=observer)
    # A checkpoint that was cut off, as by a kill in the middle of writing it.
    broken = tmp_path / "out" / "checkpoints" / "checkpoint-4"
    shutil.copytree(broken.with_name("checkpoint-3"), broken)
    (broken / "complete").unlink()
    (broken / "optimizer.pt").write_bytes(b"cut")
    again = StopAfter()
    result = train(tmp_path / "out", observer=again)
    assert [p.step for p in again.steps] == [STEPS]
    expected = read_factors(trained.adapter)
    for name, tensor in read_factors(result.adapter).items():
        assert (tensor - expected[name]).abs().max() < 1e-5, name


def test_progress_has_loss_score_and_time_left(train: Train, tmp_path: Path) -> None:
    observer = StopAfter()
    train(tmp_path / "out", observer=observer, steps=3, score_every=1)
    last = observer.steps[-1]
    assert (last.step, last.steps) == (3, 3)
    assert last.loss > 0 and last.score is not None and last.seconds_left == 0


def test_done_folder_is_not_trained_again(train: Train, trained: Any) -> None:
    observer = StopAfter()
    result = train(trained.out, observer=observer)
    assert not observer.steps and result.scores == trained.scores
    assert "done already" in observer.sentences[-1]


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"parts": "fusion"}, "parts"), ({"seed": 3}, "seed"), ({"rename": {}}, "rename")],
)
def test_other_settings_are_refused_by_name(
    train: Train, trained: Any, changed: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=f"^{named}: this folder was begun with"):
        train(trained.out, **changed)


def test_full_disk_is_told_before_it_is_full(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1))
    with pytest.raises(OSError, match=r"GiB free; the encoded images need"):
        train(tmp_path / "out")


@pytest.mark.parametrize("parts", ["fusion", "detector+image"])
def test_other_parts(train: Train, tmp_path: Path, parts: str) -> None:
    result = train(tmp_path / "out", parts=parts, steps=1)
    names = read_factors(result.adapter)
    assert any("vision_backbone.trunk" in name for name in names) is (parts == "detector+image")
    assert any("transformer.decoder" in name for name in names) is (parts == "detector+image")


def test_adapter_as_base_is_refused(train: Train, trained: Any, tmp_path: Path) -> None:
    from infer_segment_anything_3.engine.model_options import ModelOptions

    model = ModelOptions("tiny_shapes", f"+ {trained.adapter}")
    with pytest.raises(ValueError, match="merge the adapter first"):
        train(tmp_path / "out", model=model)
