"""Follows what a text names through a video that the page sends, frame by frame."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import StreamingResponse

from ...engine import ConceptPrompt, Result
from ...engine.concept_text import parse_concepts
from ...engine.export.tracks import to_track_row
from ..auth import check_api_key, check_basic_auth
from ..errors import ApiError
from ..service import SegmentationService
from ..video_runs import VideoRuns, follow_video, open_video, store_temporarily
from ..worker import identify_group

router = APIRouter(dependencies=[Depends(check_basic_auth)])

MAX_CONCEPTS = 16
"""As many as ``/sam3/concept_segment`` takes."""


@router.post("/playground/video", include_in_schema=False)
async def track_video(request: Request, text: str = "") -> StreamingResponse:
    """Answers with a line of JSON for the video, and one for each frame as it is followed.

    The body is the file. The request is the session: it ends when the client goes away.
    """
    service: SegmentationService = request.app.state.service
    runs: VideoRuns = request.app.state.video_runs
    owner = check_api_key(request, None, service.settings)
    group = identify_group(request, owner)
    prompt = _parse_prompt(text)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(runs.hold_place())
        path = await stack.enter_async_context(store_temporarily(service, request.stream()))
        reader = await open_video(service, path)
        head = {"frames": reader.count, "fps": reader.fps}
        # From here on the answer holds what was opened, and closes it.
        opened = stack.pop_all()

    async def write_lines() -> AsyncIterator[bytes]:
        async with opened:
            yield _to_line(head)
            try:
                async with contextlib.aclosing(
                    follow_video(service, reader, prompt, group)
                ) as results:
                    async for result in results:
                        yield await service.run_in_thread(_encode_frame, result)
            except ApiError as error:
                yield _to_line({"error": error.detail})

    return StreamingResponse(write_lines(), media_type="application/x-ndjson")


def _parse_prompt(text: str) -> ConceptPrompt:
    try:
        concepts = parse_concepts("text", text)
        if not concepts or len(concepts) > MAX_CONCEPTS:
            raise ValueError(f"text: expected 1 to {MAX_CONCEPTS} concepts, got {len(concepts)}")
        return ConceptPrompt(
            texts=tuple(concept.text for concept in concepts),
            thresholds=tuple(concept.threshold for concept in concepts),
        )
    except ValueError as error:
        raise ApiError(422, str(error)) from None


def _encode_frame(result: Result) -> bytes:
    return _to_line(to_track_row(result))


def _to_line(data: dict[str, Any]) -> bytes:
    return json.dumps(data).encode() + b"\n"
