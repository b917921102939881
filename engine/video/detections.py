"""What the detector finds of each concept on one frame of a video."""

from __future__ import annotations

from typing import Any

import torch
from torchvision.ops import box_convert

from ..inference.concept_output import ConceptOutput
from ..inference.concepts import (
    PromptProcessor,
    PromptTokens,
    add_prompt,
    decode_concepts,
    get_texts,
    get_thresholds,
)
from ..model.sam3_imports import Sam3Image, generic_nms_cpu, mask_iou
from ..prompts import ConceptPrompt
from .concept_tracks import Detections

NMS_IOU = 0.1
"""Of two detections whose masks overlap by more the better stays (the package's)."""


class ConceptDetector:
    """Detects the concepts of one prompt on the frames of a video.

    A prompt with exemplars is encoded on its own frame, where the boxes are; on later frames
    the tokens of that frame are used again. The package falls back to the word "visual".
    """

    def __init__(self, model: Sam3Image, processor: PromptProcessor, prompt: ConceptPrompt) -> None:
        """Creates it for a prompt.

        Args:
            model: The model.
            processor: The model's processor.
            prompt: The concepts, with exemplars in pixels of the first frame.
        """
        self._model = model
        self._processor = processor
        self.prompt = prompt
        self._texts = get_texts(prompt)
        self.thresholds = get_thresholds(prompt)

    def detect(
        self,
        state: dict[str, Any],
        tokens: list[PromptTokens | None],
        prompt: ConceptPrompt,
        per_forward: int,
    ) -> tuple[list[Detections], list[PromptTokens | None]]:
        """Detects every concept on a frame.

        Args:
            state: The encoded frame.
            tokens: Of each concept, None where its prompt is to be encoded on this frame.
            prompt: The prompt as it fits the frame.
            per_forward: Concepts that share a forward pass.

        Returns:
            The detections of each concept, and the tokens to give for the next frame.
        """
        found: list[Detections] = []
        kept: list[PromptTokens | None] = []
        for start in range(0, len(self._texts), per_forward):
            chunk = slice(start, start + per_forward)
            states = [
                add_prompt(self._processor, state, text, prompt) for text in self._texts[chunk]
            ]
            known = [t for t in tokens[chunk] if t is not None]
            outputs = decode_concepts(self._model, states, _joined(known))
            for output, threshold in zip(outputs, self.thresholds[chunk], strict=True):
                found.append(_detections(self._model, output, threshold))
                inputs = output.mask_head_inputs
                own = PromptTokens(inputs["prompt"], inputs["prompt_mask"])
                kept.append(own if prompt.exemplars_xyxy else None)
        return found, kept


def _joined(tokens: list[PromptTokens]) -> PromptTokens | None:
    if not tokens:
        return None
    return PromptTokens(
        torch.cat([t.prompt for t in tokens], dim=1),
        torch.cat([t.prompt_mask for t in tokens], dim=0),
    )


def _detections(model: Sam3Image, output: ConceptOutput, threshold: float) -> Detections:
    """Detections above a threshold, each with another mask, in the order of the queries."""
    kept = (output.scores > threshold).nonzero().squeeze(1)
    inputs = output.mask_head_inputs
    if not len(kept):
        side = 4 * model.inst_interactive_predictor.model.sam_image_embedding_size
        none = torch.zeros(0, side, side, device=model.device)
        return {"scores": torch.zeros(0), "bbox": torch.zeros(0, 4), "mask": none}
    queries = inputs["obj_queries"][:, :, kept.to(model.device)]
    head = model.segmentation_head(**{**inputs, "obj_queries": queries})
    masks = head["pred_masks"][0].float()
    is_set = masks > 0
    best = generic_nms_cpu(mask_iou(is_set, is_set), output.scores[kept], NMS_IOU)
    rows = best.sort().values
    return {
        "scores": output.scores[kept][rows],
        "bbox": box_convert(output.boxes_cxcywh[kept][rows], "cxcywh", "xyxy"),
        "mask": masks[rows.to(masks.device)],
    }
