"""Runs the package's detector for several prompts on one image, up to its mask head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..model.sam3_imports import FindStage, GeometricPrompt, Sam3Image
from .concept_output import ConceptOutput


class PromptTokens(NamedTuple):
    """Holds P encoded prompts: text and exemplars.

    Exemplars are encoded on the image where they lie; the tokens find what is like them on
    others, too.

    Attributes:
        prompt: (tokens, P, width).
        prompt_mask: (P, tokens) bool, True for padding.
    """

    prompt: Tensor
    prompt_mask: Tensor

    def split(self) -> list[PromptTokens]:
        """Splits the tokens by prompt; the parts share no memory with each other."""
        return [
            PromptTokens(self.prompt[:, i : i + 1].clone(), self.prompt_mask[i : i + 1].clone())
            for i in range(len(self.prompt_mask))
        ]

    @classmethod
    def join(cls, parts: Sequence[PromptTokens]) -> PromptTokens:
        """Joins the tokens of prompts with equally many tokens."""
        return cls(
            torch.cat([part.prompt for part in parts], dim=1),
            torch.cat([part.prompt_mask for part in parts], dim=0),
        )


class DetectorOutput(NamedTuple):
    """Holds the output of the detector for P prompts, without masks.

    Attributes:
        outputs: The decoder's outputs by name, with boxes and logits of every query.
        queries: The queries after each layer, (layers, P, Q, width).
        memory: The image features fused with each prompt, (cells, P, width).
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


def make_find_stage(image_index: Tensor, text_index: Tensor) -> FindStage:
    """Makes the package's input that gives the image and the text of each of P prompts."""
    return FindStage(
        img_ids=image_index,
        text_ids=text_index,
        input_boxes=None,
        input_boxes_mask=None,
        input_boxes_label=None,
        input_points=None,
        input_points_mask=None,
    )


def run_detector(
    model: Sam3Image, features: dict[str, Any], find: FindStage, exemplars: GeometricPrompt
) -> DetectorOutput:
    """Runs what ``Sam3Image.forward_grounding`` does before its mask head.

    Args:
        model: The model.
        features: Of the images and of the texts, as its backbone returns them.
        find: P prompts.
        exemplars: Their boxes.

    Returns:
        The detector's output.
    """
    prompt, prompt_mask, features = model._encode_prompt(features, find, exemplars)
    return run_detector_on_tokens(model, features, find, PromptTokens(prompt, prompt_mask))


def run_detector_on_tokens(
    model: Sam3Image, features: dict[str, Any], find: FindStage, tokens: PromptTokens
) -> DetectorOutput:
    """Runs :func:`run_detector` with prompts encoded before, perhaps on another image.

    Args:
        model: The model.
        features: Of the images, as its backbone returns them.
        find: P prompts.
        tokens: Their tokens.

    Returns:
        The detector's output.
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
    return DetectorOutput(outputs, queries, memory, feature_hw, prompt, prompt_mask, features)


def encode_prompts(model: Sam3Image, states: Sequence[dict[str, Any]]) -> PromptTokens:
    """Encodes the texts and exemplars of several prompts on the image of their exemplars.

    Args:
        model: The model.
        states: One prompted state for each, of the same image and with equally many exemplars.

    Returns:
        Their tokens.
    """
    features, find, exemplars = _join_states(model, states)
    prompt, prompt_mask, _ = model._encode_prompt(features, find, exemplars)
    return PromptTokens(prompt, prompt_mask)


def decode_concepts(
    model: Sam3Image, states: Sequence[dict[str, Any]], tokens: PromptTokens | None = None
) -> list[ConceptOutput]:
    """Runs the detector for several prompts on one image, in one forward pass.

    Without the mask head, which an absent concept does not need.

    Args:
        model: The model.
        states: One prompted state for each concept, of the same image and with equally
            many exemplars.
        tokens: Of those concepts, where they were encoded before, perhaps on another image;
            else they are encoded now.

    Returns:
        One output for each.
    """
    features, find, exemplars = _join_states(model, states)
    if tokens is None:
        detected = run_detector(model, features, find, exemplars)
    else:
        detected = run_detector_on_tokens(model, features, find, tokens)
    return list(split_by_prompt(detected, find))


def _join_states(
    model: Sam3Image, states: Sequence[dict[str, Any]]
) -> tuple[dict[str, Any], FindStage, GeometricPrompt]:
    """Joins P prompted states of one image: its features with P texts, and P exemplar sets."""
    features = dict(states[0]["backbone_out"])
    for name, dim in (("language_features", 1), ("language_mask", 0), ("language_embeds", 1)):
        features[name] = torch.cat([s["backbone_out"][name] for s in states], dim=dim)
    index = torch.arange(len(states), device=model.device)
    find = make_find_stage(torch.zeros_like(index), index)
    prompts: list[GeometricPrompt] = [s["geometric_prompt"] for s in states]
    exemplars = GeometricPrompt(
        box_embeddings=torch.cat([p.box_embeddings for p in prompts], dim=1),
        box_mask=torch.cat([p.box_mask for p in prompts], dim=0),
        box_labels=torch.cat([p.box_labels for p in prompts], dim=1),
    )
    return features, find, exemplars


def split_by_prompt(detected: DetectorOutput, find: FindStage) -> Iterator[ConceptOutput]:
    """Splits the detector's output for P prompts into one output a prompt.

    Args:
        detected: The detector's output.
        find: The P prompts.

    Yields:
        P outputs that share no memory with each other.
    """
    out = detected.outputs
    presence = out["presence_logit_dec"].sigmoid().unsqueeze(1)
    scores = (out["pred_logits"].sigmoid() * presence).float()
    # In one transfer, so that a GPU is waited for once; what follows is small.
    found = torch.cat([scores, out["pred_boxes"].float()], dim=-1).cpu()
    count = len(found)
    for i in range(count):
        parts = {
            # The head looks at the last layer's queries only.
            "obj_queries": detected.queries[-1:, i : i + 1],
            "image_ids": find.img_ids[i : i + 1],
            "encoder_hidden_states": detected.memory[:, i : i + 1],
            "prompt": detected.prompt[:, i : i + 1],
            "prompt_mask": detected.prompt_mask[i : i + 1],
        }
        # A view would keep the whole batch in memory for as long as one prompt is cached.
        owned = {name: part.clone() if count > 1 else part for name, part in parts.items()}
        yield ConceptOutput(
            scores=found[i, :, 0].clone(),
            boxes_cxcywh=found[i, :, 1:].clone(),
            mask_head_inputs={"backbone_feats": detected.features["backbone_fpn"], **owned},
        )
