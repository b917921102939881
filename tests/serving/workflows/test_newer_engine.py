"""The newest release of Roboflow's engine: still allowed, and still the ports that are used."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest

from infer_segment_anything_3.serving.workflows.specification import ALLOWED_BLOCKS

from ..clients.conftest import make_overlay
from ..conftest import base64_source, to_file
from ..live_server import run_server_process
from .test_specification import WORKFLOW

pytestmark = pytest.mark.network


def test_a_newer_engine_still_fits(tmp_path: Path) -> None:
    programs = make_overlay(tmp_path / "newest", ["--upgrade", "roboflow-workflows"])
    with run_server_process(programs / "python", tmp_path / "log") as at:
        described = httpx.get(f"{at}/workflows/blocks/describe", timeout=120).json()["blocks"]
        assert {block["manifest_type_identifier"] for block in described} == ALLOWED_BLOCKS
        image = base64_source(to_file(np.full((60, 80, 3), 128, np.uint8)))
        body = {"specification": WORKFLOW, "inputs": {"image": image}}
        answer = httpx.post(f"{at}/workflows/run", json=body, timeout=120)
        assert answer.json()["outputs"][0]["found"]["predictions"] == []
