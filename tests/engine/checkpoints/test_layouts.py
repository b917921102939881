"""The layout of a checkpoint is recognized by its keys."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from infer_segment_anything_3.engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from infer_segment_anything_3.engine.checkpoints import errors as weight_errors
from infer_segment_anything_3.engine.checkpoints.layouts import recognize_layout
from infer_segment_anything_3.engine.checkpoints.loader import load_model, supports_video
from infer_segment_anything_3.engine.checkpoints.reader import read_tensors
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights
from infer_segment_anything_3.engine.model.config import SAM3
from infer_segment_anything_3.tests.multiplex_file import as_multiplex, write_multiplex_file
from infer_segment_anything_3.tools.tiny_shapes.scenes import draw_scene

PATH = Path("file.pt")


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("detector.transformer.decoder.norm.weight", "Meta's SAM 3"),
        ("transformer.decoder.norm.weight", "Meta's SAM 3"),
        ("tracker.model.interactive_sam_mask_decoder.x", "SAM 3.1 (multiplex)"),
        (
            "detector.backbone.vision_backbone.interactive_convs.0.conv_1x1.weight",
            "SAM 3.1 (multiplex)",
        ),
        ("detector_model.vision_encoder.backbone.layer_norm.weight", "Sam3VideoModel"),
        ("detr_decoder.query_embed.weight", "Sam3Model"),
        ("shared_image_embedding.positional_embedding", "Sam3TrackerModel"),
    ],
)
def test_layouts_that_load(name: str, layout: str) -> None:
    assert layout in recognize_layout([name, "other.weight"], PATH).name


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("image_encoder.trunk.blocks.0.attn.qkv.weight", "SAM 2"),
        ("vision_encoder.backbone.blocks.0.attn.qkv.weight", "SAM 2"),
        ("image_encoder.blocks.0.attn.qkv.weight", "SAM 1"),
        ("vision_encoder.layers.0.attn.qkv.weight", "SAM 1"),
    ],
)
def test_other_models_are_refused(name: str, model: str) -> None:
    with pytest.raises(weight_errors.OtherModelError) as caught:
        recognize_layout([name, "memory_attention.x"], PATH)
    assert f"{PATH} holds the weights of {model}" in str(caught.value)
    assert "sam3.pt of facebook/sam3" in str(caught.value)


def test_multiplex_answers_as_the_same_weights_in_metas_layout(
    tmp_path: Path, tiny_engine: Engine
) -> None:
    path = write_multiplex_file(tmp_path)
    engine = Engine.load("tiny_shapes", path, "cpu", "float32")
    scene = draw_scene(np.random.default_rng(3), (240, 300))
    text = ConceptPrompt(texts=("circle", "square", "triangle", "star"))
    left, top, right, bottom = scene.shapes[0].xyxy
    box = ObjectPrompt((PromptedObject(box_xyxy=(left, top, right, bottom)),))
    for prompt in (text, box):
        ours, other = (e.segment(scene.image, prompt) for e in (tiny_engine, engine))
        assert len(ours.instances) == len(other.instances) > 0
        for one, two in zip(ours.instances, other.instances, strict=True):
            assert np.array_equal(one.mask.crop, two.mask.crop)
    # The quality of a click is the logit of what Meta's layout gives.
    score = engine.segment(scene.image, box).instances[0].score
    expected = tiny_engine.segment(scene.image, box).instances[0].score
    assert torch.tensor(score).sigmoid() == pytest.approx(expected, abs=1e-5)
    assert not supports_video(engine.model)


def test_multiplex_lacks_a_weight(tmp_path: Path) -> None:
    state = as_multiplex(read_tensors(find_weights("tiny_shapes")))
    del state["tracker.model.interactivity_no_mem_embed"]
    path = tmp_path / "sam3.1_multiplex.pt"
    torch.save({"model": state}, path)
    with pytest.raises(weight_errors.MissingKeysError, match=r"SAM 3\.1 .*no_mem_embed"):
        load_model("tiny_shapes", path, "cpu")


def test_multiplex_changes_no_other_size() -> None:
    layout = recognize_layout(["tracker.model.interactive_sam_mask_decoder.x"], PATH)
    changed = dataclasses.replace(SAM3, **layout.architecture_changes)
    assert changed.neck_scales == SAM3.neck_scales[:3]
    assert not changed.iou_uses_sigmoid
    assert changed.has_multiplex
    same = {name: getattr(SAM3, name) for name in layout.architecture_changes}
    assert dataclasses.replace(changed, **same) == SAM3
