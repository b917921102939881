"""The page in a real browser: prompts, slider, undo, downloads, errors.

Needs Debian's ``chromium`` (or ``google-chrome``) on the PATH. Pictures of the page are
written to the folder that ``SCREENSHOTS`` names, if it is set.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from infer_segment_anything_3.examples import CLIP, SCENE
from infer_segment_anything_3.examples.agent_stand_in import answer_question
from infer_segment_anything_3.serving.model import ServedModel
from infer_segment_anything_3.serving.settings import Settings
from infer_segment_anything_3.tests.agent.scripted import serve
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene, Shape

from ..live_server import run_server

pytestmark = pytest.mark.browser

GOOD_IOU = 0.8
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("no browser on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(served: ServedModel) -> Iterator[str]:
    with run_server(served, Settings()) as address:
        yield address


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, opened; a test fails if the page wrote an error to the console."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.set_default_timeout(20_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.goto(address + "/playground")
    yield page
    context.close()
    # A refusal by the server is an error of the network, which the page shows its user.
    assert not [error for error in errors if "status of 4" not in error]


@pytest.fixture
def scene_file(shapes_scene: Scene, tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    Image.fromarray(shapes_scene.image).save(path)
    return path


@pytest.fixture
def opened(page: Any, scene_file: Path) -> Any:
    """The page with the scene."""
    page.set_input_files("#file", scene_file)
    wait_for_status(page, "ready")
    return page


def place(page: Any, xy: tuple[float, float]) -> dict[str, float]:
    """Where a pixel of the image is on the overlay."""
    size = page.evaluate(
        "[overlay.clientWidth / overlay.width, overlay.clientHeight / overlay.height]"
    )
    return {"x": xy[0] * size[0], "y": xy[1] * size[1]}


def center(shape: Shape) -> tuple[float, float]:
    left, top, right, bottom = shape.xyxy
    return (left + right) / 2, (top + bottom) / 2


def drag(page: Any, shape: Shape, button: str = "left") -> None:
    frame = page.locator("#overlay").bounding_box()
    left, top, right, bottom = shape.xyxy
    start, end = place(page, (left, top)), place(page, (right, bottom))
    page.mouse.move(frame["x"] + start["x"], frame["y"] + start["y"])
    page.mouse.down(button=button)
    page.mouse.move(frame["x"] + end["x"], frame["y"] + end["y"], steps=4)
    page.mouse.up(button=button)


def wait_for_status(page: Any, text: str) -> None:
    # Not ``wait_for_function``: the page's policy forbids what that evaluates.
    page.locator("#status", has_text=text).wait_for(state="attached")


def wait_for_answer(page: Any) -> None:
    wait_for_status(page, "Answered")
    page.evaluate("document.querySelector('#status').textContent = ''")


def count(page: Any) -> int:
    return int(page.inner_text("#count"))


def names(page: Any) -> list[str]:
    shown: list[str] = page.eval_on_selector_all("#instances .name", "all => all.map(i => i.value)")
    return shown


def rename_first(page: Any, text: str) -> None:
    name = page.locator("#instances .name").first
    name.fill(text)
    name.press("Enter")


def download_coco(page: Any) -> dict[str, Any]:
    with page.expect_download() as download:
        page.click("#save-json")
    data: dict[str, Any] = json.loads(Path(download.value.path()).read_text())
    return data


def masks(page: Any) -> list[np.ndarray]:
    annotations = download_coco(page)["annotations"]
    return [mask_api.decode(annotation["segmentation"]).astype(bool) for annotation in annotations]


def best_iou(found: list[np.ndarray], shape: Shape) -> float:
    truth = shape.mask
    return max(np.count_nonzero(m & truth) / np.count_nonzero(m | truth) for m in found)


def test_text_slider_and_undo(opened: Any, shapes_scene: Scene) -> None:
    opened.fill("#text", "red circle, blue square")
    opened.press("#text", "Enter")
    wait_for_answer(opened)
    shown = count(opened)
    assert shown == sum(len(shapes_scene.find_matching(t)) for t in ("red circle", "blue square"))
    assert "red circle" in names(opened)
    requests: list[str] = []
    opened.on("request", lambda request: requests.append(request.url))
    opened.evaluate("threshold.value = 0.05; threshold.dispatchEvent(new Event('input'))")
    assert count(opened) >= shown
    opened.evaluate("threshold.value = 0.99; threshold.dispatchEvent(new Event('input'))")
    assert count(opened) <= shown
    assert not requests, "the slider asks for nothing"
    opened.click("#undo")
    assert count(opened) == 0
    assert opened.is_disabled("#undo")


def test_a_description(browser: Any, served: ServedModel, scene_file: Path) -> None:
    """The form is there where the operator has named a language model; it says where that is."""
    with serve(answer_question) as model:
        settings = Settings(agent_url=model.url, agent_model="stand-in")
        with run_server(served, settings) as address:
            page = browser.new_page()
            page.set_default_timeout(20_000)
            page.goto(address + "/playground")
            page.set_input_files("#file", scene_file)
            wait_for_status(page, "ready")
            told = f"The picture is sent to stand-in at 127.0.0.1:{model.port}."
            assert page.inner_text("#destination") == told
            page.fill("#description", "the leftmost red circle")
            page.get_by_role("button", name="Describe it").click()
            wait_for_answer(page)
            assert names(page) == ["the leftmost red circle"]
            page.fill("#description", "the leftmost orange star")
            page.press("#description", "Enter")
            wait_for_answer(page)
            assert count(page) == 0
            assert "nothing fits" in page.inner_text("#misses")
            page.click("#undo")
            assert names(page) == ["the leftmost red circle"]
            page.close()


def test_no_description_without_a_language_model(opened: Any) -> None:
    assert opened.is_hidden("#describe-form")


def test_names_and_deletions_are_undone(opened: Any) -> None:
    opened.fill("#text", "red circle")
    opened.press("#text", "Enter")
    wait_for_answer(opened)
    shown = count(opened)
    rename_first(opened, "my disc")
    assert "my disc" in [c["name"] for c in download_coco(opened)["categories"]]
    opened.get_by_role("button", name="Delete my disc").press("Enter")
    assert count(opened) == shown - 1
    opened.click("#undo")
    assert opened.locator("#instances .name").first.input_value() == "my disc"
    opened.click("#undo")
    assert opened.locator("#instances .name").first.input_value() == "red circle"


def test_a_name_survives_asking_again(opened: Any, shapes_scene: Scene) -> None:
    circle, square = (shapes_scene.find_matching(t)[0] for t in ("red circle", "blue square"))
    opened.fill("#text", "red circle")
    opened.click("#find")
    wait_for_answer(opened)
    rename_first(opened, "my disc")
    opened.fill("#text", "red circle, blue square")
    opened.click("#find")
    wait_for_answer(opened)
    assert names(opened).count("my disc") == 1
    assert "blue square" in names(opened)
    opened.click("#clear")
    opened.click("#overlay", position=place(opened, center(circle)))
    wait_for_answer(opened)
    rename_first(opened, "this one")
    opened.press("body", "n")
    opened.click("#overlay", position=place(opened, center(square)))
    wait_for_answer(opened)
    assert names(opened) == ["this one", "object 2"]


def test_a_deleted_object_does_not_return_with_the_next_click(
    opened: Any, shapes_scene: Scene
) -> None:
    circle, square = (shapes_scene.find_matching(t)[0] for t in ("red circle", "blue square"))
    opened.click("#overlay", position=place(opened, center(circle)))
    wait_for_answer(opened)
    opened.get_by_role("button", name="Delete object 1").press("Enter")
    opened.click("#overlay", position=place(opened, center(square)))
    wait_for_answer(opened)
    assert count(opened) == 1
    assert best_iou(masks(opened), square) > GOOD_IOU


def test_a_cut_out_is_the_pixels_of_the_mask(opened: Any, scene_file: Path) -> None:
    opened.fill("#text", "red circle")
    opened.press("#text", "Enter")
    wait_for_answer(opened)
    with opened.expect_download() as download:
        opened.get_by_role("button", name="Save the cut-out of red circle").first.press("Enter")
    cut_out = np.asarray(Image.open(download.value.path()))
    annotation = download_coco(opened)["annotations"][0]
    left, top, width, height = (int(v) for v in annotation["bbox"])
    window = np.s_[top : top + height, left : left + width]
    mask = mask_api.decode(annotation["segmentation"]).astype(bool)[window]
    assert np.array_equal(cut_out[..., 3], mask * np.uint8(255))
    assert np.array_equal(cut_out[mask, :3], np.asarray(Image.open(scene_file))[window][mask])


def test_the_best_score_is_said_of_what_is_not_found(opened: Any) -> None:
    opened.fill("#text", "dog")
    opened.press("#text", "Enter")
    wait_for_answer(opened)
    assert count(opened) == 0
    said = opened.inner_text("#misses")
    assert said.startswith("0 instances of 'dog' above 0.50; the best score was 0.")
    assert "knows these words only: " in said and "circle" in said


def test_the_image_stays_in_view_on_a_phone(browser: Any, address: str) -> None:
    page = browser.new_page(viewport=PHONE)
    page.goto(address + "/playground")
    page.click("#scene")
    wait_for_status(page, "ready")
    page.click("#find")
    wait_for_answer(page)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    frame = page.locator("#overlay").bounding_box()
    assert frame["y"] >= 0 and frame["y"] + frame["height"] <= PHONE["height"]
    page.close()


def test_a_click_and_a_negative_click(opened: Any, shapes_scene: Scene) -> None:
    circle, square = (shapes_scene.find_matching(t)[0] for t in ("red circle", "blue square"))
    opened.click("#overlay", position=place(opened, center(circle)))
    wait_for_answer(opened)
    assert count(opened) == 1
    assert best_iou(masks(opened), circle) > GOOD_IOU
    opened.click("#overlay", position=place(opened, center(square)), button="right")
    wait_for_answer(opened)
    assert count(opened) == 1, "it refines the object"
    assert best_iou(masks(opened), circle) > GOOD_IOU
    opened.press("body", "n")
    opened.click("#overlay", position=place(opened, center(square)))
    wait_for_answer(opened)
    assert count(opened) == 2
    assert best_iou(masks(opened), square) > GOOD_IOU
    opened.press("body", "Control+z")
    assert count(opened) == 1


def test_a_box_and_its_download(opened: Any, shapes_scene: Scene, scene_file: Path) -> None:
    circle = shapes_scene.find_matching("red circle")[0]
    drag(opened, circle)
    wait_for_answer(opened)
    coco = download_coco(opened)
    (annotation,) = coco["annotations"]
    height, width = circle.image_hw
    assert coco["images"] == [{"id": 1, "file_name": "scene.png", "width": width, "height": height}]
    mask = mask_api.decode(annotation["segmentation"]).astype(bool)
    assert best_iou([mask], circle) > GOOD_IOU
    assert annotation["area"] == np.count_nonzero(mask)
    assert annotation["bbox"] == mask_api.toBbox(annotation["segmentation"]).tolist()
    with opened.expect_download() as download:
        opened.click("#save-png")
    overlay = np.asarray(Image.open(download.value.path()).convert("RGB"))
    plain = np.asarray(Image.open(scene_file))
    changed = (overlay.astype(int) != plain).any(axis=2)
    assert np.count_nonzero(changed & mask) > 0.9 * np.count_nonzero(mask)
    # Beside the mask only its label changes the picture: a chip on or above its box.
    rows, columns = np.nonzero(changed & ~mask)
    left, top, box_width, _ = annotation["bbox"]
    assert 100 < len(rows) < 6000
    assert np.ptp(rows) < 40
    assert abs(columns.mean() - (left + box_width / 2)) < 30
    assert rows.max() <= top + 45
    inner = mask.copy()
    for axis in (0, 1):
        for shift in (-4, 4):
            inner &= np.roll(mask, shift, axis)
    inner[rows.min() : rows.max() + 1] = False
    mixed = plain[inner] * 0.6 + np.array(color_of(overlay, mask)) * 0.4
    assert np.abs(overlay[inner] - mixed).mean() < 6


def color_of(overlay: Any, mask: Any) -> Any:
    """The color of the outline: that of the mask's own pixels at its border."""
    border = mask & ~np.roll(mask, 1, axis=1)
    values, counts = np.unique(overlay[border], axis=0, return_counts=True)
    return values[counts.argmax()]


