"""Weights held in bfloat16 give the numbers of autocast over float32 weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from infer_segment_anything_3.engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from infer_segment_anything_3.engine.checkpoints.loader import load_model
from infer_segment_anything_3.engine.checkpoints.reader import read_tensors
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights
from infer_segment_anything_3.engine.model.build import build_model_without_weights
from infer_segment_anything_3.engine.model.config import SAM3
from infer_segment_anything_3.engine.model.weight_precision import (
    find_bfloat16_names,
    hold_in_bfloat16,
)
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene


def test_layers_that_stay_float32() -> None:
    model = build_model_without_weights(SAM3)
    held = find_bfloat16_names(model)
    kept = {name for name, _ in model.named_parameters()} - held
    layers = {name.rsplit(".", 1)[0] for name in kept}
    # Run with autocast switched off by the package.
    for index in range(SAM3.decoder_layers):
        for linear in ("linear1", "linear2"):
            assert f"transformer.decoder.layers.{index}.{linear}.weight" in kept
    assert "backbone.vision_backbone.trunk.pos_embed" in kept
    assert "backbone.vision_backbone.trunk.ln_pre.weight" in kept
    assert "backbone.language_backbone.encoder.token_embedding.weight" in kept
    assert "transformer.decoder.query_embed.weight" in kept
    # Norms, embeddings and rotary tables by kind.
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.Embedding):
            assert not [name for own, _ in module.named_parameters() if f"{name}.{own}" in held]
    assert not [name for name in held if "freqs_cis" in name]
    assert "backbone.vision_backbone.trunk.blocks.0.attn.qkv" not in layers
    assert "segmentation_head.pixel_decoder.conv_layers.0" not in layers


def test_held_weights_take_about_half() -> None:
    model = build_model_without_weights(SAM3)
    held = find_bfloat16_names(model)
    parameters = dict(model.named_parameters())
    full = sum(4 * p.numel() for p in parameters.values())
    half = sum((2 if name in held else 4) * p.numel() for name, p in parameters.items())
    assert half / full < 0.55


@pytest.mark.parametrize("source", ["converted in memory", "mapped from a file"])
def test_results_are_bit_identical(
    tmp_path: Path, scene: Callable[..., Scene], source: str
) -> None:
    path = find_weights("tiny_shapes")
    model = load_model("tiny_shapes", path, "cpu")
    expected = Engine(model, 280, "bfloat16")
    if source == "converted in memory":
        held_model = load_model("tiny_shapes", path, "cpu")
        hold_in_bfloat16(held_model)
    else:
        held = {
            n.replace("inst_interactive_predictor.model.", "") for n in find_bfloat16_names(model)
        }
        stored = {
            name: tensor.bfloat16() if name.split(".", 1)[1] in held else tensor.float()
            for name, tensor in read_tensors(path).items()
        }
        save_file(stored, tmp_path / "half.safetensors")
        held_model = load_model(
            "tiny_shapes", tmp_path / "half.safetensors", "cpu", precision="bfloat16"
        )
    assert held_model.transformer.encoder.layers[0].linear1.weight.dtype == torch.bfloat16
    engine = Engine(held_model, 280, "bfloat16")
    shown = scene(3)
    left, top, right, bottom = shown.shapes[0].xyxy
    concept = ConceptPrompt(
        texts=("circle", "square", "star"),
        exemplars_xyxy=(shown.shapes[0].xyxy,),
        confidence_threshold=0.05,
    )
    click = PromptedObject(points_xy=(((left + right) / 2, (top + bottom) / 2),))
    for prompt in (concept, ObjectPrompt((click,), multimask=True)):
        ours, theirs = (e.segment(shown.image, prompt).instances for e in (engine, expected))
        assert len(ours) == len(theirs) > 0
        for one, two in zip(ours, theirs, strict=True):
            assert (one.score, one.box_xyxy) == (two.score, two.box_xyxy)
            assert np.array_equal(one.mask.crop, two.mask.crop)
