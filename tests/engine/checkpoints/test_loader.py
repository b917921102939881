"""Loading checkpoints as people have them, with the bundled model's own weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from infer_segment_anything_3.engine.checkpoints import errors as weight_errors
from infer_segment_anything_3.engine.checkpoints.loader import load_model, supports_objects
from infer_segment_anything_3.engine.checkpoints.writer import save_weights
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights, get_file_identity
from infer_segment_anything_3.engine.model.build import build_model
from infer_segment_anything_3.engine.model.config import TINY_SHAPES
from infer_segment_anything_3.engine.model.vocabulary import find_bpe_vocabulary

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def bundled() -> State:
    """The bundled checkpoint, by the names in the file."""
    return load_file(find_weights("tiny_shapes"))


@pytest.fixture(scope="module")
def reference() -> State:
    """What the bundled model's parameters and buffers must be."""
    path = find_weights("tiny_shapes")
    return load_model("tiny_shapes", path, "cpu").state_dict()


def detector_only(state: State) -> State:
    return {name: value for name, value in state.items() if name.startswith("detector.")}


def without(state: State, part: str) -> State:
    return {name: value for name, value in state.items() if part not in name}


def renamed(state: State, rename: Callable[[str], str]) -> State:
    return {rename(name): value for name, value in state.items()}


def plain_names(state: State) -> State:
    """Names as ``Sam3Image.state_dict()`` has them."""
    prefix = "inst_interactive_predictor.model."
    return renamed(
        state,
        lambda name: (
            name.removeprefix("detector.")
            if name.startswith("detector.")
            else prefix + name.removeprefix("tracker.")
        ),
    )


def test_meta_layout_is_what_the_package_saves(bundled: State) -> None:
    assert {name.split(".")[0] for name in bundled} == {"detector", "tracker"}
    assert not [name for name in bundled if "freqs_cis" in name]


def test_bundled_model_equals_a_plain_load(bundled: State, reference: State) -> None:
    model = build_model(TINY_SHAPES)
    result = model.load_state_dict(plain_names(bundled), strict=False)
    assert all("freqs_cis" in name for name in result.missing_keys)
    assert not result.unexpected_keys
    expected = model.state_dict()
    assert expected.keys() == reference.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, reference[name]), name
        assert tensor.dtype == reference[name].dtype, name


def test_loaded_model_is_ready_to_run() -> None:
    path = find_weights("tiny_shapes")
    model = load_model("tiny_shapes", path, "cpu")
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert supports_objects(model)


LAYOUTS: dict[str, Callable[[State], Any]] = {
    "as released": lambda state: state,
    "in model": lambda state: {"model": state, "optimizer": {"state": {}}, "epoch": 3},
    "in state_dict": lambda state: {"state_dict": state},
    "wrapped twice": lambda state: {"model": {"state_dict": state}},
    "module prefix": lambda state: {"model": renamed(state, lambda name: "module." + name)},
    "compiled": lambda state: renamed(state, lambda name: "_orig_mod." + name),
    "no detector prefix": plain_names,
    "bfloat16": lambda state: {name: value.bfloat16() for name, value in state.items()},
    "float64": lambda state: {name: value.double() for name, value in state.items()},
    "video leftovers": lambda state: {
        **state,
        "detector.transformer.decoder.instance_query_embed.weight": torch.zeros(4, 64),
    },
}


@pytest.mark.parametrize(
    ("layout", "kind"), [*((layout, "zip") for layout in LAYOUTS), ("in model", "legacy")]
)
def test_layouts_that_load(
    tmp_path: Path, bundled: State, reference: State, layout: str, kind: str
) -> None:
    path = tmp_path / f"fine tuned ünïcode {kind}.pt"
    saved = LAYOUTS[layout](bundled)
    torch.save(saved, path, _use_new_zipfile_serialization=kind == "zip")
    loaded = load_model("tiny_shapes", path, "cpu").state_dict()
    assert loaded.keys() == reference.keys()
    for name, tensor in loaded.items():
        assert tensor.dtype == reference[name].dtype
        if layout != "bfloat16":
            assert torch.equal(tensor, reference[name]), name