def test_an_instance_is_zoomed_to(opened: Any, shapes_scene: Scene) -> None:
    circle = shapes_scene.find_matching("red circle")[0]
    drag(opened, circle)
    wait_for_answer(opened)
    before = opened.locator("#overlay").bounding_box()
    opened.click("#instances button[title^='Zoom to']")
    zoomed = opened.locator("#overlay").bounding_box()
    assert zoomed["width"] > 1.3 * before["width"]
    assert opened.locator("#stage").bounding_box()["width"] < 1.01 * before["width"]
    opened.focus("#overlay")
    opened.press("#overlay", "Escape")
    assert opened.locator("#overlay").bounding_box() == before


def test_all_cut_outs_are_saved(opened: Any) -> None:
    opened.fill("#text", "circle, square")
    opened.click("#find")
    wait_for_answer(opened)
    saved: list[str] = []
    opened.on("download", lambda download: saved.append(download.suggested_filename))
    opened.click("#save-cut-outs")
    expected = count(opened)
    for _ in range(50):
        if len(saved) == expected:
            break
        opened.wait_for_timeout(100)
    assert sorted(saved) == [f"scene-cut-out-{k + 1}.png" for k in range(expected)]


def test_examples_and_everything(opened: Any, shapes_scene: Scene) -> None:
    circle = shapes_scene.find_matching("red circle")[0]
    opened.check("input[value=example]")
    drag(opened, circle)
    wait_for_answer(opened)
    assert best_iou(masks(opened), circle) > GOOD_IOU
    opened.click("#clear")
    opened.click("#everything")
    wait_for_answer(opened)
    found = masks(opened)
    for text in ("red circle", "blue square"):
        assert best_iou(found, shapes_scene.find_matching(text)[0]) > GOOD_IOU


