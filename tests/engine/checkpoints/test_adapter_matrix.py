"""An adapter of every family of modules merges into a base of either layout as peft merges it."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from infer_segment_anything_3.engine.checkpoints import adapter_config
from infer_segment_anything_3.engine.checkpoints.adapters import merge_adapter
from infer_segment_anything_3.engine.checkpoints.errors import AdapterError
from infer_segment_anything_3.engine.checkpoints.layouts import (
    convert_to_model_names,
    recognize_layout,
)
from infer_segment_anything_3.engine.checkpoints.loader import load_model
from infer_segment_anything_3.engine.checkpoints.reader import read_tensors
from infer_segment_anything_3.engine.checkpoints.writer import save_weights
from infer_segment_anything_3.engine.checkpoints.zoo import MODELS, find_weight_files

peft = pytest.importorskip("peft")
pytest.importorskip("transformers")

LAYERS = r"transformer\.{}\.layers\.\d\."
META_FAMILIES = {
    "fusion: self-attention": LAYERS.format("encoder") + "self_attn",
    "fusion: text": LAYERS.format("encoder") + "cross_attn_image",
    "decoder: self-attention": LAYERS.format("decoder") + "self_attn",
    "decoder: text": LAYERS.format("decoder") + "ca_text",
    "decoder: image": LAYERS.format("decoder") + "cross_attn",
    "mask head: text": r"segmentation_head\.cross_attend_prompt",
    "geometry encoder": r"geometry_encoder\.encode\.\d\.(self_attn|cross_attn_image)",
    "text encoder": r"backbone\.language_backbone\.encoder\.transformer\.resblocks\.\d\.attn",
    "perceptrons": r"transformer\..*\.(linear1|linear2)",
    "heads": r"(dot_prod_scoring\..*proj|transformer\.decoder\.bbox_embed\.layers\.\d)",
    "image encoder": r"backbone\.vision_backbone\.trunk\.blocks\.\d\.(attn\.qkv|mlp\.fc1)",
    "neck": r"backbone\.vision_backbone\.convs\.\d\.conv_[13]x[13]",
    "mask decoder": r".*sam_mask_decoder\.transformer\.layers\.\d\.self_attn\.[qkv]_proj",
}
TRANSFORMERS_FAMILIES = {
    "image encoder": r"vision_encoder\.backbone\.layers\.\d\.attention\.[qkvo]_proj",
    "neck": r"vision_encoder\.neck\..*proj[12]",
    "text encoder": r"text_encoder\..*self_attn\..*_proj",
    "fusion": r"detr_encoder\.layers\.\d\.(self_attn|cross_attn)\.._proj",
    "decoder": r"detr_decoder\.layers\.\d\.(self_attn|text_cross_attn|vision_cross_attn)\.._proj",
    "mask head": r"mask_decoder\.prompt_cross_attn\.._proj",
    "geometry encoder": r"geometry_encoder\.layers\.\d\.(self_attn|cross_attn)\.._proj",
    "scoring": r"dot_product_scoring\.(query_proj|text_proj)",
}


@dataclasses.dataclass(frozen=True)
class Bases:
    """The same random weights in files of both layouts, by name, and as transformers' model."""

    meta: Path
    states: dict[str, dict[str, Tensor]]
    video_model: Any


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bases]:
    from infer_segment_anything_3.tools.transformers_models import (
        SMALL,
        make_video_model,
        save_as_released,
    )

    folder = tmp_path_factory.mktemp("bases")
    with pytest.MonkeyPatch.context() as patch:
        spec = dataclasses.replace(MODELS["tiny_shapes"], architecture=SMALL)
        patch.setitem(MODELS, "small", spec)
        model = make_video_model(SMALL)
        released = save_as_released(model, folder / "transformers")
        meta = folder / "meta.safetensors"
        save_weights(load_model("small", released, "cpu").state_dict(), meta, torch.float32)
        states = {}
        for path in (released, meta):
            tensors = read_tensors(path)
            states[path.name] = convert_to_model_names(tensors, recognize_layout(tensors, path))
        yield Bases(meta, states, model)


