"""Detects the concepts of a prompt on one frame of a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchvision.ops import box_convert

from ..inference.concept_output import ConceptOutput, check_finite
from ..inference.concepts import detect_concepts
from ..inference.detection import PromptTokens
from ..inference.prompt_processor import get_texts, get_thresholds
from ..inference.tiling import CROWDED_SHARE
from ..model.config import AssociationSettings
from ..model.sam3_imports import generic_nms_cpu
from ..postprocess.nms import compute_cell_ious
from ..prompts import ConceptPrompt
from ..runtime.memory import BatchLimits
from .association import Detections

if TYPE_CHECKING:
    from ..engine import Engine

NMS_IOU = 0.1
"""Of two detections whose masks have a higher IoU, the one with the lower score is dropped (the
package's)."""


class ConceptDetector:
    """Detects the concepts of one prompt on the frames of a video.

    A prompt with exemplars is encoded on its own frame or reference, where the boxes are; on
    later frames its tokens are used again. The package falls back to the word "visual".
    """

    def __init__(
        self,
        engine: Engine,
        prompt: ConceptPrompt,
        size_percent: float,
        settings: AssociationSettings,
    ) -> None:
        """Prepares to detect a prompt's concepts.

        Args:
            engine: The engine.
            prompt: The concepts, with exemplars in pixels of the first frame or the reference.
            size_percent: Shrinks the reference before it is encoded, as the frames are.
            settings: How detections change tracks.
        """
        self._engine = engine
        self._size_percent = size_percent
        self._settings = settings
        self.prompt = prompt
        self._texts = get_texts(prompt)
        self.thresholds = get_thresholds(prompt)

    def detect(
        self,
        state: dict[str, Any],
        tokens: Sequence[PromptTokens | None],
        prompt: ConceptPrompt,
        limits: BatchLimits,
    ) -> tuple[list[Detections], list[PromptTokens | None], tuple[str, ...]]:
        """Detects every concept on a frame.

        Args:
            state: The encoded frame.
            tokens: Of each concept, None where its prompt is to be encoded on this frame.
            prompt: The prompt as it fits the frame.
            limits: How many concepts share a forward pass.

        Returns:
            The detections of each concept, the tokens to give for the next frame, and the names
            of the classes that took more than :data:`CROWDED_SHARE` of the queries.

        Raises:
            NonFiniteOutputError: If scores or masks are NaN or infinite.
        """
        if prompt.reference is not None and None in tokens:
            tokens = self._engine.references.encode(prompt, self._size_percent, limits)
        found: list[Detections] = []
        kept: list[PromptTokens | None] = []
        crowded: list[str] = []
        for start in range(0, len(self._texts), limits.concepts):
            chunk = slice(start, start + limits.concepts)
            known = [t for t in tokens[chunk] if t is not None]
            outputs = detect_concepts(
                self._engine.processor, state, self._texts[chunk], prompt, known
            )
            names = prompt.class_names[chunk]
            for output, threshold, name in zip(outputs, self.thresholds[chunk], names, strict=True):
                check_finite([output.scores], "scores", self._engine.weights_name)
                if (output.scores > threshold).sum() > CROWDED_SHARE * len(output.scores):
                    crowded.append(name)
                lowest = min(threshold, self._settings.detection_threshold)
                above = (output.scores > lowest).nonzero().squeeze(1)
                found.append(self._make_detections(output, above))
                inputs = output.mask_head_inputs
                own = PromptTokens(inputs["prompt"], inputs["prompt_mask"])
                kept.append(own if prompt.exemplars_xyxy else None)
        return found, kept, tuple(crowded)

    def _make_detections(self, output: ConceptOutput, kept: Tensor) -> Detections:
        """Makes the detections of some queries, after mask NMS, in the order of the queries."""
        engine = self._engine
        model, inputs = engine.model, output.mask_head_inputs
        if not len(kept):
            side = 4 * model.inst_interactive_predictor.model.sam_image_embedding_size
            none = torch.zeros(0, side, side, device=model.device)
            return {"scores": torch.zeros(0), "bbox": torch.zeros(0, 4), "mask": none}
        queries = inputs["obj_queries"][:, :, kept.to(model.device)]
        head = model.segmentation_head(**{**inputs, "obj_queries": queries})
        masks = head["pred_masks"][0].float()
        check_finite([masks], "mask logits", engine.weights_name)
        is_set = masks > 0
        overlaps = compute_cell_ious(is_set, is_set, self._settings.overlap_of_smaller)
        best = generic_nms_cpu(overlaps, output.scores[kept], NMS_IOU)
        rows = best.sort().values
        return {
            "scores": output.scores[kept][rows],
            "bbox": box_convert(output.boxes_cxcywh[kept][rows], "cxcywh", "xyxy"),
            "mask": masks[rows.to(masks.device)],
        }
