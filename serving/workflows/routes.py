"""Answers Roboflow's workflow routes. GET answers as POST does."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from ...engine.validation import shorten
from ..auth import check_api_key
from ..bodies import ParsedBodyRoute
from ..errors import ApiError
from ..roboflow.routes import make_response
from ..service import SegmentationService
from ..settings import Settings
from ..worker import Group, identify_group, run_while_connected
from .failures import WorkflowFailedError
from .runs import WorkflowRuns
from .schemas import KeyRequest, SavedWorkflowRequest, SpecificationRequest, WorkflowRequest
from .specification import check_specification

METHODS = ["POST", "GET"]
MAX_SAVED_BYTES = 1_000_000

_WORKFLOW_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")

router = APIRouter(route_class=ParsedBodyRoute, tags=["Roboflow"])
refusals = APIRouter(include_in_schema=False)


def choose_router() -> APIRouter:
    """Returns the routes that run workflows, or those that say what to install."""
    is_installed = importlib.util.find_spec("roboflow_workflows") is not None
    return router if is_installed else refusals


@router.api_route("/workflows/run", methods=["POST"])
@router.api_route("/workflows/run", methods=["GET"], include_in_schema=False)
@router.api_route("/infer/workflows", methods=METHODS, include_in_schema=False)
async def run_sent_workflow(request: Request, body: WorkflowRequest) -> Response:
    """Runs the workflow that the request sends."""
    return await _run(request, body.specification, body)


@router.api_route("/{workspace}/workflows/{workflow}", methods=["POST"])
@router.api_route("/{workspace}/workflows/{workflow}", methods=["GET"], include_in_schema=False)
@router.api_route(
    "/infer/workflows/{workspace}/{workflow}", methods=METHODS, include_in_schema=False
)
async def run_saved_workflow(
    request: Request, workspace: str, workflow: str, body: SavedWorkflowRequest
) -> Response:
    """Runs a workflow of ``WORKFLOWS_FOLDER``; the workspace may have any name."""
    _identify(request, body)  # checks the key, before it tells what is stored
    service: SegmentationService = request.app.state.service
    specification = await service.run_in_thread(_read_saved, service.settings, workflow)
    return await _run(request, specification, body)


@router.api_route("/workflows/validate", methods=["POST"])
@router.api_route("/workflows/validate", methods=["GET"], include_in_schema=False)
async def validate_workflow(request: Request, body: SpecificationRequest) -> Response:
    """Says whether a workflow would run."""
    group, runs = _identify(request, body), request.app.state.workflow_runs
    return await _answer(request, runs.validate(body.get_specification(), group), {"status": "ok"})


@router.api_route("/workflows/describe_interface", methods=["POST"])
@router.api_route("/workflows/describe_interface", methods=["GET"], include_in_schema=False)
async def describe_interface(request: Request, body: SpecificationRequest) -> Response:
    """Describes the inputs and outputs of a workflow."""
    _identify(request, body)
    specification = body.get_specification()
    check_specification(specification)
    runs: WorkflowRuns = request.app.state.workflow_runs
    return await _answer(
        request, runs.call(lambda engine: engine.describe_interface(specification))
    )


@router.api_route("/workflows/blocks/describe", methods=["POST"])
@router.api_route("/workflows/blocks/describe", methods=["GET"], include_in_schema=False)
async def describe_blocks(request: Request, body: KeyRequest | None = None) -> Response:
    """Describes the blocks that run here: their fields, and which fit to which."""
    _identify(request, body)
    runs: WorkflowRuns = request.app.state.workflow_runs
    return await _answer(request, runs.call(lambda engine: engine.describe_blocks()))


@router.api_route("/workflows/execution_engine/versions", methods=["GET"])
@router.api_route("/workflows/execution_engine/versions", methods=["POST"], include_in_schema=False)
async def list_engine_versions(request: Request) -> Response:
    """Lists the versions of Roboflow's engine that a workflow may ask for."""
    _identify(request, None)
    runs: WorkflowRuns = request.app.state.workflow_runs
    return await _answer(
        request, runs.call(lambda engine: {"versions": engine.list_engine_versions()})
    )


@refusals.api_route("/workflows/{path:path}", methods=METHODS)
@refusals.api_route("/infer/workflows", methods=METHODS)
@refusals.api_route("/infer/workflows/{path:path}", methods=METHODS)
@refusals.api_route("/{workspace}/workflows/{path:path}", methods=METHODS)
async def refuse_workflows() -> None:
    """Says what to install."""
    raise ApiError(
        501,
        "Workflows are not served here: Roboflow's engine is not installed on the server (pip "
        "install -r requirements-workflows.txt). For what the SAM 3 blocks do, call "
        "/sam3/concept_segment or /sam3/visual_segment",
    )


async def _run(
    request: Request, specification: dict[str, Any], body: SavedWorkflowRequest
) -> Response:
    group = _identify(request, body)
    runs: WorkflowRuns = request.app.state.workflow_runs
    work = runs.run(specification, body.inputs, body.excluded_fields, group)
    return await _answer(request, work)


async def _answer(request: Request, work: Any, content: Any = None) -> Response:
    """Awaits work while the client is there; answers with what it returns, or ``content``."""
    try:
        result = await run_while_connected(request, work)
    except WorkflowFailedError as error:
        return JSONResponse(error.content, error.status_code)
    if isinstance(result, bytes):
        return make_response(result)
    return JSONResponse(result if content is None else content)


def _identify(request: Request, body: KeyRequest | None) -> Group:
    owner = check_api_key(
        request, body.api_key if body is not None else None, request.app.state.settings
    )
    return identify_group(request, owner)


def _read_saved(settings: Settings, workflow: str) -> dict[str, Any]:
    """Reads a saved workflow: a specification, or an object with one.

    Raises:
        ApiError: 404 if there is none, 422 if the file is no workflow.
    """
    path = Path(settings.workflows_folder) / f"{workflow}.json"
    if not settings.workflows_folder or not _WORKFLOW_ID.fullmatch(workflow) or not path.is_file():
        raise ApiError(
            404,
            f"No workflow {shorten(workflow)} is stored here (WORKFLOWS_FOLDER); its specification "
            "may be sent to /workflows/run",
        )
    try:
        if path.stat().st_size > MAX_SAVED_BYTES:
            raise ValueError("it is too large")
        saved = json.loads(path.read_bytes())
        specification = saved.get("specification", saved)
        if not isinstance(specification, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ApiError(
            422, f"The workflow {shorten(workflow)} that is stored here cannot be read: {error}"
        ) from None
    return specification
