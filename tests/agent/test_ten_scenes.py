from __future__ import annotations

import sys
from typing import Any

import pytest

from infer_segment_anything_3.agent import read_endpoint
from infer_segment_anything_3.examples.agent_stand_in import answer_question
from infer_segment_anything_3.tests.agent.described_scenes import CASES, count_right


def test_rules_resolve_the_scenes(tiny_engine: Any) -> None:
    """The scenes can be resolved by what a language model is told."""
    right, lines = count_right(tiny_engine, answer_question)
    assert right == len(CASES) == 10, "\n".join(lines)


@pytest.mark.agent
def test_a_real_language_model(
    tiny_engine: Any, user_env: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs the scenes against the server in SAM3_AGENT_URL; says how many came out right."""
    if not user_env.get("SAM3_AGENT_URL"):
        pytest.skip("SAM3_AGENT_URL is not set")
    endpoint = read_endpoint(user_env, "")
    right, lines = count_right(tiny_engine, endpoint)
    with capsys.disabled():
        title = f"{right} of {len(lines)} right: {endpoint.model} at {endpoint.host}"
        sys.stdout.write("\n".join(("", title, *lines, "")))
    assert right, "not one description was resolved"
