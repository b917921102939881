"""The concept route: everything like a text or an exemplar, through ``Sam3Processor``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert

from ..model.sam3_imports import FindStage, GeometricPrompt, Sam3Image, Sam3Processor
from ..prompts import ConceptPrompt
from ..results import Instance
from .cache import LruCache, tensor_bytes
from .grounding import Grounding

VISUAL = "visual"
"""The text that tells the model to go by the exemplars alone; also their class name."""

MAX_TEXTS = 1000


class PromptProcessor(Sam3Processor):
    """The package's processor, which encodes each text once and only collects prompts.

    ``set_text_prompt`` and ``add_geometric_prompt`` of the package run the whole grounding
    each time they are called; here :func:`ground` runs it once, when all is said.
    """

    def __init__(self, model: Sam3Image, resolution: int, device: torch.device) -> None:
        """Wraps a model.

        Args:
            model: The model.
            resolution: Side of its input, in pixels.
            device: Where it is.
        """
        super().__init__(model, resolution=resolution, device=device)
        self._texts: LruCache[str, dict[str, Tensor]] = LruCache(
            MAX_TEXTS, 256 * 1024**2, lambda features: tensor_bytes([features])
        )
        self.text_encodings = 0
        """Texts encoded so far."""
        self.text_encoder_rests = False
        """Whether the text encoder lies in the CPU's memory while it is not used."""

    def rest_text_encoder(self) -> None:
        """Moves the text encoder to the CPU's memory; a new text brings it back for a while."""
        self.text_encoder_rests = True
        self.model.backbone.language_backbone.to("cpu")

    def set_text_prompt(self, prompt: str, state: dict[str, Any]) -> dict[str, Any]:
        """Adds a text, encoded or recalled."""
        features = self._texts.get(prompt)
        if features is None:
            if self.text_encoder_rests:
                self.model.backbone.language_backbone.to(self.device)
            features = self.model.backbone.forward_text([prompt], device=self.device)
            self.text_encodings += 1
            if self.text_encoder_rests:
                self.rest_text_encoder()
            self._texts.put(prompt, features)
        state["backbone_out"].update(features)
        state.setdefault("geometric_prompt", self.model._get_dummy_prompt())
        return state

    def _forward_grounding(self, state: dict[str, Any]) -> dict[str, Any]:
        return state


def prompted_state(
    processor: PromptProcessor, encoded: dict[str, Any], text: str, prompt: ConceptPrompt
) -> dict[str, Any]:
    """A copy of an encoded image's state with one text and the exemplars added.

    Args:
        processor: The processor.
        encoded: The image's state; not changed.
        text: One text, or :data:`VISUAL`.
        prompt: Whose exemplars to add.

    Returns:
        The state to ground.
    """
    state = {**encoded, "backbone_out": dict(encoded["backbone_out"])}
    processor.set_text_prompt(text, state)
    height, width = encoded["original_height"], encoded["original_width"]
    for box, is_like in zip(prompt.exemplars_xyxy, labels_of(prompt), strict=True):
        size = torch.tensor([width, height, width, height], dtype=torch.float32)
        cxcywh = box_convert(torch.tensor(box, dtype=torch.float32), "xyxy", "cxcywh") / size
        processor.add_geometric_prompt(cxcywh.tolist(), bool(is_like), state)
    return state


def labels_of(prompt: ConceptPrompt) -> tuple[int, ...]:
    """Labels of its exemplars, all 1 where none were given."""
    return prompt.exemplar_labels or (1,) * len(prompt.exemplars_xyxy)


def texts_of(prompt: ConceptPrompt) -> tuple[str, ...]:
    """Its texts, or :data:`VISUAL` where there are exemplars alone."""
    return prompt.texts or (VISUAL,)


class PromptTokens(NamedTuple):
    """P encoded prompts: text and exemplars.

    Attributes:
        prompt: (tokens, P, width).
        prompt_mask: (P, tokens) bool, True for padding.
    """

    prompt: Tensor
    prompt_mask: Tensor


class Decoded(NamedTuple):
    """What the detector gives for P prompts, up to its mask head.

    Attributes:
        outputs: The decoder's outputs by name, with boxes and logits of every query.
        queries: The queries after each layer, (layers, P, Q, width).
        memory: The image as fused with each prompt, (cells, P, width).
        feature_hw: Height and width of the feature maps, as the mask head wants them.
        prompt: The encoded prompts, (tokens, P, width).
        prompt_mask: (P, tokens) bool, True for padding.
        features: The image's features.
    """

    outputs: dict[str, Any]
    queries: Tensor
    memory: Tensor
    feature_hw: Any
    prompt: Tensor
    prompt_mask: Tensor
    features: dict[str, Any]


