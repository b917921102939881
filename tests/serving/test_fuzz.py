"""Requests generated from the OpenAPI description: no 500, no hang, the next good one right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
import torch
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from infer_segment_anything_3.serving.roboflow.schemas import MAX_PROMPTS
from infer_segment_anything_3.tests.fuzzing import MANY, examples

from .conftest import base64_source

FEW = 300


@pytest.fixture(autouse=True)
def _with_subnormal_numbers() -> None:
    """Ikomia's OpenCV lets the processor flush subnormal numbers, which hypothesis refuses."""
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def check_good_request(client: TestClient, scene_source: dict[str, str]) -> Callable[[], None]:
    """Asks a good question and compares with the answer before the fuzz."""
    body = {"image": scene_source, "prompts": [{"text": "red circle"}], "format": "rle"}

    def ask() -> Any:
        return client.post("/sam3/concept_segment", json=body).json()["prompt_results"]

    before = ask()
    assert before[0]["predictions"]

    def check() -> None:
        assert ask() == before

    return check


def is_expected(status: int) -> bool:
    return status < 500 or status in (501, 503)


def fuzz_schema(client: TestClient, count: int) -> set[int]:
    """Sends requests of every route; returns the statuses."""
    schema = schemathesis.openapi.from_dict(client.app.openapi())
    operations = [result.ok() for result in schema.get_all_operations()]
    statuses: set[int] = set()
    for operation in operations:
        modes = [schemathesis.GenerationMode.POSITIVE]
        if operation.body:  # a route without one can be asked in one way only
            modes.append(schemathesis.GenerationMode.NEGATIVE)
        for mode in modes:

            @examples(count // len(operations) // len(modes))
            @given(case=operation.as_strategy(generation_mode=mode))
            def send(case: Any) -> None:
                arguments = case.as_transport_kwargs(base_url="http://localhost")
                arguments.pop("cookies", None)
                answer = client.request(**arguments)
                statuses.add(answer.status_code)
                assert is_expected(answer.status_code), (answer.status_code, answer.text)
                if answer.status_code >= 400:
                    assert answer.json()["message"]

            send()
    return statuses


numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**30), 10**30),
    st.integers(-5, 500),
    st.sampled_from([None, "1", True, [], 1e308]),
)
boxes = st.one_of(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("x", "y", "width", "height"), numbers)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("x0", "y0", "x1", "y1"), numbers)),
)
points = st.fixed_dictionaries({"x": numbers, "y": numbers}, optional={"positive": st.booleans()})
prompts = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "visual", "point", None]),
        "text": st.one_of(st.text(max_size=30), st.sampled_from(["circle", "red star"])),
        "boxes": st.lists(boxes, max_size=3),
        "box_labels": st.lists(st.sampled_from([0, 1, 2, None]), max_size=3),
        "output_prob_thresh": numbers,
        "points": st.one_of(st.none(), st.lists(points, max_size=4)),
        "box": st.one_of(st.none(), boxes),
    },
)
bodies = st.fixed_dictionaries(
    {"prompts": st.one_of(st.none(), prompts, st.lists(prompts, max_size=MAX_PROMPTS + 1))},
    optional={
        "format": st.sampled_from(["rle", "polygon", "json", "png", 5]),
        "output_prob_thresh": numbers,
        "nms_iou_threshold": numbers,
        "multimask_output": st.booleans(),
        "load_logits_from_cache": st.booleans(),
        "save_logits_to_cache": st.booleans(),
        "points_per_side": st.sampled_from([1, 2, 0, -1, "x"]),
    },
)
regions = st.fixed_dictionaries(
    {"type": st.sampled_from(["keypointlabels", "rectanglelabels", "brushlabels", 5])},
    optional={
        "is_positive": st.sampled_from([True, False, None, 0, "x"]),
        "value": st.dictionaries(
            st.sampled_from(["x", "y", "width", "height", "rotation", "keypointlabels"]),
            st.one_of(numbers, st.lists(st.text(max_size=5), max_size=2)),
        ),
    },
)
CONFIG = """<View><Image name="i" value="$image"/>
<BrushLabels name="t" toName="i"><Label value="red circle"/></BrushLabels></View>"""


def fuzz_bodies(client: TestClient, source: dict[str, str], count: int) -> set[int]:
    """Sends wrong and right prompts, most with a right image, to routes of both protocols."""
    statuses: set[int] = set()

    def post(path: str, body: Any) -> None:
        answer = client.post(path, json=body)
        statuses.add(answer.status_code)
        assert is_expected(answer.status_code), (answer.status_code, answer.text)

    @examples(count // 2)
    @given(bodies, st.sampled_from(["concept", "visual"]), st.integers(0, 4))
    def segment(body: Any, kind: str, intact: int) -> None:
        if not body["prompts"]:
            body["points_per_side"] = 1
        image = source if intact else {**source, "value": source["value"][:-9]}
        post(f"/sam3/{kind}_segment", {"image": image, **body})

    @examples(count // 2)
    @given(st.one_of(st.lists(regions, max_size=4), st.integers(), st.text(max_size=5)))
    def interact(found: Any) -> None:
        task = {"id": 1, "data": {"image": "data:image/png;base64," + source["value"]}}
        params = {"context": {"result": found}}
        post("/predict", {"tasks": [task], "label_config": CONFIG, "params": params})

    segment()
    interact()
    return statuses


@pytest.fixture(scope="module")
def small_source(scene_source: dict[str, str]) -> dict[str, str]:
    import numpy as np

    from .conftest import to_file

    return base64_source(to_file(np.full((60, 80, 3), 128, np.uint8)))


def run_fuzz(client: TestClient, source: dict[str, str], count: int) -> None:
    statuses = fuzz_schema(client, count // 2) | fuzz_bodies(client, source, count // 2)
    assert {200, 400, 422} <= statuses, "right and wrong requests were among them"


def test_a_few_generated_requests(
    client: TestClient, small_source: dict[str, str], check_good_request: Callable[[], None]
) -> None:
    run_fuzz(client, small_source, FEW)
    check_good_request()


@pytest.mark.slow
def test_many_generated_requests(
    client: TestClient, small_source: dict[str, str], check_good_request: Callable[[], None]
) -> None:
    run_fuzz(client, small_source, MANY)
    check_good_request()
