"""Answers the SAM 3 blocks of a workflow with the model of this server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from roboflow_workflows.prototypes.models_provider import UNSET

from ...engine import Instance, ObjectPrompt
from ...engine.validation import shorten
from ..errors import ApiError, describe_validation
from ..images import DecodedImage
from ..roboflow.concepts import FoundConcepts, find_concepts
from ..roboflow.prompts import name_fields, to_prompted_object
from ..roboflow.responses import make_prediction
from ..roboflow.schemas import ConceptRequest, MaskFormat, VisualRequest
from ..service import SegmentationService
from ..worker import Group

T = TypeVar("T")

MAX_INSTANCES = 5_000
"""Instances that the model may give to one workflow: each is drawn, cropped or counted."""

MAX_MODEL_RUNS = 256
"""Images that one workflow may hand to the model: crops of crops multiply."""


class WorkflowModels:
    """The port of ``roboflow-workflows`` through which blocks reach models, for one run.

    Its methods are called in the run's thread and wait for the model there.
    """

    content_addressed_artifact_cache = None

    def __init__(
        self, service: SegmentationService, group: Group, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Starts a run.

        Args:
            service: Runs the model.
            group: Whose turns the run takes.
            loop: The server's event loop.
        """
        self._service, self._group, self._loop = service, group, loop
        self._runs = self._instances = 0
        self._is_cancelled = False
        self._waiting: asyncio.Task[Any] | None = None

    def add_model(self, model_id: str, api_key: str | None = None, **options: Any) -> None:
        """Accepts any name of SAM 3; there is one model.

        Raises:
            ApiError: 422 if it names another one.
        """
        if not isinstance(model_id, str) or not model_id.startswith("sam3"):
            raise ApiError(
                422, f"model_id: expected SAM 3, such as sam3/sam3_final, got {shorten(model_id)}"
            )

    def __contains__(self, model_id: str) -> bool:
        """Tells that the model is loaded."""
        return True

    def run_sam3_segmentation(
        self,
        model_id: str,
        image: dict[str, Any],
        prompts: list[dict[str, Any]],
        api_key: str | None = None,
        output_prob_thresh: Any = UNSET,
        nms_iou_threshold: Any = UNSET,
        format: Any = UNSET,
    ) -> list[SimpleNamespace]:
        """Answers the blocks ``sam3@v1`` to ``v3`` as ``/sam3/concept_segment`` does."""
        body = _validate(
            ConceptRequest,
            prompts=prompts,
            output_prob_thresh=output_prob_thresh,
            nms_iou_threshold=nms_iou_threshold,
            format=format,
        )
        found = self._wait(find_concepts(self._service, _to_image(image), body, self._group))
        self._count(sum(map(len, found.instances)))
        return [SimpleNamespace(prompt_results=_make_results(found, body.format), time=0.0)]

    def run_sam2_segmentation(
        self,
        model_id: str,
        image: dict[str, Any],
        prompts: list[dict[str, Any]],
        api_key: str | None = None,
        multimask_output: Any = UNSET,
        **options: Any,
    ) -> list[SimpleNamespace]:
        """Answers the block ``sam3_interactive`` as ``/sam3/visual_segment`` does."""
        body = _validate(VisualRequest, prompts=prompts, multimask_output=multimask_output)
        instances = self._wait(self._segment_objects(_to_image(image), body))
        self._count(len(instances))
        predictions = [_make_prediction(instance, "polygon") for instance in instances]
        return [SimpleNamespace(predictions=predictions, time=0.0)]

    def check_step(self) -> None:
        """Ends the run in its own thread once it was cancelled.

        Raises:
            ApiError: 499.
        """
        if self._is_cancelled:
            raise ApiError(499, "The client went away.")

    def cancel(self) -> None:
        """Ends the run at its next step; called from the event loop."""
        self._is_cancelled = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _segment_objects(
        self, image: DecodedImage, body: VisualRequest
    ) -> tuple[Instance, ...]:
        # Unlike the route: a block without points and boxes asks for nothing, not for everything.
        objects = tuple(
            to_prompted_object(asked, index, image.hw) for index, asked in enumerate(body.prompts)
        )
        if not objects:
            return ()
        with name_fields():
            (result,) = await self._service.segment(
                image, [ObjectPrompt(objects, body.multimask_output)], self._group
            )
        return result.instances

    def _count(self, instances: int) -> None:
        self._instances += instances
        if self._instances > MAX_INSTANCES:
            raise ApiError(
                422,
                f"specification: expected at most {MAX_INSTANCES:,} instances in all; ask for "
                "fewer classes, or a higher threshold",
            )

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the event loop and waits for it in the run's thread."""

        async def run() -> T:
            if self._is_cancelled:
                work.close()
                self.check_step()
            self._waiting = asyncio.current_task()
            return await work

        self._runs += 1
        if self._runs > MAX_MODEL_RUNS:
            work.close()
            raise ApiError(
                422, f"specification: expected at most {MAX_MODEL_RUNS} images for the model"
            )
        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()


def _validate(schema: type[T], **fields: Any) -> T:
    given = {name: value for name, value in fields.items() if value is not UNSET}
    try:
        return TypeAdapter(schema).validate_python(given)
    except ValidationError as error:
        raise ApiError(422, describe_validation(error.errors())) from None


def _to_image(image: dict[str, Any]) -> DecodedImage:
    bgr: npt.NDArray[np.uint8] = image["value"]
    if not isinstance(bgr, np.ndarray):
        raise ApiError(422, "images: expected an image that this workflow was given or made")
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    rgb.setflags(write=False)
    return DecodedImage(rgb, b"")


def _make_results(found: FoundConcepts, mask_format: MaskFormat) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(
            prompt_index=index,
            echo=SimpleNamespace(text=prompt.texts[0] if prompt.texts else None),
            predictions=[_make_prediction(instance, mask_format) for instance in instances],
        )
        for index, (prompt, instances) in enumerate(
            zip(found.prompts, found.instances, strict=True)
        )
    ]


def _make_prediction(instance: Instance, mask_format: MaskFormat) -> SimpleNamespace:
    return SimpleNamespace(**make_prediction(instance, mask_format))