def find_stage(image_index: Tensor, text_index: Tensor) -> FindStage:
    """Which image and which text each of P prompts is about, both (P,) int64."""
    return FindStage(
        img_ids=image_index,
        text_ids=text_index,
        input_boxes=None,
        input_boxes_mask=None,
        input_boxes_label=None,
        input_points=None,
        input_points_mask=None,
    )


def decode(
    model: Sam3Image, features: dict[str, Any], find: FindStage, exemplars: GeometricPrompt
) -> Decoded:
    """Runs what ``Sam3Image.forward_grounding`` does before its mask head.

    Args:
        model: The model.
        features: Of the images and of the texts, as its backbone gives them.
        find: P prompts.
        exemplars: Their boxes.

    Returns:
        What was decoded.
    """
    prompt, prompt_mask, features = model._encode_prompt(features, find, exemplars)
    return decode_tokens(model, features, find, PromptTokens(prompt, prompt_mask))


def decode_tokens(
    model: Sam3Image, features: dict[str, Any], find: FindStage, tokens: PromptTokens
) -> Decoded:
    """Runs :func:`decode` with prompts that were encoded before, perhaps on another image.

    Args:
        model: The model.
        features: Of the images.
        find: P prompts.
        tokens: Their tokens.

    Returns:
        What was decoded.
    """
    prompt, prompt_mask = tokens
    features, encoded, _ = model._run_encoder(features, find, prompt, prompt_mask)
    memory = encoded["encoder_hidden_states"]
    outputs, queries = model._run_decoder(
        memory=memory,
        pos_embed=encoded["pos_embed"],
        src_mask=encoded["padding_mask"],
        out={},
        prompt=prompt,
        prompt_mask=prompt_mask,
        encoder_out=encoded,
    )
    feature_hw = encoded["vis_feat_sizes"]
    return Decoded(outputs, queries, memory, feature_hw, prompt, prompt_mask, features)


def ground(
    model: Sam3Image, states: list[dict[str, Any]], tokens: PromptTokens | None = None
) -> list[Grounding]:
    """Runs encoder and decoder for several prompts on one image, in one forward.

    Without the mask head, which an absent concept does not need.

    Args:
        model: The model.
        states: One prompted state for each concept, of the same image and with equally
            many exemplars.
        tokens: Of those concepts, where they were encoded before; else they are now.

    Returns:
        One grounding for each.
    """
    device = model.device
    count = len(states)
    features = dict(states[0]["backbone_out"])
    for name, dim in (("language_features", 1), ("language_mask", 0), ("language_embeds", 1)):
        features[name] = torch.cat([s["backbone_out"][name] for s in states], dim=dim)
    index = torch.arange(count, device=device)
    find = find_stage(torch.zeros_like(index), index)
    prompts: list[GeometricPrompt] = [s["geometric_prompt"] for s in states]
    exemplars = GeometricPrompt(
        box_embeddings=torch.cat([p.box_embeddings for p in prompts], dim=1),
        box_mask=torch.cat([p.box_mask for p in prompts], dim=0),
        box_labels=torch.cat([p.box_labels for p in prompts], dim=1),
    )
    if tokens is None:
        decoded = decode(model, features, find, exemplars)
    else:
        decoded = decode_tokens(model, features, find, tokens)
    out = decoded.outputs
    presence = out["presence_logit_dec"].sigmoid().unsqueeze(1)
    scores = (out["pred_logits"].sigmoid() * presence).float()
    # In one transfer, so that a GPU is waited for once; what follows is small.
    found = torch.cat([scores, out["pred_boxes"].float()], dim=-1).cpu()
    return [
        Grounding(
            scores=found[i, :, 0].contiguous(),
            boxes_cxcywh=found[i, :, 1:].contiguous(),
            mask_head_inputs={
                "backbone_feats": decoded.features["backbone_fpn"],
                # The head looks at the last layer's queries only.
                "obj_queries": decoded.queries[-1:, i : i + 1],
                "image_ids": find.img_ids[i : i + 1],
                "encoder_hidden_states": decoded.memory[:, i : i + 1],
                "prompt": decoded.prompt[:, i : i + 1],
                "prompt_mask": decoded.prompt_mask[i : i + 1],
            },
        )
        for i in range(count)
    ]


def thresholds_of(prompt: ConceptPrompt) -> tuple[float, ...]:
    """The threshold of each text."""
    own = prompt.thresholds or (None,) * len(texts_of(prompt))
    return tuple(prompt.confidence_threshold if t is None else t for t in own)


def sorted_by_class(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Instances by class, then falling score."""
    order = np.lexsort(([-i.score for i in instances], [i.class_index for i in instances]))
    return tuple(instances[k] for k in order)
