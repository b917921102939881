"""Answers what the server is and whether it is ready."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Request

from ..engine.checkpoints.loader import supports_objects
from ..engine.drawing.palette import BRIGHT
from ..version import VERSION
from .errors import RETRY_AFTER_S, ApiError
from .model import ServedModel
from .service import SegmentationService

router = APIRouter(tags=["Server"])

SERVER_NAME = "infer_segment_anything_3"
_uuid = str(uuid.uuid4())


@router.get("/health")
@router.get("/healthz", include_in_schema=False)
async def check_health(request: Request) -> dict[str, str]:
    """Answers that the server is up; it listens only once the model is loaded."""
    served: ServedModel = request.app.state.served
    return {"status": "UP", "model_class": served.name, "model_version": served.version}


@router.get("/readiness")
async def check_readiness(request: Request) -> dict[str, Any]:
    """Says whether the model's queue has a free place: 503 if it has none."""
    service: SegmentationService = request.app.state.service
    worker = service.worker
    if worker.places_taken >= worker.max_places:
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        raise ApiError(503, "The queue before the model is full.", headers)
    return {"status": "ready", "waiting": worker.places_taken, "places": worker.max_places}


@router.get("/info")
async def describe_server(request: Request) -> dict[str, Any]:
    """Says which model answers; ``fallback`` if it stands in for another."""
    served: ServedModel = request.app.state.served
    engine = served.engine
    return {
        "name": SERVER_NAME,
        "version": VERSION,
        "uuid": _uuid,
        "model": served.name,
        "model_version": served.version,
        "device": str(engine.device),
        "precision": engine.precision,
        "input_size_px": engine.image_size,
        "supports_objects": supports_objects(engine.model),
        "fallback": bool(served.fallback_reason),
        "fallback_reason": served.fallback_reason,
        "needs_api_key": bool(request.app.state.settings.api_key),
        "language_model": _describe_language_model(request),
        "palette": BRIGHT,
        "vocabulary": engine.vocabulary,
    }


def _describe_language_model(request: Request) -> dict[str, str] | None:
    """Says which language model sees the pictures of descriptions, and where it is."""
    endpoint = request.app.state.description_runs.endpoint
    return None if endpoint is None else {"model": endpoint.model, "host": endpoint.host}


@router.get("/docs", include_in_schema=False)
@router.get("/redoc", include_in_schema=False)
async def refuse_interactive_docs() -> None:
    """Says where the schema is: FastAPI's own pages load scripts from other servers."""
    raise ApiError(
        404,
        "There is no interactive page here. The OpenAPI schema is at /openapi.json, "
        "a page to try the model at /playground",
    )


@router.get("/model/registry")
async def list_models(request: Request) -> dict[str, Any]:
    """Lists the one model, in the terms of Roboflow's clients."""
    served: ServedModel = request.app.state.served
    side = served.engine.image_size
    model = {
        "model_id": "sam3/sam3_final" if served.name == "sam3" else f"sam3/{served.name}",
        "task_type": "unsupervised-segmentation",
        "batch_size": 1,
        "input_height": side,
        "input_width": side,
    }
    return {"models": [model]}