def test_the_keyboard_alone(opened: Any, shapes_scene: Scene) -> None:
    opened.focus("#overlay")
    opened.press("#overlay", "ArrowRight")
    opened.press("#overlay", "Enter")
    wait_for_answer(opened)
    assert int(opened.evaluate("document.querySelectorAll('#instances li').length")) <= 1
    opened.press("#overlay", "b")
    for key in ["ArrowLeft"] * 8 + ["ArrowUp"] * 8:
        opened.press("#overlay", key)
    opened.press("#overlay", "b")
    wait_for_answer(opened)


def test_hovering_marks_the_instance_in_the_list(opened: Any, shapes_scene: Scene) -> None:
    circle = shapes_scene.find_matching("red circle")[0]
    opened.click("#overlay", position=place(opened, center(circle)))
    wait_for_answer(opened)
    opened.mouse.move(0, 0)
    assert not opened.query_selector("#instances li.on")
    opened.hover("#overlay", position=place(opened, center(circle)))
    assert opened.query_selector("#instances li.on")


def test_errors_are_shown_and_the_page_goes_on(opened: Any, shapes_scene: Scene) -> None:
    opened.fill("#text", "x" * 300)
    opened.click("#find")
    opened.wait_for_selector("#error:not([hidden])")
    assert "prompts[0].text" in opened.inner_text("#error")
    opened.fill("#text", "red circle")
    opened.click("#find")
    wait_for_answer(opened)
    assert not opened.is_visible("#error")
    assert count(opened) >= 1


