"""Files as image tools write them: half precision, fp8 with and without scales, prefixes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from infer_segment_anything_3.cli.app import main
from infer_segment_anything_3.engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from infer_segment_anything_3.engine.checkpoints import errors as weight_errors
from infer_segment_anything_3.engine.checkpoints.reader import read_tensors
from infer_segment_anything_3.engine.checkpoints.scaled_weights import restore_scaled_weights
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights
from infer_segment_anything_3.tools.tiny_shapes.scenes import draw_scene

E4M3 = torch.float8_e4m3fn


def write_fp8(
    state: dict[str, Tensor], style: str, prefix: str = "", dtype: torch.dtype = E4M3
) -> dict[str, Tensor]:
    """The weights of matrix products in fp8, as the tools of that style store them."""
    written = {"scaled_fp8": torch.zeros(2, dtype=dtype)} if style == "scale_weight" else {}
    for name, tensor in state.items():
        if not (name.endswith(".weight") and tensor.dim() == 2 and min(tensor.shape) > 16):
            written[name] = tensor.to(torch.bfloat16) if tensor.dtype == torch.half else tensor
            continue
        whole = tensor.float()
        layer = name.removesuffix(".weight")
        if style == "plain":
            written[name] = whole.to(dtype)
            continue
        largest = whole.abs().amax(1, keepdim=True) if style == "rows" else whole.abs().max()
        scale = (largest / torch.finfo(dtype).max).clamp(min=1e-12)
        written[name] = (whole / scale).to(dtype)
        if style == "scale_weight":
            written[f"{layer}.scale_weight"] = scale.reshape(1)
            written[f"{layer}.scale_input"] = torch.ones(1)
        else:
            written[f"{layer}.weight_scale"] = scale
            settings = json.dumps({"format": "float8_e4m3fn"}).encode()
            written[f"{layer}.comfy_quant"] = torch.tensor(list(settings), dtype=torch.uint8)
    return {prefix + name: tensor.contiguous() for name, tensor in written.items()}


def compute_iou(one: np.ndarray, two: np.ndarray) -> float:
    return float((one & two).sum() / (one | two).sum())


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return read_tensors(find_weights("tiny_shapes"))


@pytest.mark.parametrize(
    ("style", "prefix"),
    [
        ("plain", ""),
        ("scale_weight", "model.diffusion_model."),
        ("weight_scale", "model."),
        ("rows", "sam3."),
    ],
)
def test_fp8_files_find_what_the_float32_model_finds(
    state: dict[str, Tensor],
    tiny_engine: Engine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    style: str,
    prefix: str,
) -> None:
    path = tmp_path / "tiny_fp8.safetensors"
    save_file(write_fp8(state, style, prefix), path)
    engine = Engine.load("tiny_shapes", path, "cpu", "float32")
    scene = draw_scene(np.random.default_rng(3), (240, 300))
    left, top, right, bottom = scene.shapes[0].xyxy
    for prompt in (
        ConceptPrompt(texts=("circle", "square", "triangle", "star")),
        ObjectPrompt((PromptedObject(box_xyxy=(left, top, right, bottom)),)),
    ):
        ours, other = (e.segment(scene.image, prompt).instances for e in (tiny_engine, engine))
        assert len(ours) == len(other) > 0
        for one in ours:
            near = [compute_iou(one.mask.full(), two.mask.full()) for two in other]
            assert max(near) > 0.9
    assert main(["weights", "show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "float8_e4m3fn" in shown
    assert "concepts yes, objects yes, video tracking yes" in shown


def test_scales_are_multiplied_exactly() -> None:
    stored = torch.tensor([[1.5, -2.0], [0.5, 448.0]]).to(E4M3)
    restored = restore_scaled_weights(
        {
            "a.weight": stored,
            "a.weight_scale": torch.tensor(0.25),
            "b.weight": stored,
            "b.scale_weight": torch.tensor([[2.0], [0.5]]),
            "c.bias": stored[0],
            "scaled_fp8": torch.zeros(0).to(E4M3),
        },
        Path("x"),
    )
    assert restored.keys() == {"a.weight", "b.weight", "c.bias"}
    assert torch.equal(restored["a.weight"], torch.tensor([[0.375, -0.5], [0.125, 112.0]]))
    assert torch.equal(restored["b.weight"], torch.tensor([[3.0, -4.0], [0.25, 224.0]]))
    assert torch.equal(restored["c.bias"], torch.tensor([1.5, -2.0]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e5m2])
@pytest.mark.parametrize("prefix", ["model.", "diffusion_model.", "sam3.", "module.model."])
def test_prefixes_and_half_precision(
    state: dict[str, Tensor], tmp_path: Path, dtype: torch.dtype, prefix: str
) -> None:
    path = tmp_path / "tiny.safetensors"
    save_file({prefix + k: v.to(dtype) for k, v in state.items()}, path)
    loaded = Engine.load("tiny_shapes", path, "cpu", "float32").model.state_dict()
    name = "backbone.vision_backbone.trunk.blocks.0.attn.qkv.weight"
    assert torch.equal(loaded[name], state["detector." + name].to(dtype).float())


@pytest.mark.parametrize("prefix", ["detector.", "", "diffusion_model.detector."])
def test_a_file_of_the_detector_alone(
    state: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    part = {k: v for k, v in state.items() if k.startswith("detector.")}
    path = tmp_path / "detector.safetensors"
    save_file({prefix + k.removeprefix("detector."): v for k, v in part.items()}, path)
    assert main(["weights", "show", str(path)]) == 0
    assert "concepts yes, objects no, video tracking no" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("a.weight", "a.weight.absmax", "a.weight.quant_map"), "bitsandbytes"),
        (("a.qweight", "a.qzeros", "a.scales"), "GPTQ"),
        (("a.weight", "a.weight_scale", "a.weight_scale_2"), "NVFP4"),
        (("a.weight", "a.weight_scale_inv"), "a scale for each block"),
    ],
)
def test_other_quantizations_are_refused_with_what_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: tuple[str, ...], kind: str
) -> None:
    path = tmp_path / "quantized.safetensors"
    save_file({f"detector.{name}": torch.zeros(2, 2) for name in names}, path)
    with pytest.raises(weight_errors.QuantizedWeightsError, match=kind):
        Engine.load("tiny_shapes", path, "cpu")
    assert main(["weights", "show", str(path)]) == 2
    assert kind in capsys.readouterr().err


def test_int8_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "int8.safetensors"
    tensors = {"a.weight": torch.zeros(2, 2, dtype=torch.int8), "a.weight_scale": torch.ones(1)}
    save_file(tensors, path)
    with pytest.raises(weight_errors.QuantizedWeightsError, match=r"a\.weight is int8"):
        Engine.load("tiny_shapes", path, "cpu")


def test_a_gguf_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sam3.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(weight_errors.NotACheckpointError, match="GGUF"):
        Engine.load("tiny_shapes", path, "cpu")
