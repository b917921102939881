"""Answers the calls of ``inference.models.sam3`` with an engine in this process, without a server.

Code written for Roboflow's classes changes its import and the name of the model::

    from infer_segment_anything_3.serving.roboflow.in_process import Sam3Prompt, SegmentAnything3

    model = SegmentAnything3(model_id="sam3")
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...engine import Engine, ObjectPrompt
from ...engine.images import MAX_FILE_PIXELS, RgbImage
from ..fetching import ImageFetcher
from ..images import decode_image
from . import schemas
from .concepts import sort_results, to_concept_prompts
from .prompts import group_texts, name_fields, to_prompted_object
from .responses import make_results


class Sam3Prompt(schemas.ConceptPromptRequest):
    """A concept: a text, exemplar boxes, or both."""

    Box: ClassVar = schemas.BoxXywh
    BoxXYXY: ClassVar = schemas.BoxXyxy


class _Model:
    def __init__(self, model_id: str = "sam3", checkpoint: str | None = None) -> None:
        """Loads the weights.

        Args:
            model_id: ``sam3`` or ``tiny_shapes``.
            checkpoint: A local checkpoint of ``sam3``, else ``SAM3_CHECKPOINT``, else the Hub's.
        """
        checkpoint = checkpoint or os.environ.get("SAM3_CHECKPOINT")
        self.engine = Engine.load(model_id, checkpoint if model_id == "sam3" else None)


class SegmentAnything3(_Model):
    """Finds every instance of concepts."""

    def segment_image(
        self,
        image: Any,
        prompts: Sequence[Sam3Prompt | dict[str, Any]],
        output_prob_thresh: float = 0.5,
        format: schemas.MaskFormat = "polygon",
        nms_iou_threshold: float | None = None,
    ) -> schemas.ConceptResponse:
        """Answers as ``/sam3/concept_segment``.

        Args:
            image: A path, a URL, a PIL image, or a BGR array as of ``cv2.imread``.
            prompts: The concepts.
            output_prob_thresh: Least score, where a prompt has none of its own.
            format: ``polygon``, ``rle`` or ``json``.
            nms_iou_threshold: Drops masks that overlap a better one by more.

        Raises:
            ValueError: If a field is wrong.
            ApiError: If the image cannot be read, or a prompt does not fit it.
        """
        started, rgb = time.perf_counter(), load_rgb(image)
        dumped = [p.model_dump() if isinstance(p, Sam3Prompt) else p for p in prompts]
        body = schemas.ConceptRequest.model_validate(
            {
                "prompts": dumped,
                "output_prob_thresh": output_prob_thresh,
                "format": format,
                "nms_iou_threshold": nms_iou_threshold,
            }
        )
        asked = to_concept_prompts(body, rgb.shape[:2])
        groups = group_texts(asked)
        with name_fields():
            results = [self.engine.segment(rgb, prompt) for prompt, _ in groups]
        found = sort_results(results, groups, asked, nms_iou_threshold)
        rows = [{**r, "predictions": list(r["predictions"])} for r in make_results(found, format)]
        return schemas.ConceptResponse.model_validate(
            {"prompt_results": rows, "time": time.perf_counter() - started}
        )


class Sam3ForInteractiveImageSegmentation(_Model):
    """Segments single objects by points and boxes; boxes are given by their center."""

    def __init__(self, model_id: str = "sam3", checkpoint: str | None = None) -> None:
        """Loads the weights; see :class:`SegmentAnything3`."""
        super().__init__(model_id, checkpoint)
        self._images: dict[str, RgbImage] = {}

    def embed_image(
        self, image: Any, image_id: str | None = None
    ) -> tuple[None, tuple[int, int], str]:
        """Encodes an image for later prompts by id.

        Returns:
            None for the embedding, which stays with the engine; height and width; the id.
        """
        rgb, image_id = load_rgb(image), image_id or secrets.token_hex(6)
        self._images[image_id] = rgb
        self.engine.segment(rgb, ObjectPrompt())
        return None, (rgb.shape[0], rgb.shape[1]), image_id

    def segment_image(
        self,
        image: Any = None,
        image_id: str | None = None,
        prompts: Any = None,
        multimask_output: bool = True,
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Segments an object for each prompt.

        Args:
            image: As above; or the ``image_id`` of an embedded one.
            image_id: Of :meth:`embed_image`.
            prompts: One prompt, a list, or ``{"prompts": list}``.
            multimask_output: The best of three proposals.

        Returns:
            Masks (N, H, W), scores (N,) and logits (N, 1, h, w) of N prompts.

        Raises:
            KeyError: If no image has this id.
            ApiError: If a prompt does not fit the image.
        """
        rgb = self._images[str(image_id)] if image is None else load_rgb(image)
        body = schemas.VisualRequest.model_validate(
            {"prompts": prompts, "multimask_output": multimask_output}
        )
        objects = tuple(to_prompted_object(p, i, rgb.shape[:2]) for i, p in enumerate(body.prompts))
        prompt = ObjectPrompt(objects, multimask_output, return_logits=True)
        with name_fields():
            shown = self.engine.segment(rgb, prompt).instances
        return (
            np.stack([instance.mask.full() for instance in shown]),
            np.array([instance.score for instance in shown], np.float32),
            np.stack([np.asarray(instance.low_res_logits) for instance in shown]),
        )


def load_rgb(image: Any) -> RgbImage:
    """Loads an image: a path, a URL of a public address, a PIL image, or a BGR array."""
    if isinstance(image, np.ndarray):
        return np.ascontiguousarray(image[..., ::-1])
    if hasattr(image, "convert"):
        return np.asarray(image.convert("RGB"))
    if str(image).startswith(("http://", "https://")):
        data = asyncio.run(ImageFetcher().fetch(str(image), "image"))
    else:
        data = Path(image).read_bytes()
    return decode_image(data, MAX_FILE_PIXELS, "image").rgb