@pytest.mark.parametrize("neck", [True, False], ids=["with its neck", "without its neck"])
def test_without_tracker_concepts_work_and_objects_do_not(
    tmp_path: Path, bundled: State, caplog: pytest.LogCaptureFixture, neck: bool
) -> None:
    state = detector_only(bundled)
    path = tmp_path / "detector.safetensors"
    save_file(state if neck else without(state, "sam2_convs"), path)
    model = load_model("tiny_shapes", path, "cpu")
    assert not supports_objects(model)
    assert model.backbone.vision_backbone.sam2_convs is None
    assert "objects do not" in caplog.text
    image = torch.zeros(1, 3, TINY_SHAPES.image_size, TINY_SHAPES.image_size)
    with torch.inference_mode():
        assert model.backbone.forward_image(image)["sam2_backbone_out"] is None


@pytest.mark.parametrize("shape", ["right", "of another side", "real"])
def test_rotary_tables_of_a_file(
    tmp_path: Path, bundled: State, reference: State, shape: str
) -> None:
    name = "backbone.vision_backbone.trunk.blocks.0.attn.freqs_cis"
    own = reference[name]
    table = {"right": own * 2, "of another side": own[:9], "real": own.real.half()}[shape]
    path = tmp_path / "rotary.pt"
    torch.save({**bundled, "detector." + name: table}, path)
    loaded = load_model("tiny_shapes", path, "cpu").state_dict()[name]
    assert torch.equal(loaded, own * 2 if shape == "right" else own)


@pytest.mark.parametrize(
    ("change", "error", "shown"),
    [
        (
            lambda state: without(state, "presence_token_head"),
            weight_errors.MissingKeysError,
            "lacks 6 of the",
        ),
        (
            lambda state: without(state, "obj_ptr_proj"),
            weight_errors.MissingKeysError,
            "inst_interactive_predictor.model.obj_ptr_proj",
        ),
        (
            lambda state: {**state, "tracker.no_mem_embed": torch.zeros(1, 1, 256)},
            weight_errors.WrongShapesError,
            "is (1, 1, 256) and should be (1, 1, 64)",
        ),
        (
            lambda state: {**state, "detector.adapter.weight": torch.zeros(3)},
            weight_errors.UnexpectedKeysError,
            "adapter.weight",
        ),
        # The package's own loader replaces "detector." anywhere in a name.
        (
            lambda state: renamed(state, lambda name: name.replace("convs", "detector.convs")),
            weight_errors.MissingKeysError,
            "convs",
        ),
    ],
)
def test_incomplete_and_foreign_weights(
    tmp_path: Path,
    bundled: State,
    change: Callable[[State], State],
    error: type[Exception],
    shown: str,
) -> None:
    path = tmp_path / "model.safetensors"
    save_file(change(bundled), path)
    assert_refused(path, error, shown)


def assert_refused(path: Path, error: type[Exception], advice: str) -> None:
    with pytest.raises(weight_errors.WeightFileError) as caught:
        load_model("tiny_shapes", path, "cpu")
    assert isinstance(caught.value, error)
    assert advice in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_the_other_architecture_name_the_parameter() -> None:
    path = find_weights("tiny_shapes")
    with pytest.raises(weight_errors.WeightFileError, match="model_name"):
        load_model("sam3", path, "cpu")


def test_save_and_load_again(tmp_path: Path, reference: State) -> None:
    path = tmp_path / "new folder" / "weights.safetensors"
    save_weights(reference, path)
    assert path.stat().st_size < 16 * 2**20
    assert list(path.parent.iterdir()) == [path]
    loaded = load_model("tiny_shapes", path, "cpu").state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in reference.items())


def test_weights_that_float16_cannot_hold_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(ValueError, match="not finite"):
        save_weights({"x": torch.tensor([1e6])}, path)
    assert not path.exists()


def test_identity_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    before = get_file_identity(path)
    assert get_file_identity(path) == before
    path.write_bytes(b"three")
    assert get_file_identity(path) != before


def test_bpe_vocabulary_is_the_one_sam3_was_trained_with() -> None:
    data = Path(find_bpe_vocabulary()).read_bytes()
    expected = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
    assert hashlib.sha256(data).hexdigest() == expected