def adapt(model: nn.Module, folder: Path, target: str) -> nn.Module:
    config = peft.LoraConfig(r=2, lora_alpha=3, init_lora_weights=False, target_modules=target)
    adapted = peft.get_peft_model(model, config)
    adapted.save_pretrained(folder)
    return adapted


def assert_merges(bases: Bases, folder: Path, expected: dict[str, Tensor]) -> None:
    """Compares an adapter on the bases of both layouts with what peft merges."""
    assert len(bases.states) == 2
    for state in bases.states.values():
        merged = merge_adapter(state, folder)
        changed = {name for name in merged if not torch.equal(merged[name], state[name])}
        assert changed and changed <= set(expected)
        # A file may hold what no route uses, in one layout or the other.
        for name in merged.keys() & expected.keys():
            assert (merged[name] - expected[name]).abs().max() < 1e-6, name


@pytest.mark.parametrize("family", META_FAMILIES)
def test_adapter_of_metas_modules(bases: Bases, tmp_path: Path, family: str) -> None:
    model = load_model("small", bases.meta, "cpu")
    adapted = adapt(model, tmp_path, META_FAMILIES[family])
    assert_merges(bases, tmp_path, adapted.merge_and_unload().state_dict())


@pytest.mark.parametrize("family", TRANSFORMERS_FAMILIES)
def test_adapter_of_transformers_modules(bases: Bases, tmp_path: Path, family: str) -> None:
    model = copy.deepcopy(bases.video_model)
    detector = adapt(model.detector_model, tmp_path, TRANSFORMERS_FAMILIES[family])
    model.detector_model = detector.merge_and_unload()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    layout = recognize_layout(state, tmp_path)
    assert_merges(bases, tmp_path, convert_to_model_names(state, layout))


def test_every_attention_of_the_detector_has_a_family(bases: Bases) -> None:
    model = load_model("small", bases.meta, "cpu")
    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            assert any(re.fullmatch(target, name) for target in META_FAMILIES.values()), name


def adapt_attention(bases: Bases, folder: Path, **config: Any) -> Tensor:
    """Saves an adapter of one attention; returns the update of its output projection, once."""
    model = load_model("small", bases.meta, "cpu")
    adapt(model, folder, r"segmentation_head\.cross_attend_prompt")
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    factors = load_file(folder / "adapter_model.safetensors")
    name = "base_model.model.segmentation_head.cross_attend_prompt.base_layer.out_proj.lora_{}"
    down, up = (factors[name.format(letter) + ".weight"] for letter in "AB")
    return 1.5 * up @ down


def get_update(bases: Bases, folder: Path) -> Tensor:
    named = find_weight_files("small", f"{bases.meta} + {folder}")
    name = "segmentation_head.cross_attend_prompt.out_proj.weight"
    before = load_model("small", bases.meta, "cpu").state_dict()[name]
    return load_model("small", named, "cpu").state_dict()[name] - before


@pytest.mark.parametrize("version", [None, "0.17.0", "0.21.2"])
def test_known_versions_add_the_output_twice(
    bases: Bases, tmp_path: Path, version: str | None
) -> None:
    once = adapt_attention(bases, tmp_path, peft_version=version)
    assert torch.allclose(get_update(bases, tmp_path), 2 * once, atol=1e-6)


def test_newer_version_is_asked(
    bases: Bases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft.tuners.lora import layer

    once = adapt_attention(bases, tmp_path, peft_version="9.1.0")
    with pytest.raises(AdapterError, match=r"written by peft 9\.1\.0.*Install peft==9\.1\.0"):
        get_update(bases, tmp_path)
    # A peft that is mended: the attention merges its output projection, which does not once more.
    monkeypatch.setattr(peft, "__version__", "9.1.0")
    adapter_config.measure_output_updates.cache_clear()
    assert adapter_config.measure_output_updates() == 2
    monkeypatch.setattr(layer.Linear, "merge", lambda self, *args, **kwargs: None)
    adapter_config.measure_output_updates.cache_clear()
    try:
        assert torch.allclose(get_update(bases, tmp_path), once, atol=1e-6)
    finally:
        adapter_config.measure_output_updates.cache_clear()
