"""Answers ``/sam3/describe_segment``.

The language model is the operator's: a request names neither an address nor a key.
"""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from ...agent import AgentResult, EndpointError
from ...engine.validation import to_description
from ..bodies import ParsedBodyRoute
from ..encoding import encode_json
from ..errors import ApiError
from ..roboflow.responses import make_prediction
from ..roboflow.routes import ERRORS, hold_image, start_request
from ..roboflow.schemas import ImageRequest, MaskFormat, Prediction, Share
from ..worker import identify_group, run_while_connected
from .runs import DescriptionRuns

router = APIRouter(prefix="/sam3", tags=["Descriptions"], route_class=ParsedBodyRoute)

NOT_SET = (
    "Descriptions are not offered here: who starts the server sets SAM3_AGENT_URL and "
    "SAM3_AGENT_MODEL."
)
_ERRORS = ERRORS | {
    501: {"description": "This server has no language model"},
    502: {"description": "The language model's server cannot be used"},
}


class DescribeRequest(ImageRequest):
    """``/sam3/describe_segment``."""

    description: str = Field(max_length=1_000, examples=["the leftmost red car"])
    output_prob_thresh: Share = 0.5
    format: MaskFormat = "polygon"


class DescribeResponse(BaseModel):
    """What was chosen, and how."""

    predictions: list[Prediction]
    status: str = Field(description="selected, none or gave_up (the best so far)")
    phrases: dict[str, int] = Field(description="How many instances each phrase found")
    requests: int = Field(description="Questions to the language model")
    tokens: int
    limits_reached: list[str]
    transcript: list[str]
    time: float = Field(description="Seconds")


@router.post("/describe_segment", response_model=DescribeResponse, responses=_ERRORS)
async def segment_described(request: Request, body: DescribeRequest) -> Response:
    """Segments what a description means; the server's language model chooses among masks."""
    service, owner, started = start_request(request, body)
    runs: DescriptionRuns = request.app.state.description_runs
    endpoint = runs.endpoint
    if endpoint is None:
        raise ApiError(501, NOT_SET)
    try:
        description = to_description("description", body.description)
    except ValueError as error:
        raise ApiError(422, str(error)) from None

    async def find() -> AgentResult:
        group = identify_group(request, owner)
        async with hold_image(service, owner, body, group) as image:
            return await runs.find(
                service, endpoint, image, description, body.output_prob_thresh, group
            )

    try:
        found = await run_while_connected(request, find())
    except EndpointError as error:
        raise ApiError(502, str(error)) from None
    content = await service.run_in_thread(_encode, found, body.format, started)
    return Response(content, media_type="application/json")


def _encode(found: AgentResult, mask_format: MaskFormat, started: float) -> bytes:
    data: dict[str, Any] = {
        "predictions": [make_prediction(i, mask_format) for i in found.result.instances],
        **found.to_dict(),
        "time": time.perf_counter() - started,
    }
    return encode_json(data)