def test_a_file_that_is_no_image(page: Any, tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("not an image")
    page.set_input_files("#file", path)
    page.wait_for_selector("#error:not([hidden])")
    assert "notes.png" in page.inner_text("#error")


def test_the_drawn_scene_fills_the_page(page: Any) -> None:
    page.click("#scene")
    wait_for_status(page, "ready")
    page.click("#find")
    wait_for_answer(page)
    assert count(page) >= 3


def test_the_key_is_asked_for(browser: Any, served: ServedModel, scene_file: Path) -> None:
    settings = dataclasses.replace(Settings(), api_key="secret")
    with run_server(served, settings) as address:
        page = browser.new_page()
        page.goto(address + "/playground")
        page.wait_for_selector("#key-form:not([hidden])")
        page.set_input_files("#file", scene_file)
        page.wait_for_selector("#error:not([hidden])")
        assert "api_key" in page.inner_text("#error")
        page.fill("#key", "secret")
        page.fill("#text", "red circle")
        page.click("#find")
        wait_for_answer(page)
        assert count(page) >= 1
        page.close()


@pytest.mark.parametrize(
    ("name", "scheme", "viewport"),
    [
        ("playground-light", "light", {"width": 1280, "height": 760}),
        ("playground-dark", "dark", {"width": 1280, "height": 760}),
        ("playground-phone", "light", PHONE),
    ],
)
def test_it_fits_the_screen(
    browser: Any, address: str, tmp_path: Path, name: str, scheme: str, viewport: dict[str, int]
) -> None:
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    page.goto(address + "/playground")
    page.click("#scene")
    wait_for_status(page, "ready")
    page.click("#find")
    wait_for_answer(page)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= viewport["width"], "nothing sticks out sideways"
    heights = page.evaluate("[...document.querySelectorAll('button')].map(b => b.offsetHeight)")
    assert all(height >= 38 for height in heights if height), (
        "every button can be hit with a finger"
    )
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)
    context.close()


