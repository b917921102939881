"""What the server says about itself."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from infer_segment_anything_3.engine.drawing.palette import BRIGHT
from infer_segment_anything_3.version import VERSION


def test_the_version_is_the_project_s(client: TestClient) -> None:
    assert client.get("/openapi.json").json()["info"]["version"] == VERSION
    assert client.get("/info").json()["version"] == VERSION


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_interactive_pages_are_refused_with_a_sentence(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "/openapi.json" in answer.json()["message"]


def test_the_page_gets_the_palette_of_all_drawings(client: TestClient) -> None:
    assert client.get("/info").json()["palette"] == [list(color) for color in BRIGHT]
