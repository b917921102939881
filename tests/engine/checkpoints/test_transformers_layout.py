"""Files of the ``transformers`` library give what that library computes from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from infer_segment_anything_3.engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from infer_segment_anything_3.engine.checkpoints import errors as weight_errors
from infer_segment_anything_3.engine.checkpoints.loader import load_model, supports_video
from infer_segment_anything_3.engine.checkpoints.zoo import MODELS, find_weights
from infer_segment_anything_3.engine.inference.interactive import ObjectDecoder
from infer_segment_anything_3.engine.model.config import SAM3, Architecture
from infer_segment_anything_3.engine.model.sam3_imports import FindStage, Sam3Image
from infer_segment_anything_3.engine.runtime.execution import ModelExecution

pytest.importorskip("transformers")

from transformers import Sam3ImageProcessor, Sam3TrackerModel, Sam3VideoModel

from infer_segment_anything_3.tools.transformers_models import (
    NO_BOX,
    SMALL,
    make_video_model,
    save_as_released,
)

LOGITS, SCORES = 1e-3, 1e-4
CLICK = PromptedObject(points_xy=((100.0, 120.0), (50.0, 60.0)), point_labels=(1, 0))
BOX = PromptedObject(box_xyxy=(40.0, 50.0, 200.0, 210.0))


@dataclasses.dataclass(frozen=True)
class Pair:
    """One set of weights in both implementations, and one image as the model gets it."""

    theirs: Sam3VideoModel
    tracker: Sam3TrackerModel
    ours: Sam3Image
    pixels: Tensor
    file: Path


def make_pair(architecture: Architecture, folder: Path, side: int) -> Pair:
    """Both implementations with the same weights, set to a side of the model's input."""
    theirs = make_video_model(dataclasses.replace(architecture, image_size=side))
    file = save_as_released(theirs, folder)
    ours = load_model("small", file, "cpu", side)
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1
    tracker = Sam3TrackerModel.from_pretrained(folder).eval()
    return Pair(theirs, tracker, ours, pixels, file)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A small pair at its own size, for tests of files."""
    with pytest.MonkeyPatch.context() as patch:
        spec = dataclasses.replace(MODELS["tiny_shapes"], architecture=SMALL)
        patch.setitem(MODELS, "small", spec)
        yield make_pair(SMALL, tmp_path_factory.mktemp("released"), SMALL.image_size)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((SMALL, 280), id="small"),
        pytest.param((SMALL, 224), id="small at 224"),
        pytest.param((SAM3, 1008), id="full size", marks=pytest.mark.slow),
        pytest.param((SAM3, 672), id="full size at 672", marks=pytest.mark.slow),
    ],
)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    architecture, side = request.param
    with pytest.MonkeyPatch.context() as patch:
        name = "tiny_shapes" if architecture is SMALL else "sam3"
        spec = dataclasses.replace(MODELS[name], architecture=architecture)
        patch.setitem(MODELS, "small", spec)
        yield make_pair(architecture, tmp_path_factory.mktemp("transformers"), side)


def compare(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    assert ours.shape == theirs.shape
    assert theirs.std() > 20 * tolerance, "the tolerance would hide a difference"
    assert (ours - theirs).abs().max() < tolerance


@pytest.mark.parametrize(
    ("boxes_cxcywh", "labels"),
    [
        pytest.param(*NO_BOX, id="text"),
        pytest.param([[0.3, 0.4, 0.2, 0.3]], [1], id="text and exemplar"),
        pytest.param([[0.3, 0.4, 0.2, 0.3], [0.6, 0.7, 0.2, 0.1]], [1, 0], id="negative exemplar"),
    ],
)
@torch.inference_mode()
def test_concepts_agree(pair: Pair, boxes_cxcywh: list[list[float]], labels: list[int]) -> None:
    model, text = pair.ours, "red circle"
    features = model.backbone.forward_image(pair.pixels)
    features.update(model.backbone.forward_text([text], device="cpu"))
    exemplars = model._get_dummy_prompt()
    if labels != NO_BOX[1]:
        exemplars.append_boxes(
            torch.tensor(boxes_cxcywh)[:, None], torch.tensor(labels, dtype=torch.bool)[:, None]
        )
    first = torch.tensor([0])
    find = FindStage(
        img_ids=first,
        text_ids=first,
        input_boxes=None,
        input_boxes_mask=None,
        input_boxes_label=None,
        input_points=None,
        input_points_mask=None,
    )
    ours = model.forward_grounding(
        backbone_out=features, find_input=find, geometric_prompt=exemplars, find_target=None
    )
    tokens = model.backbone.language_backbone.tokenizer([text], context_length=32)
    theirs = pair.theirs.detector_model(
        pixel_values=pair.pixels,
        input_ids=tokens.long(),
        attention_mask=(tokens != 0).long(),
        input_boxes=torch.tensor([boxes_cxcywh]),
        input_boxes_labels=torch.tensor([labels]),
    )
    compare(ours["pred_masks"], theirs.pred_masks, LOGITS)
    compare(ours["pred_logits"][..., 0], theirs.pred_logits, LOGITS)
    compare(ours["pred_boxes_xyxy"], theirs.pred_boxes, SCORES)
    presence = (ours["presence_logit_dec"] - theirs.presence_logits).abs()
    assert presence.max() < LOGITS


@pytest.mark.parametrize("multimask", [True, False], ids=["three masks", "one mask"])
@pytest.mark.parametrize("prompted", [CLICK, BOX], ids=["clicks", "box"])
@torch.inference_mode()
def test_objects_agree(pair: Pair, prompted: PromptedObject, multimask: bool) -> None:
    side = pair.pixels.shape[-1]
    state = {"original_height": side, "original_width": side}
    state["backbone_out"] = encode_for_objects(pair.ours, pair.pixels)
    decoder = ObjectDecoder(pair.ours, ModelExecution(torch.device("cpu")))
    ours = decoder.decode(state, [prompted], multimask, holes_filled=False)
    prompts: dict[str, Tensor] = {}
    if prompted.points_xy:
        prompts["input_points"] = torch.tensor([[prompted.points_xy]])
        prompts["input_labels"] = torch.tensor([[prompted.point_labels]])
    else:
        prompts["input_boxes"] = torch.tensor([[prompted.box_xyxy]])
    embeddings = encode_with_tracker(pair.tracker, pair.pixels)
    theirs = pair.tracker(image_embeddings=embeddings, multimask_output=multimask, **prompts)
    compare(torch.from_numpy(ours.logits), theirs.pred_masks[0], LOGITS)
    scores = np.abs(ours.scores - theirs.iou_scores[0].numpy())
    assert scores.max() < SCORES


def encode_with_tracker(tracker: Sam3TrackerModel, pixels: Tensor) -> list[Tensor]:
    """What ``Sam3TrackerModel.get_image_embeddings`` means to do.

    In transformers 5.24 it adds the embedding for "no memory" to the fourth feature map, which
    it does not use, instead of the third; its video model and Meta's code add it to the third.
    """
    maps = tracker.get_image_features(pixels).fpn_hidden_states[:3]
    maps[-1] = maps[-1] + tracker.no_memory_embedding
    return [
        feature_map.permute(1, 2, 0).view(1, -1, *size)
        for feature_map, size in zip(maps, tracker.backbone_feature_sizes, strict=True)
    ]


def encode_for_objects(model: Sam3Image, pixels: Tensor) -> dict[str, Any]:
    """What ``Sam3Processor.set_image`` does after its own resize."""
    features: dict[str, Any] = model.backbone.forward_image(pixels)
    maps = features["sam2_backbone_out"]["backbone_fpn"]
    decoder = model.inst_interactive_predictor.model.sam_mask_decoder
    maps[0], maps[1] = decoder.conv_s0(maps[0]), decoder.conv_s1(maps[1])
    return features


@pytest.mark.parametrize("size_hw", [(300, 417), (90, 1000), (280, 280)])
def test_preprocessing_agrees(tiny_engine: Engine, size_hw: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), np.uint8)
    side = tiny_engine.image_size
    theirs = Sam3ImageProcessor(size={"height": side, "width": side})(image, return_tensors="pt")
    ours = tiny_engine.processor.transform(torch.from_numpy(image).permute(2, 0, 1))
    assert (theirs["pixel_values"][0] - ours).abs().max() < 1e-5


def as_saved(model: Sam3VideoModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder / "model.safetensors"


def as_shards(model: Sam3VideoModel, folder: Path) -> Path:
    model.save_pretrained(folder, max_shard_size="2MB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    return folder / "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("write", "tolerance"),
    [
        pytest.param(as_saved, 0.0, id="save_pretrained"),
        pytest.param(as_shards, 0.0, id="shards by index"),
        pytest.param(lambda m, f: as_shards(m, f).parent, 0.0, id="shards by folder"),
        pytest.param(
            lambda m, f: save_as_released(m, f, torch.bfloat16), 0.02, id="half precision"
        ),
    ],
)
def test_files_that_load(
    released: Pair,
    tmp_path: Path,
    write: Callable[[Sam3VideoModel, Path], Path],
    tolerance: float,
) -> None:
    path = find_weights("small", write(released.theirs, tmp_path / "saved"))
    loaded = load_model("small", path, "cpu")
    assert supports_video(loaded)
    expected = released.ours.state_dict()
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == expected[name].dtype
        assert torch.allclose(tensor, expected[name], rtol=tolerance, atol=tolerance), name


def test_missing_shard_is_named(released: Pair, tmp_path: Path) -> None:
    index = as_shards(released.theirs, tmp_path)
    removed = sorted(tmp_path.glob("model-*.safetensors"))[1]
    removed.unlink()
    with pytest.raises(weight_errors.WeightFileNotFoundError, match=removed.name):
        load_model("small", index, "cpu")


IMAGE = np.random.default_rng(3).integers(0, 256, (100, 140, 3), np.uint8)
TEXT_PROMPT = ConceptPrompt(texts=("circle",))
CLICK_PROMPT = ObjectPrompt((PromptedObject(points_xy=((50.0, 50.0),)),))


def without_prefix(folder: Path, model: Any) -> Path:
    """Writes a model built by itself, which has no prefixes."""
    return save_as_released(model, folder)


def test_bare_detector_serves_concepts_only(released: Pair, tmp_path: Path) -> None:
    path = without_prefix(tmp_path, released.theirs.detector_model)
    engine = Engine.load("small", path, "cpu", "float32")
    result = engine.segment(IMAGE, TEXT_PROMPT)
    whole = Engine.load("small", released.file, "cpu", "float32").segment(IMAGE, TEXT_PROMPT)
    assert [i.score for i in result.instances] == [i.score for i in whole.instances]
    with pytest.raises(ValueError, match=r"hold no tracker.*not objects"):
        engine.segment(IMAGE, CLICK_PROMPT)
    assert engine.segment(IMAGE, TEXT_PROMPT).instances == result.instances


def test_bare_tracker_serves_objects_only(released: Pair, tmp_path: Path) -> None:
    path = without_prefix(tmp_path, released.tracker)
    engine = Engine.load("small", path, "cpu", "float32")
    result = engine.segment(IMAGE, CLICK_PROMPT)
    whole = Engine.load("small", released.file, "cpu", "float32").segment(IMAGE, CLICK_PROMPT)
    assert [i.score for i in result.instances] == [i.score for i in whole.instances]
    assert not supports_video(engine.model)
    with pytest.raises(ValueError, match=r"hold no detector.*not concepts"):
        engine.segment(IMAGE, TEXT_PROMPT)


def test_tracker_as_saved_after_a_round_trip(released: Pair, tmp_path: Path) -> None:
    released.tracker.save_pretrained(tmp_path)
    loaded = load_model("small", tmp_path / "model.safetensors", "cpu").state_dict()
    expected = released.ours.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.items())


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ("detr_decoder.box_head.layer2.bias", weight_errors.MissingKeysError),
        (
            "vision_encoder.backbone.layers.0.attention.k_proj.weight",
            weight_errors.MissingKeysError,
        ),
    ],
)
def test_errors_name_the_layout(
    released: Pair, tmp_path: Path, part: str, error: type[Exception]
) -> None:
    state = {k: v for k, v in released.theirs.detector_model.state_dict().items() if k != part}
    path = tmp_path / "cut.pt"
    torch.save(state, path)
    with pytest.raises(error, match=r"layout: transformers' Sam3Model\) lacks 1 of the"):
        load_model("small", path, "cpu")
