"""The concept route: everything like a text or an exemplar, through ``Sam3Processor``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sam3.model.box_ops import box_cxcywh_to_xyxy
from sam3.model.data_misc import FindStage
from sam3.model.geometry_encoders import Prompt as GeometricPrompt
from sam3.model.sam3_image import Sam3Image
from sam3.model.sam3_image_processor import Sam3Processor
from torch import Tensor
from torchvision.ops import box_convert

from .caches import LruCache, tensor_bytes
from .masks import CHUNK_BYTES, upscaled_probability_masks
from .prompts import ConceptPrompt
from .results import BoxXyxy, Instance

VISUAL = "visual"
"""The text that tells the model to go by the exemplars alone; also their class name."""

MASK_FLOOR = 0.05
"""Masks of queries above this score are kept, so that a threshold can move down to it."""

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

    def set_text_prompt(self, prompt: str, state: dict[str, Any]) -> dict[str, Any]:
        """Adds a text, encoded or recalled."""
        features = self._texts.get(prompt)
        if features is None:
            features = self.model.backbone.forward_text([prompt], device=self.device)
            self.text_encodings += 1
            self._texts.put(prompt, features)
        state["backbone_out"].update(features)
        state.setdefault("geometric_prompt", self.model._get_dummy_prompt())
        return state

    def _forward_grounding(self, state: dict[str, Any]) -> dict[str, Any]:
        return state


@dataclasses.dataclass
class Grounding:
    """What the decoder gives for one concept on one image; masks follow when asked for.

    Attributes:
        scores: (Q,) float32, presence times query probability.
        boxes_cxcywh: (Q, 4) float32, normalised.
        mask_head_inputs: What the mask head needs.
        masks: Once computed: logits (Q', g, g) of some queries, and for each query its row
            in them, -1 for none, (Q,) int64. In one, so that no interrupt parts them.
    """

    scores: Tensor
    boxes_cxcywh: Tensor
    mask_head_inputs: dict[str, Any]
    masks: tuple[Tensor, Tensor] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes it keeps alive, the image's own features apart."""
        own = {k: v for k, v in self.mask_head_inputs.items() if k != "backbone_feats"}
        return tensor_bytes([self.scores, self.boxes_cxcywh, own, self.masks])


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


def ground(model: Sam3Image, states: list[dict[str, Any]]) -> list[Grounding]:
    """Runs encoder and decoder for several prompts on one image, in one forward.

    Follows ``Sam3Image.forward_grounding`` up to the mask head, which an absent concept
    does not need.

    Args:
        model: The model.
        states: One prompted state for each concept, of the same image and with equally
            many exemplars.

    Returns:
        One grounding for each.
    """
    device = model.device
    count = len(states)
    features = dict(states[0]["backbone_out"])
    for name, dim in (("language_features", 1), ("language_mask", 0), ("language_embeds", 1)):
        features[name] = torch.cat([s["backbone_out"][name] for s in states], dim=dim)
    index = torch.arange(count, device=device)
    find = FindStage(
        img_ids=torch.zeros_like(index),
        text_ids=index,
        input_boxes=None,
        input_boxes_mask=None,
        input_boxes_label=None,
        input_points=None,
        input_points_mask=None,
    )
    prompts: list[GeometricPrompt] = [s["geometric_prompt"] for s in states]
    exemplars = GeometricPrompt(
        box_embeddings=torch.cat([p.box_embeddings for p in prompts], dim=1),
        box_mask=torch.cat([p.box_mask for p in prompts], dim=0),
        box_labels=torch.cat([p.box_labels for p in prompts], dim=1),
    )
    prompt, prompt_mask, features = model._encode_prompt(features, find, exemplars)
    features, encoded, _ = model._run_encoder(features, find, prompt, prompt_mask)
    memory = encoded["encoder_hidden_states"]
    out, queries = model._run_decoder(
        memory=memory,
        pos_embed=encoded["pos_embed"],
        src_mask=encoded["padding_mask"],
        out={},
        prompt=prompt,
        prompt_mask=prompt_mask,
        encoder_out=encoded,
    )
    presence = out["presence_logit_dec"].sigmoid().unsqueeze(1)
    scores = (out["pred_logits"].sigmoid() * presence).squeeze(-1).float()
    return [
        Grounding(
            scores=scores[i],
            boxes_cxcywh=out["pred_boxes"][i].float(),
            mask_head_inputs={
                "backbone_feats": features["backbone_fpn"],
                # The head looks at the last layer's queries only.
                "obj_queries": queries[-1:, i : i + 1],
                "image_ids": find.img_ids[i : i + 1],
                "encoder_hidden_states": memory[:, i : i + 1],
                "prompt": prompt[:, i : i + 1],
                "prompt_mask": prompt_mask[i : i + 1],
            },
        )
        for i in range(count)
    ]


def instances_of(
    model: Sam3Image,
    grounding: Grounding,
    class_index: int,
    threshold: float,
    image_hw: tuple[int, int],
    chunk_bytes: int = CHUNK_BYTES,
) -> list[Instance]:
    """Instances of one concept above a threshold, by falling score.

    Args:
        model: The model.
        grounding: What was decoded for the concept.
        class_index: The concept's index.
        threshold: Instances at or below it are left out.
        image_hw: Size of the masks, in pixels.
        chunk_bytes: Bound on the float32 masks in memory at a time; at least one is made.

    Returns:
        The instances. No network runs when none is above the threshold, or when the masks
        are there from an earlier call.
    """
    kept = (grounding.scores > threshold).nonzero().squeeze(1)
    if not len(kept):
        return []
    kept = kept[grounding.scores[kept].argsort(descending=True, stable=True)]
    logits = _mask_logits(model, grounding, kept, threshold)
    masks = upscaled_probability_masks(logits, image_hw, chunk_bytes)
    boxes = box_cxcywh_to_xyxy(grounding.boxes_cxcywh[kept])
    height, width = image_hw
    boxes = boxes * torch.tensor([width, height, width, height], device=boxes.device)
    return [
        Instance(class_index=class_index, score=score, box_xyxy=_box(box), mask=mask)
        for score, box, mask in zip(
            grounding.scores[kept].tolist(), boxes.tolist(), masks, strict=True
        )
    ]


def _mask_logits(model: Sam3Image, grounding: Grounding, kept: Tensor, threshold: float) -> Tensor:
    if grounding.masks is None or bool((grounding.masks[1][kept] < 0).any()):
        found = model.segmentation_head(**grounding.mask_head_inputs)["pred_masks"][0]
        wanted = (grounding.scores > min(threshold, MASK_FLOOR)).nonzero().squeeze(1)
        rows = torch.full_like(grounding.scores, -1, dtype=torch.long)
        rows[wanted] = torch.arange(len(wanted), device=rows.device)
        grounding.masks = found[wanted], rows
    logits, rows = grounding.masks
    return logits[rows[kept]]


def _box(box: list[float]) -> BoxXyxy:
    left, top, right, bottom = box
    return left, top, right, bottom


def thresholds_of(prompt: ConceptPrompt) -> tuple[float, ...]:
    """The threshold of each text."""
    own = prompt.thresholds or (None,) * len(texts_of(prompt))
    return tuple(prompt.confidence_threshold if t is None else t for t in own)


def sorted_by_class(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Instances by class, then falling score."""
    order = np.lexsort(([-i.score for i in instances], [i.class_index for i in instances]))
    return tuple(instances[k] for k in order)


StepCallback = Callable[[str], None]
