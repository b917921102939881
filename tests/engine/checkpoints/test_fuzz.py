"""Mutated checkpoints and adapters: read, or refused in one line that names the file."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from infer_segment_anything_3.engine.checkpoints.adapters import merge_adapter
from infer_segment_anything_3.engine.checkpoints.errors import WeightFileError
from infer_segment_anything_3.engine.checkpoints.reader import read_tensors
from infer_segment_anything_3.tests.fuzzing import (
    FEW,
    MANY,
    bound_memory,
    examples,
    mutate_bytes,
    stop_hang,
)

MODULE = "backbone.vision_backbone.trunk.blocks.0.mlp.fc1"
WEIGHTS = {f"{MODULE}.weight": torch.ones(6, 4), f"{MODULE}.bias": torch.ones(6)}
FACTORS = {
    f"base_model.model.{MODULE}.lora_A.weight": torch.ones(2, 4),
    f"base_model.model.{MODULE}.lora_B.weight": torch.ones(6, 2),
}
CONFIG = {
    "peft_type": "LORA",
    "r": 2,
    "lora_alpha": 4,
    "rank_pattern": {"mlp.fc1": 2},
    "alpha_pattern": {"fc1": 8},
    "use_rslora": False,
}
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 8),
    st.floats(allow_subnormal=False),
    st.sampled_from([10**400, 0, "x", "(", [], {}, {"(": 2}, {"fc1": None}, {"fc1": "a"}]),
    st.dictionaries(st.text(max_size=4), st.integers(-1, 4), max_size=2),
)


def write_checkpoint(folder: Path, name: str) -> Path:
    path = folder / name
    if name.endswith(".safetensors"):
        save_file(WEIGHTS, path)
    elif name.endswith(".json"):
        save_file(WEIGHTS, folder / "a.safetensors")
        path.write_text(json.dumps({"weight_map": dict.fromkeys(WEIGHTS, "a.safetensors")}))
    else:
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=name != "old.pt")
    return path


def write_adapter(folder: Path) -> None:
    save_file(FACTORS, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG))


def fuzz(
    path: Path, contents: st.SearchStrategy[bytes], read: Callable[[], Any], count: int
) -> None:
    outcomes = {"read": 0, "refused": 0}

    @examples(count)
    @given(contents)
    def try_one(content: bytes) -> None:
        # A file that is mapped must not be changed below its reader.
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        with stop_hang():
            try:
                found = read()
            except WeightFileError as error:
                text = str(error)
                assert str(path.parent) in text, text
                assert "\n" not in text
                assert len(text) < 900
                outcomes["refused"] += 1
            else:
                assert all(isinstance(value, torch.Tensor) for value in found.values())
                outcomes["read"] += 1

    with bound_memory(300):
        try_one()
    assert outcomes["refused"] > count // 10, outcomes


@st.composite
def configs(draw: st.DrawFn) -> bytes:
    config: dict[str, Any] = copy.deepcopy(CONFIG)
    for name in draw(st.lists(st.sampled_from(list(CONFIG)), min_size=1, max_size=3)):
        config[name] = draw(VALUES)
    content = json.dumps(config).encode()
    return draw(mutate_bytes(content)) if draw(st.integers(0, 3)) == 0 else content


CHECKPOINTS = ("new.pt", "old.pt", "a.safetensors", "model.safetensors.index.json")


def fuzz_checkpoint(folder: Path, name: str, count: int) -> None:
    path = write_checkpoint(folder, name)
    fuzz(path, mutate_bytes(path.read_bytes()), lambda: read_tensors(path), count)


def fuzz_adapter(folder: Path, name: str, count: int) -> None:
    write_adapter(folder)
    path = folder / name
    contents = configs() if name.endswith("json") else mutate_bytes(path.read_bytes())
    fuzz(path, contents, lambda: merge_adapter(WEIGHTS, folder), count)


ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_mutated_checkpoints(tmp_path: Path, name: str) -> None:
    fuzz_checkpoint(tmp_path, name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_many_mutated_checkpoints(tmp_path: Path, name: str) -> None:
    fuzz_checkpoint(tmp_path, name, MANY)


@pytest.mark.parametrize("name", ADAPTER_FILES)
def test_mutated_adapters(tmp_path: Path, name: str) -> None:
    fuzz_adapter(tmp_path, name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", ADAPTER_FILES)
def test_many_mutated_adapters(tmp_path: Path, name: str) -> None:
    fuzz_adapter(tmp_path, name, MANY)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lora_alpha": float("inf")}, "lora_alpha: expected a number, got inf"),
        ({"r": 0}, "r: expected a number above 0, got 0"),
        ({"alpha_pattern": {"fc1": "a"}}, "alpha_pattern.'fc1': expected a number, got 'a'"),
        ({"rank_pattern": {"(": 2}}, "rank_pattern: expected names of modules"),
        ({"rank_pattern": {"(a+)+": 2}}, "rank_pattern: expected names of modules"),
    ],
)
def test_adapters_numbers(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    write_adapter(tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps(CONFIG | change))
    with pytest.raises(WeightFileError) as caught:
        merge_adapter(WEIGHTS, tmp_path)
    assert reason in str(caught.value)


def test_index_that_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": path.name}}))
    with pytest.raises(WeightFileError, match="names another index"):
        read_tensors(path)
