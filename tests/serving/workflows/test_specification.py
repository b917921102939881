"""Which workflows run: the list of blocks, and the bounds."""

from __future__ import annotations

import copy
import importlib.util
from typing import Any

import pytest
from starlette.testclient import TestClient

from infer_segment_anything_3.serving.errors import ApiError
from infer_segment_anything_3.serving.workflows.specification import (
    ALLOWED_BLOCKS,
    MAX_BATCH,
    MAX_STEPS,
    check_inputs,
    check_specification,
    find_image_inputs,
)

SAM: dict[str, Any] = {
    "type": "roboflow_core/sam3@v1",
    "name": "sam",
    "images": "$inputs.image",
    "class_names": "red circle",
}
WORKFLOW: dict[str, Any] = {
    "version": "1.0",
    "inputs": [{"type": "InferenceImage", "name": "image"}],
    "steps": [SAM],
    "outputs": [{"type": "JsonField", "name": "found", "selector": "$steps.sam.predictions"}],
}


def change(**fields: Any) -> dict[str, Any]:
    return {**copy.deepcopy(WORKFLOW), **fields}


def step(block: str, **fields: Any) -> dict[str, Any]:
    return {**SAM, "type": block, **fields}


def test_the_blocks_of_the_documentation_run() -> None:
    check_specification(WORKFLOW)
    for block in ("sam3@v2", "sam3@v3", "sam3_interactive@v1", "polygon_visualization@v1"):
        check_specification(change(steps=[step(f"roboflow_core/{block}")]))


@pytest.mark.parametrize(
    "block",
    [
        "roboflow_core/webhook_sink@v1",
        "roboflow_core/local_file_sink@v1",
        "roboflow_core/email_notification@v1",
        "roboflow_core/environment_secrets_store@v1",
        "roboflow_core/inner_workflow@v1",
        "roboflow_core/cache_get@v1",
        "roboflow_core/open_ai@v4",
        "roboflow_core/s3_sink@v1",
        "roboflow_core/image_slicer@v1",
        "roboflow_enterprise/microsoft_sql_server_sink@v1",
        "WebhookSink",
        "roboflow_core/sam3@v1 ",
        "",
        None,
        {"type": "roboflow_core/sam3@v1"},
    ],
)
def test_any_other_block_is_refused_by_name(block: Any) -> None:
    with pytest.raises(ApiError) as error:
        check_specification(change(steps=[SAM, step(block)]))
    assert error.value.status_code == 422
    assert "specification.steps[1].type: the block " in error.value.detail
    assert isinstance(block, dict) or str(block).strip() in error.value.detail


def test_no_block_that_is_allowed_reaches_out() -> None:
    words = ("sink", "notification", "secret", "cache", "upload", "model@", "inner_workflow")
    assert not [block for block in ALLOWED_BLOCKS if any(word in block for word in words)]
    assert all(block.startswith("roboflow_core/") for block in ALLOWED_BLOCKS)


@pytest.mark.parametrize(
    ("specification", "message"),
    [
        (change(dynamic_blocks_definitions=[{"code": "import os"}]), "Python blocks"),
        (change(steps=[SAM] * (MAX_STEPS + 1)), "specification.steps: expected at most 64, got 65"),
        (change(inputs=[{}] * 1000), "specification.inputs: expected at most 64, got 1,000"),
        (change(outputs="all"), "specification.outputs: expected a list of objects"),
        (change(steps=[[]]), "specification.steps: expected a list of objects"),
        ({}, "specification.steps"),
        (
            change(
                steps=[
                    step(
                        "roboflow_core/property_definition@v1",
                        operations=[
                            {
                                "type": "SequenceApply",
                                "operations": [{"type": "StringMatches", "regex": "(a+)+$"}],
                            }
                        ],
                    )
                ]
            ),
            "specification.steps[0]: the operation StringMatches is not run here",
        ),
    ],
)
def test_what_is_refused_names_its_place(specification: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as error:
        check_specification(specification)
    assert error.value.status_code == 422
    assert message in error.value.detail


def test_a_batch_is_bounded_also_where_it_is_nested() -> None:
    inputs = [
        {"type": "WorkflowImage", "name": "image"},
        {"type": "WorkflowBatchInput", "name": "crops", "kind": ["image"]},
        {"type": "WorkflowBatchInput", "name": "numbers", "kind": [{"name": "integer"}]},
        {"type": "WorkflowParameter", "name": "words"},
    ]
    workflow = change(inputs=inputs)
    assert find_image_inputs(workflow) == ["image", "crops"]
    check_inputs(workflow, {"words": ["a"] * 1000, "numbers": [1] * MAX_BATCH})
    for value in ([0] * (MAX_BATCH + 1), [[0, 1]] * MAX_BATCH, [[]] * 1000):
        with pytest.raises(ApiError, match=r"inputs.'?numbers'?: expected a batch of at most 32"):
            check_inputs(workflow, {"numbers": value})


@pytest.mark.skipif(
    importlib.util.find_spec("roboflow_workflows") is not None, reason="the engine is installed"
)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path",
    [
        "/workflows/run",
        "/workflows/validate",
        "/workflows/describe_interface",
        "/workflows/blocks/describe",
        "/workflows/execution_engine/versions",
        "/infer/workflows",
        "/infer/workflows/me/mine",
        "/me/workflows/mine",
    ],
)
def test_without_the_engine_every_route_says_what_to_install(
    client: TestClient, method: str, path: str
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 501
    assert "pip install -r requirements-workflows.txt" in answer.json()["message"]
