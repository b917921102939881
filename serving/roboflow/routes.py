"""Answers the routes of ``/sam3/*``."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...engine import EverythingPrompt, Instance, ObjectPrompt, Prompt
from ..auth import check_api_key
from ..bodies import ParsedBodyRoute
from ..errors import ApiError
from ..images import DecodedImage
from ..service import SegmentationService
from ..worker import Group, identify_group, run_while_connected
from .concepts import FoundConcepts, find_concepts
from .prompts import name_fields, to_prompted_object
from .responses import encode_concept_response, encode_visual_response
from .schemas import (
    ConceptRequest,
    ConceptResponse,
    EmbedRequest,
    EmbedResponse,
    ImageRequest,
    ImageSource,
    VisualRequest,
    VisualResponse,
)

router = APIRouter(prefix="/sam3", tags=["Roboflow"], route_class=ParsedBodyRoute)

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": description}
    for status, description in {
        400: "The image cannot be read or fetched",
        401: "The key is missing or wrong",
        404: "No image is stored under this id",
        408: "The body did not arrive in time",
        413: "The body or the image is too large",
        422: "A field is wrong",
        503: "The queue is full",
        507: "The GPU has too little memory",
    }.items()
}
"""Statuses other than success, each with a JSON ``message``."""


@router.post("/embed_image", response_model=EmbedResponse, responses=ERRORS)
async def embed_image(request: Request, body: EmbedRequest) -> Any:
    """Encodes an image and stores it, for clicks that send its ``image_id`` alone."""
    service, owner, started = start_request(request, body)
    if body.image is None:
        raise ApiError(422, "image: expected an image, got none")

    async def embed() -> DecodedImage:
        group = identify_group(request, owner)
        async with hold_image(service, owner, body, group) as image:
            await service.embed(image, group)
            return image

    image = await run_while_connected(request, embed())
    image_id = service.images.put(owner, image, body.image_id)
    return {"image_id": image_id, "time": time.perf_counter() - started}


@router.post("/concept_segment", response_model=ConceptResponse, responses=ERRORS)
async def segment_concepts(request: Request, body: ConceptRequest) -> Response:
    """Segments every instance of concepts given by text, exemplar boxes, or both."""
    service, owner, started = start_request(request, body)

    async def segment() -> FoundConcepts:
        group = identify_group(request, owner)
        async with hold_image(service, owner, body, group) as image:
            return await find_concepts(service, image, body, group)

    found = await run_while_connected(request, segment())
    seconds = time.perf_counter() - started
    return make_response(
        await service.run_in_thread(encode_concept_response, found, body.format, seconds)
    )


@router.post("/visual_segment", response_model=VisualResponse, responses=ERRORS)
async def segment_objects(request: Request, body: VisualRequest) -> Response:
    """Segments one object for each prompt of points and a box; boxes are given by center.

    Without prompts it segments everything there is.
    """
    service, owner, started = start_request(request, body)

    async def segment() -> tuple[Instance, ...]:
        kind = "objects" if body.prompts else "everything"
        group = identify_group(request, owner, kind)
        async with hold_image(service, owner, body, group) as image:
            objects = [
                to_prompted_object(asked, index, image.hw)
                for index, asked in enumerate(body.prompts)
            ]
            if body.load_logits_from_cache:
                objects = [
                    dataclasses.replace(
                        prompted, mask_input=service.logits.find(owner, image.digest, prompted)
                    )
                    for prompted in objects
                ]
            prompt: Prompt = ObjectPrompt(
                tuple(objects), body.multimask_output, return_logits=body.save_logits_to_cache
            )
            if not objects:
                prompt = EverythingPrompt(body.points_per_side)
            with name_fields():
                (result,) = await service.segment(image, [prompt], group)
        if objects and body.save_logits_to_cache:
            service.logits.put_all(owner, image.digest, objects, result.instances)
        return result.instances

    instances = await run_while_connected(request, segment())
    seconds = time.perf_counter() - started
    return make_response(
        await service.run_in_thread(encode_visual_response, instances, body.format, seconds)
    )


def start_request(request: Request, body: ImageRequest) -> tuple[SegmentationService, str, float]:
    """Checks the key of a request; returns the service, whose request it is, and the time."""
    service: SegmentationService = request.app.state.service
    return service, check_api_key(request, body.api_key, service.settings), time.perf_counter()


@contextlib.asynccontextmanager
async def hold_image(
    service: SegmentationService, owner: str, body: ImageRequest, group: Group
) -> AsyncIterator[DecodedImage]:
    """Reads the image of a request, and holds it and a place in the queue while the block runs."""
    async with contextlib.AsyncExitStack() as stack:
        if body.image is None:
            if body.image_id is None:
                raise ApiError(422, "image: expected image or image_id, got neither")
            await stack.enter_async_context(service.worker.hold_place(group))
            yield service.images.get(owner, body.image_id)
            return
        # Before the place: a slow server of images keeps nobody from the model.
        data = await stack.enter_async_context(hold_source(service, body.image))
        await stack.enter_async_context(service.worker.hold_place(group))
        image = await stack.enter_async_context(service.hold_image(data, "image"))
        if body.image_id is not None:
            service.images.put(owner, image, body.image_id)
        yield image


@contextlib.asynccontextmanager
async def hold_source(
    service: SegmentationService, source: ImageSource, field: str = "image", waits: bool = True
) -> AsyncIterator[bytes]:
    """Reads the file of an image that a request sends, and holds it while the block runs.

    Args:
        service: Fetches or decodes it.
        source: Where it is.
        field: What the user calls it.
        waits: See :meth:`.budget.Budget.hold`.

    Raises:
        ApiError: 400 if it cannot be had.
    """
    if source.type not in ("url", "base64"):
        reason = {
            "numpy": "a pickled array would run code of the sender here",
            "file": "files of the server are not read",
        }.get(source.type, "other types are not read")
        raise ApiError(400, f"{field}.type: expected url or base64, got {source.type!r}: {reason}")
    if not isinstance(source.value, str):
        raise ApiError(422, f"{field}.value: expected text, got {type(source.value).__name__}")
    if source.type == "url":
        fetch = functools.partial(service.fetcher.fetch, source.value, f"{field}.value")
        async with service.hold_file(fetch, waits) as data:
            yield data
    else:
        yield await service.decode_base64(source.value, f"{field}.value")


def make_response(content: bytes) -> Response:
    """Makes the answer of JSON that is encoded already."""
    return Response(content, media_type="application/json")
