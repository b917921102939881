"""Runs concept prompts on encoded images with gradients: from prompts to what losses need."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..engine.inference.detection import PromptTokens, make_find_stage, run_detector_on_tokens
from ..engine.model.sam3_imports import GeometricPrompt, Sam3Image

TextEncoder = Callable[[list[str]], dict[str, Tensor]]
"""Encodes different texts to the entries that ``forward_text`` returns."""


@dataclasses.dataclass(frozen=True)
class PromptBatch:
    """Holds P concept prompts over the images of a batch.

    Attributes:
        image_index: (P,) int64.
        exemplar_index: Image on which each prompt's exemplars lie, (P,) int64.
        texts: P texts.
        exemplars: (E, P, 4) float32, normalized cxcywh.
        exemplar_labels: (E, P) bool, True for "like this".
        exemplar_padding: (P, E) bool, True where there is no exemplar.
    """

    image_index: Tensor
    exemplar_index: Tensor
    texts: list[str]
    exemplars: Tensor
    exemplar_labels: Tensor
    exemplar_padding: Tensor


def pack_exemplars(
    boxes: Sequence[Sequence[npt.NDArray[np.float32]]], labels: Sequence[Sequence[bool]]
) -> dict[str, Tensor]:
    """Packs the exemplars of P prompts, padded to the most that one of them has.

    Args:
        boxes: For each prompt its boxes, (4,) float32, normalized cxcywh.
        labels: For each box whether it is "like this".

    Returns:
        ``exemplars``, ``exemplar_labels`` and ``exemplar_padding`` of :class:`PromptBatch`.
    """
    most, count = max(len(b) for b in boxes), len(boxes)
    packed = np.zeros((most, count, 4), np.float32)
    packed_labels = np.zeros((most, count), bool)
    padding = np.ones((count, most), bool)
    for p, (own, own_labels) in enumerate(zip(boxes, labels, strict=True)):
        for e, (box, positive) in enumerate(zip(own, own_labels, strict=True)):
            packed[e, p], packed_labels[e, p], padding[p, e] = box, positive, False
    return {
        "exemplars": torch.from_numpy(packed),
        "exemplar_labels": torch.from_numpy(packed_labels),
        "exemplar_padding": torch.from_numpy(padding),
    }


def run_concept_route(
    model: Sam3Image,
    features: dict[str, Any],
    prompts: PromptBatch,
    with_masks: Tensor,
    encode_texts: TextEncoder | None = None,
) -> dict[str, Any]:
    """Runs concepts as ``Sam3Image.forward_grounding`` does, with masks for some prompts.

    Args:
        model: The model.
        features: What ``forward_image`` gave.
        prompts: P prompts.
        with_masks: Indices of the prompts to predict masks for.
        encode_texts: Encodes texts; the model's own encoder by default, with gradients.

    Returns:
        The decoder's outputs, with ``mask_prompts``.
    """
    device = with_masks.device
    texts = sorted(set(prompts.texts))
    if encode_texts is None:
        encoded = model.backbone.forward_text(texts, device=device)
    else:
        encoded = encode_texts(texts)
    features = {**features, **encoded}
    text_index = torch.tensor([texts.index(t) for t in prompts.texts], device=device)
    find = make_find_stage(prompts.image_index.to(device), text_index)
    shown = make_find_stage(prompts.exemplar_index.to(device), text_index)
    exemplars = GeometricPrompt(
        box_embeddings=prompts.exemplars.to(device),
        box_labels=prompts.exemplar_labels.long().to(device),
        box_mask=prompts.exemplar_padding.to(device),
    )
    prompt, prompt_mask, features = model._encode_prompt(features, shown, exemplars)
    tokens = PromptTokens(prompt, prompt_mask)
    decoded = run_detector_on_tokens(model, features, find, tokens)
    outputs = decoded.outputs
    if len(with_masks):
        model._run_segmentation_heads(
            out=outputs,
            backbone_out=decoded.features,
            img_ids=find.img_ids[with_masks],
            vis_feat_sizes=decoded.feature_hw,
            encoder_hidden_states=decoded.memory[:, with_masks],
            prompt=decoded.prompt[:, with_masks],
            prompt_mask=decoded.prompt_mask[with_masks],
            hs=decoded.queries[:, with_masks],
        )
    outputs["mask_prompts"] = with_masks
    return outputs