def test_a_video_is_followed_played_and_cancelled(page: Any, tmp_path: Path) -> None:
    """The clip plays in the browser with its tracks over it."""
    from playwright.sync_api import expect

    page.set_input_files("#file", CLIP)
    page.wait_for_selector("#video-view:not([hidden])")
    page.fill("#text", "circle, star")
    page.click("#find")
    page.wait_for_selector("progress:not([hidden])")
    status = page.locator("#status")
    expect(status).to_have_text(re.compile(r"^Frame \d+ of 60"))
    page.click("#cancel")
    expect(status).to_have_text(re.compile("^Cancelled after"))
    page.click("#find")
    expect(status).to_have_text("60 frames, 2 tracks.", timeout=60_000)
    page.evaluate(
        """() => new Promise((done) => {
            const video = document.querySelector('video');
            video.addEventListener('seeked', done, {once: true});
            video.currentTime = 1;
        })"""
    )
    painted = page.evaluate(
        """() => {
            const canvas = document.querySelector('#video-view canvas');
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return data.filter((value, place) => place % 4 === 3 && value).length;
        }"""
    )
    assert painted > 5000, "the masks are over the frame"
    if "SCREENSHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / "playground-video.png")
    with page.expect_download() as download:
        page.click("#save-tracks")
    assert download.value.suggested_filename == "clip_tracks.jsonl"
    rows = Path(download.value.path()).read_text().splitlines()
    assert len(rows) == 60
    page.set_input_files("#file", SCENE)
    page.wait_for_selector("#stage:not([hidden])")
    assert page.is_hidden("#video-view")
