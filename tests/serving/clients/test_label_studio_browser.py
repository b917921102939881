"""The documented labeling configuration in Label Studio's own page: a click is a point."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from .test_label_studio import backend, connect, decode_all, studio

__all__ = ["backend", "studio"]  # fixtures

pytestmark = pytest.mark.clients

STAR_XY = (75, 190)
"""In the large star of the picture, in pixels: no label is about it, so no mask lies there."""

READ_REGIONS = """() => (window.Htx?.annotationStore?.selected?.regions || [])
    .map(region => region.type)"""
READ_LABELS = """() => [...Htx.annotationStore.selected.names.values()]
    .flatMap(tag => (tag.selectedLabels || []).map(label => label.value))"""


@pytest.fixture
def page() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("no browser on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=path, args=options)
        page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        page.set_default_timeout(30_000)
        yield page
        browser.close()


def test_a_click_is_a_point_and_no_paint(
    studio: httpx.Client, backend: str, page: Any, checkout: Path, label_studio: Path
) -> None:
    guide = (checkout / "docs" / "label-studio.md").read_text("utf-8")
    config = guide.partition("```xml\n")[2].partition("```")[0]
    picture = checkout / "serving" / "playground" / "static" / "scene.jpg"
    project = {"id": 0}
    created = studio.post("/api/projects", json={"title": "guide", "label_config": config})
    project["id"] = created.json()["id"]
    files = {"file": (picture.name, picture.read_bytes(), "image/jpeg")}
    assert studio.post(f"/api/projects/{project['id']}/import", files=files).status_code == 201
    assert connect(studio, project, backend, "model-password").status_code == 201
    [task] = studio.get("/api/tasks", params={"project": project["id"]}).json()["tasks"]

    page.goto(f"{studio.base_url}/user/login")
    page.fill("input[name=email]", "user@example.com")
    page.fill("input[name=password]", "password1")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url)
    page.goto(f"{studio.base_url}/projects/{project['id']}/data?task={task['id']}")
    # The labels of the configuration are found in its picture, before any click.
    page.wait_for_function(f"({READ_REGIONS})().length >= 2")
    assert set(page.evaluate(READ_REGIONS)) == {"brushregion"}
    before = len(page.evaluate(READ_REGIONS))
    page.get_by_text("Auto-Annotation").click()
    page.locator(".lsf-tool_smart").first.click()
    page.get_by_text("red circle", exact=True).nth(1).click()
    assert page.evaluate(READ_LABELS) == ["red circle"]
    with Image.open(picture) as image:
        width, height = image.size
    shown = page.locator("img[alt=image]").first.bounding_box()
    x = shown["x"] + shown["width"] * STAR_XY[0] / width
    y = shown["y"] + shown["height"] * STAR_XY[1] / height
    with page.expect_response("**/interactive-annotating*") as answered:
        page.mouse.click(x, y)
    [region] = answered.value.json()["data"]["result"]
    [mask] = decode_all(label_studio, [region])
    assert mask[STAR_XY[1], STAR_XY[0]]
    assert 0.02 < np.mean(mask) < 0.2
    assert page.evaluate(READ_REGIONS)[before:] == ["keypointregion"], "a point, no stroke"
    assert page.evaluate(READ_LABELS) == [], "the label must be chosen again, as the guide says"
