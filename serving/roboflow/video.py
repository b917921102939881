"""Answers ``/sam3/video/*``: a video or live stream whose frames the client sends one by one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field

from ...engine import ConceptPrompt, Result, VideoSession
from ...engine.export.tracks import to_track_row
from ...engine.runtime.memory import GpuMemoryError
from ..auth import check_api_key
from ..bodies import ParsedBodyRoute
from ..encoding import encode_json
from ..errors import ApiError
from ..service import SegmentationService
from ..worker import Group, identify_group, run_while_connected
from .prompts import name_fields
from .routes import ERRORS, hold_source, make_response
from .schemas import MAX_PROMPTS, ImageSource, Schema, Share
from .video_sessions import VideoSessions

router = APIRouter(prefix="/sam3/video", route_class=ParsedBodyRoute, tags=["Roboflow"])

VIDEO_ERRORS = {
    **ERRORS,
    404: {"description": "No session of this id is open"},
    409: {"description": "The session's step before has not ended"},
}


class StartRequest(Schema):
    """``/sam3/video/start``: what to follow. No frame yet."""

    api_key: str | None = Field(None, max_length=1_000)
    texts: list[str] = Field(min_length=1, max_length=MAX_PROMPTS)
    output_prob_thresh: Share = 0.5


class EndRequest(Schema):
    """``/sam3/video/end``."""

    api_key: str | None = Field(None, max_length=1_000)
    session_id: str = Field(min_length=1, max_length=200)


class StepRequest(EndRequest):
    """``/sam3/video/step``: the next frame, of the size of the frames before."""

    image: ImageSource


@router.post("/start", responses=VIDEO_ERRORS)
async def start_session(request: Request, body: StartRequest) -> dict[str, str]:
    """Starts to follow every instance of concepts; ends after a minute without a frame."""
    service, owner = _start_request(request, body.api_key)
    with name_fields("texts"):
        prompt = ConceptPrompt(
            texts=tuple(body.texts), confidence_threshold=body.output_prob_thresh
        )
        session = VideoSession(service.engine, prompt)
    sessions: VideoSessions = request.app.state.video_sessions
    return {"session_id": await sessions.start(owner, session)}


@router.post("/step", responses=VIDEO_ERRORS)
async def step_session(request: Request, body: StepRequest) -> Any:
    """Follows the concepts to the next frame: its instances, each with its ``track_id``."""
    started = time.perf_counter()
    service, owner = _start_request(request, body.api_key)
    group = identify_group(request, owner)
    sessions: VideoSessions = request.app.state.video_sessions
    with sessions.use(owner, body.session_id) as session:
        result = await run_while_connected(request, _step(service, session, body.image, group))

    def encode() -> bytes:
        return encode_json({**to_track_row(result), "time": time.perf_counter() - started})

    return make_response(await service.run_in_thread(encode))


@router.post("/end", responses=VIDEO_ERRORS)
async def end_session(request: Request, body: EndRequest) -> dict[str, str]:
    """Ends a session and frees its place."""
    _, owner = _start_request(request, body.api_key)
    sessions: VideoSessions = request.app.state.video_sessions
    await sessions.end(owner, body.session_id)
    return {"session_id": body.session_id}


def _start_request(request: Request, body_key: str | None) -> tuple[SegmentationService, str]:
    service: SegmentationService = request.app.state.service
    return service, check_api_key(request, body_key, service.settings)


async def _step(
    service: SegmentationService, session: VideoSession, source: ImageSource, group: Group
) -> Result:
    async with (
        hold_source(service, source) as data,
        service.worker.hold_place(group),
        service.hold_image(data, "image") as image,
    ):

        def step(check_step: Callable[[str], None]) -> Result:
            return session.step(image.rgb, check_step)

        try:
            return await service.worker.run(step, group)
        except GpuMemoryError as error:
            raise ApiError(507, str(error)) from None
        except ValueError as error:
            raise ApiError(422, str(error)) from None
