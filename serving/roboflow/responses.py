"""Encodes instances as the JSON that Roboflow's clients read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...engine import ConceptPrompt, Instance
from ...engine.export.polygons import mask_to_polygons
from ...engine.export.rle import mask_to_rle
from ..encoding import encode_json
from .schemas import MaskFormat


def encode_visual_response(
    instances: Sequence[Instance], mask_format: MaskFormat, seconds: float
) -> bytes:
    """Encodes the answer of ``/sam3/visual_segment``, :class:`.schemas.VisualResponse`."""
    predictions = [make_prediction(instance, mask_format) for instance in instances]
    return encode_json({"predictions": predictions, "time": seconds})


def encode_concept_response(
    prompts: Sequence[ConceptPrompt],
    found: Sequence[Sequence[Instance]],
    best_scores: Sequence[float | None],
    mask_format: MaskFormat,
    seconds: float,
) -> bytes:
    """Encodes the answer of ``/sam3/concept_segment``, :class:`.schemas.ConceptResponse`.

    Args:
        prompts: One concept each.
        found: Instances of each.
        best_scores: The best score of each, also below its threshold; None if unknown.
        mask_format: How masks are written.
        seconds: How long it took.

    Returns:
        JSON in UTF-8.
    """
    results = [
        {
            "prompt_index": index,
            "echo": {
                "prompt_index": index,
                "type": "visual" if prompt.exemplars_xyxy else "text",
                "text": prompt.texts[0] if prompt.texts else None,
                "num_boxes": len(prompt.exemplars_xyxy),
            },
            "predictions": [make_prediction(instance, mask_format) for instance in instances],
            "best_score": best,
        }
        for index, (prompt, instances, best) in enumerate(
            zip(prompts, found, best_scores, strict=True)
        )
    ]
    return encode_json({"prompt_results": results, "time": seconds})


def make_prediction(instance: Instance, mask_format: MaskFormat) -> dict[str, Any]:
    """Converts an instance to the fields of :class:`.schemas.Prediction`."""
    if mask_format == "rle":
        return {"masks": mask_to_rle(instance.mask), "confidence": instance.score, "format": "rle"}
    rings = [
        [list(point) for point in zip(flat[::2], flat[1::2], strict=True)]
        for flat in mask_to_polygons(instance.mask)
    ]
    return {"masks": rings, "confidence": instance.score, "format": "polygon"}
