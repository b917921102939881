"""Sets Roboflow's workflow engine up and runs workflows on it.

Importing this module sets what ``roboflow-workflows`` may do in this process: no Python of
clients, no files, no environment variables, no downloads.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from roboflow_workflows.configuration import (
    EngineConfiguration,
    FontsConfiguration,
    PlatformConfiguration,
    RemoteExecutionConfiguration,
    WorkflowsConfiguration,
    configure_process,
)

CONFIGURATION = WorkflowsConfiguration(
    engine=EngineConfiguration(
        step_execution_mode="local",
        allow_custom_python_execution=False,
        allow_blocks_accessing_local_storage=False,
        allow_blocks_accessing_environmental_variables=False,
        allow_webhook_sink_to_non_global_addresses=False,
        allow_postgresql_sink_to_non_global_addresses=False,
        allow_kafka_sinks_user_provided_bootstrap_servers=False,
        allow_mqtt_blocks_user_provided_host=False,
    ),
    remote=RemoteExecutionConfiguration(openai_compatible_allowed_base_urls=()),
    platform=PlatformConfiguration(offline_mode=True),
    fonts=FontsConfiguration(allow_download=False),
)
configure_process(CONFIGURATION)  # before anything else of the package is imported

from roboflow_workflows.errors import WorkflowError  # noqa: E402
from roboflow_workflows.execution_engine.core import (  # noqa: E402
    ExecutionEngine,
    get_available_versions,
)
from roboflow_workflows.http_contract.describe import (  # noqa: E402
    describe_workflow_interface,
    describe_workflows_blocks,
    filter_out_unwanted_workflow_outputs,
)
from roboflow_workflows.http_contract.errors import workflow_error_payload  # noqa: E402
from roboflow_workflows.prototypes.image_codec import WorkflowsLocalImageCodec  # noqa: E402
from roboflow_workflows.prototypes.observer import NullExecutionObserver  # noqa: E402

from ..encoding import encode_json  # noqa: E402
from ..errors import ApiError  # noqa: E402
from .failures import WorkflowFailedError  # noqa: E402
from .models import WorkflowModels  # noqa: E402
from .specification import ALLOWED_BLOCKS  # noqa: E402

# Images are decoded before a run, under the server's own limits. This codec decodes what
# is in memory, and refuses addresses, files and pickles.
_CODEC = WorkflowsLocalImageCodec()


class _StepObserver(NullExecutionObserver):  # type: ignore[misc]
    """Ends a cancelled run before its next step."""

    def __init__(self, models: WorkflowModels) -> None:
        self._models = models

    @contextlib.contextmanager
    def step_scope(self, *, context: Any, step_name: str) -> Iterator[None]:
        self._models.check_step()
        yield


def run_workflow(
    specification: dict[str, Any],
    inputs: dict[str, Any],
    excluded_fields: list[str] | None,
    models: WorkflowModels,
    step_threads: ThreadPoolExecutor,
) -> bytes:
    """Runs a checked workflow, in the thread that calls it.

    Args:
        specification: The workflow.
        inputs: Its inputs; images as BGR arrays.
        excluded_fields: Outputs to leave out.
        models: Answers its blocks.
        step_threads: Run the steps, one at a time; as many as runs at the same time. Without
            them the engine starts a thread for every run.

    Returns:
        The answer in JSON.

    Raises:
        ApiError: If it is no valid workflow, or a step fails.
    """
    with _describe_errors():
        engine = _make_engine(specification, models, step_threads)
        try:
            results = engine.run(runtime_parameters=inputs, serialize_results=True)
        finally:
            engine.close()
        results = filter_out_unwanted_workflow_outputs(results, excluded_fields)
    return encode_json({"outputs": _to_plain(results), "profiler_trace": None})


def validate_workflow(specification: dict[str, Any], models: WorkflowModels) -> None:
    """Compiles a checked workflow without running it.

    Raises:
        ApiError: If it is no valid workflow.
    """
    with _describe_errors():
        _make_engine(specification, models).close()


def describe_interface(specification: dict[str, Any]) -> dict[str, Any]:
    """Describes inputs and outputs of a checked workflow.

    Raises:
        ApiError: If it is no valid workflow.
    """
    with _describe_errors():
        described: dict[str, Any] = describe_workflow_interface(specification).model_dump()
    return described


@functools.cache
def describe_blocks() -> bytes:
    """Describes the blocks that run here, in the JSON of Roboflow's server."""
    description = describe_workflows_blocks().model_dump(mode="json", by_alias=True)
    description["blocks"] = [
        block
        for block in description["blocks"]
        if block["manifest_type_identifier"] in ALLOWED_BLOCKS
    ]
    description["primitives_connections"] = _keep_allowed(description["primitives_connections"])
    description["kinds_connections"] = {
        kind: _keep_allowed(connections)
        for kind, connections in description["kinds_connections"].items()
    }
    return encode_json(description)


def list_engine_versions() -> list[str]:
    """Lists the versions of the execution engine that a workflow may ask for."""
    versions: list[str] = get_available_versions()
    return versions


def _make_engine(
    specification: dict[str, Any],
    models: WorkflowModels,
    step_threads: ThreadPoolExecutor | None = None,
) -> Any:
    return ExecutionEngine.init(
        workflow_definition=specification,
        init_parameters={
            "workflows_core.model_manager": models,
            "workflows_core.api_key": None,
            "workflows_core.background_tasks": None,
            "workflows_core.disable_sinks": True,
            "workflows_core.image_codec": _CODEC,
            "workflows_core.configuration": CONFIGURATION,
            "workflows_core.execution_observer": _StepObserver(models),
        },
        max_concurrent_steps=1,
        executor=step_threads,
        prevent_local_images_loading=True,
    )


@contextlib.contextmanager
def _describe_errors() -> Iterator[None]:
    try:
        yield
    except WorkflowError as error:
        inner: BaseException | None = error
        while inner is not None and not isinstance(inner, ApiError):
            inner = getattr(inner, "inner_error", None) or inner.__cause__
        if inner is not None:
            raise inner from None
        answer: tuple[int, dict[str, Any]] | None = workflow_error_payload(error)
        status, content = answer or (500, {"message": str(error)})
        for block in content.get("blocks_errors") or []:
            block.pop("block_traceback", None)  # paths of the server
        # What a step cannot do is wrong with its fields or its input, not with the server.
        raise WorkflowFailedError(422 if status == 500 else status, content) from None


def _keep_allowed(connections: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [c for c in connections if c["manifest_type_identifier"] in ALLOWED_BLOCKS]


def _to_plain(value: Any) -> Any:
    """Converts what the engine leaves as it is: scalars and arrays of NumPy, and dates."""
    if isinstance(value, dict):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
