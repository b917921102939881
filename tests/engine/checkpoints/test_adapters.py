"""LoRA adapters merge into either layout as peft itself merges them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from infer_segment_anything_3.engine.checkpoints import errors as weight_errors
from infer_segment_anything_3.engine.checkpoints.loader import load_model
from infer_segment_anything_3.engine.checkpoints.zoo import find_weight_files, find_weights

peft = pytest.importorskip("peft")

VIT = r"backbone\.vision_backbone\.trunk\.blocks\.\d\.(attn\.qkv|attn\.proj|mlp\.fc1)"


def adapt(model: nn.Module, folder: Path, **options: Any) -> dict[str, torch.Tensor]:
    """Saves a random adapter of a model; returns the weights that peft merges."""
    config = peft.LoraConfig(r=4, lora_alpha=6, init_lora_weights=False, **options)
    adapted = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "modules_to_save" in name:
                parameter += 0.1
    adapted.save_pretrained(folder)
    return {k: v.clone() for k, v in adapted.merge_and_unload().state_dict().items()}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"target_modules": VIT}, id="fused qkv"),
        pytest.param({"target_modules": VIT, "use_rslora": True}, id="rank-stabilized"),
        pytest.param(
            {"target_modules": VIT, "rank_pattern": {"mlp.fc1": 2}, "alpha_pattern": {"qkv": 3}},
            id="a rank and scale for each module",
        ),
        pytest.param(
            {"target_modules": r"backbone\.vision_backbone\.convs\.\d\.conv_[13]x[13]"},
            id="convolutions",
        ),
        pytest.param(
            {"target_modules": r"transformer\.encoder\.layers\.\d\.self_attn"},
            id="attention of torch",
        ),
        pytest.param(
            {"target_modules": VIT, "modules_to_save": ["presence_token_head"]},
            id="a part trained as a whole",
        ),
    ],
)
def test_adapter_of_metas_modules(tmp_path: Path, options: dict[str, Any]) -> None:
    base = find_weights("tiny_shapes")
    model = load_model("tiny_shapes", base, "cpu")
    expected = adapt(model, tmp_path, **options)
    merged = load_model("tiny_shapes", find_weight_files("tiny_shapes", f"+ {tmp_path}"), "cpu")
    plain = load_model("tiny_shapes", base, "cpu").state_dict()
    changed = 0
    for name, tensor in merged.state_dict().items():
        assert (tensor - expected[name]).abs().max() < 1e-6, name
        changed += not torch.equal(tensor, plain[name])
    assert changed


def test_adapter_of_transformers_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    import dataclasses

    from infer_segment_anything_3.engine.checkpoints.zoo import MODELS
    from infer_segment_anything_3.tools.transformers_models import (
        SMALL,
        make_video_model,
        save_as_released,
    )

    spec = dataclasses.replace(MODELS["tiny_shapes"], architecture=SMALL)
    monkeypatch.setitem(MODELS, "small", spec)
    model = make_video_model(SMALL).detector_model
    base = save_as_released(model, tmp_path / "base")
    adapt(model, tmp_path / "adapter", target_modules=["q_proj", "v_proj", "o_proj", "fc2"])
    expected = save_as_released(model, tmp_path / "merged")
    named = f"{base} + {tmp_path / 'adapter'}"
    merged = load_model("small", find_weight_files("small", named), "cpu").state_dict()
    for name, tensor in load_model("small", expected, "cpu").state_dict().items():
        assert (tensor - merged[name]).abs().max() < 1e-6, name


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    adapt(load_model("tiny_shapes", find_weights("tiny_shapes"), "cpu"), folder, target_modules=VIT)
    return folder


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "shown"),
    [
        (lambda folder: (folder / "adapter_config.json").unlink(), "no adapter_config.json"),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "cannot be read"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "no adapter_model"),
        (lambda folder: edit_config(folder, use_dora=True), "LORA with use_dora"),
        (lambda folder: edit_config(folder, peft_type="IA3"), "type IA3"),
    ],
)
def test_adapters_that_are_refused(tmp_path: Path, adapter: Path, damage: Any, shown: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(adapter, folder)
    damage(folder)
    with pytest.raises(weight_errors.AdapterError, match=shown) as caught:
        load_model("tiny_shapes", find_weight_files("tiny_shapes", f"+ {folder}"), "cpu")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_adapter_of_another_model(tmp_path: Path) -> None:
    adapt(nn.Sequential(nn.Linear(8, 8)), tmp_path, target_modules=["0"])
    with pytest.raises(weight_errors.AdapterError, match="adapts 0, which this model does not"):
        load_model("tiny_shapes", find_weight_files("tiny_shapes", f"+ {tmp_path}"), "cpu")


def test_missing_adapter_folder() -> None:
    with pytest.raises(weight_errors.WeightFileNotFoundError, match="No adapter at '/no/such'"):
        find_weight_files("tiny_shapes", "+ /no/such")


def test_another_adapter_is_another_model(adapter: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(adapter, folder)
    plain = find_weight_files("tiny_shapes")
    one, two = (find_weight_files("tiny_shapes", f"+ {f}") for f in (adapter, folder))
    assert len({plain.identity, one.identity, two.identity}) == 3
    assert str(one) == f"{plain.base} + {adapter}"
