"""Encodes instances as the JSON that Roboflow's clients read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ...engine import Instance
from ...engine.export.polygons import mask_to_pixel_rings
from ...engine.export.rle import mask_to_rle
from ..encoding import encode_json
from .concepts import FoundConcepts
from .schemas import MaskFormat


def encode_visual_response(
    instances: Sequence[Instance], mask_format: MaskFormat, seconds: float
) -> bytes:
    """Encodes the answer of ``/sam3/visual_segment``, :class:`.schemas.VisualResponse`."""
    predictions = (make_prediction(instance, mask_format) for instance in instances)
    return encode_json({"predictions": predictions, "time": seconds})


def encode_concept_response(found: FoundConcepts, mask_format: MaskFormat, seconds: float) -> bytes:
    """Encodes the answer of ``/sam3/concept_segment``, :class:`.schemas.ConceptResponse`.

    Args:
        found: What was found.
        mask_format: How masks are written.
        seconds: How long it took.

    Returns:
        JSON in UTF-8.
    """
    return encode_json({"prompt_results": make_results(found, mask_format), "time": seconds})


def make_results(found: FoundConcepts, mask_format: MaskFormat) -> list[dict[str, Any]]:
    """Converts what was found to the fields of :class:`.schemas.PromptResult`.

    Predictions are iterators: masks are converted as they are written.
    """
    return [
        {
            "prompt_index": index,
            "echo": {
                "prompt_index": index,
                "type": "visual" if prompt.exemplars_xyxy else "text",
                "text": prompt.texts[0] if prompt.texts else None,
                "num_boxes": len(prompt.exemplars_xyxy),
            },
            "predictions": map(make_prediction, instances, itertools.repeat(mask_format)),
            "best_score": best,
        }
        for index, (prompt, instances, best) in enumerate(
            zip(found.prompts, found.instances, found.best_scores, strict=True)
        )
    ]


def make_prediction(instance: Instance, mask_format: MaskFormat) -> dict[str, Any]:
    """Converts an instance to the fields of :class:`.schemas.Prediction`."""
    if mask_format == "rle":
        return {"masks": mask_to_rle(instance.mask), "confidence": instance.score, "format": "rle"}
    rings = mask_to_pixel_rings(instance.mask)
    return {"masks": rings, "confidence": instance.score, "format": "polygon"}
