"""The MCP server, by the package's own client over standard streams."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from infer_segment_anything_3.agent.mcp_server import SegmentationTools
from infer_segment_anything_3.examples import SCENE

pytest.importorskip("mcp.client.stdio")
MODEL = ("--model", "tiny_shapes", "--device", "cpu", "--precision", "float32")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    shutil.copy(SCENE, folder / "scene.png")
    (folder / "note.txt").write_text("no picture")
    return folder


def talk(root: Path, plugins: Path, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """Starts the program and gives its client to a coroutine."""
    from mcp import Client, StdioServerParameters

    server = StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "infer_segment_anything_3", "mcp", "--root", str(root), *MODEL],
        env={**os.environ, "PYTHONPATH": str(plugins)},
    )

    async def run() -> Any:
        async with Client(server, read_timeout_seconds=120) as client:
            return await work(client)

    return asyncio.run(run())


def read(result: Any) -> tuple[str, list[Image.Image]]:
    assert not result.is_error, result.content
    texts = [part.text for part in result.content if part.type == "text"]
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(part.data)))
        for part in result.content
        if part.type == "image"
    ]
    return "\n".join(texts), pictures


@pytest.fixture(scope="module")
def plugins() -> Path:
    import infer_segment_anything_3

    return Path(infer_segment_anything_3.__file__ or "").parent.parent


def test_a_client_drives_the_engine(root: Path, plugins: Path) -> None:
    async def work(client: Any) -> None:
        tools = (await client.list_tools()).tools
        names = {"segment_phrase", "segment_points_boxes", "show_candidates"}
        assert {tool.name for tool in tools} == names
        assert all(tool.description for tool in tools)

        given = {"image": "scene.png", "phrase": "red circle"}
        text, (picture,) = read(await client.call_tool("segment_phrase", given))
        assert "red circle: 4 found, 4 new" in text
        assert len(re.findall(r"^\d+: red circle, left", text, re.MULTILINE)) == 4
        assert picture.format == "JPEG" and not picture.getexif()

        given = {"image": "scene.png", "boxes": [[180, 210, 285, 322]], "points": [[421, 226]]}
        text, _ = read(await client.call_tool("segment_points_boxes", given))
        assert "object: 2 found, 2 new" in text and "\n6: object" in text

        text, pictures = read(await client.call_tool("show_candidates", {"image": "scene.png"}))
        assert len(text.splitlines()) == 6 and len(pictures) == 1
        given = {"image": "scene.png", "numbers": [1, 5], "polygons": True}
        text, pictures = read(await client.call_tool("show_candidates", given))
        assert len(pictures) == 2 and re.match(r"1: \[\[\d", text)

        for wrong, told in (
            ({"image": "note.txt", "phrase": "x"}, "no known format"),
            ({"image": "../scene.png", "phrase": "x"}, "expected a picture in"),
            ({"image": "scene.png", "phrase": " "}, "expected phrases that are not blank"),
            ({"image": "scene.png", "phrase": "x", "threshold": 2}, "expected a number from 0"),
        ):
            result = await client.call_tool("segment_phrase", wrong)
            assert result.is_error
            assert told in result.content[0].text, result.content
        result = await client.call_tool("show_candidates", {"image": "scene.png", "numbers": [9]})
        assert result.is_error and "The numbers go from 1 to 6." in result.content[0].text

    talk(root, plugins, work)


@pytest.fixture
def tools(tiny_engine: Any, root: Path) -> SegmentationTools:
    return SegmentationTools(lambda: tiny_engine, root)


def test_only_pictures_of_the_folder_are_read(
    tools: SegmentationTools, root: Path, tmp_path: Path
) -> None:
    shutil.copy(SCENE, tmp_path / "secret.png")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    errors = set()
    for name in ("link.png", str(tmp_path / "secret.png"), "/nowhere.png", "~/x.png", ".", ""):
        with pytest.raises(ValueError, match=r"^image: expected a picture in") as caught:
            tools.segment_phrase(name, "circle")
        errors.add(str(caught.value).partition(", got")[0])
    assert len(errors) == 1  # what is there elsewhere cannot be told


def test_numbers_stay_until_starting_over(tools: SegmentationTools) -> None:
    tools.segment_phrase("scene.png", "red circle")
    text = tools.segment_phrase("scene.png", "star")[0]
    assert "\n5: star" in text
    text = tools.segment_phrase("scene.png", "star", start_over=True)[0]
    assert "\n1: star" in text and "red" not in text
    assert "0 new" in tools.segment_phrase("scene.png", "star")[0]


def test_nothing_found(tools: SegmentationTools) -> None:
    assert tools.segment_phrase("scene.png", "green circle") == [
        "green circle: 0 found, 0 new. There are no candidates."
    ]
    with pytest.raises(ValueError, match="There are no candidates yet"):
        tools.show_candidates("scene.png", [1])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "points: expected points or boxes"),
        ({"points": [[1, 2, 3]]}, "points: expected pairs"),
        ({"points": [[1, 2]], "labels": [1, 0]}, "point_labels: expected 1"),
        ({"boxes": [[1, 2, 3]]}, "box_xyxy: expected"),
        ({"boxes": [[10**6, 10**6, 2 * 10**6, 2 * 10**6]]}, "box_xyxy: expected"),
    ],
)
def test_wrong_points_and_boxes(tools: SegmentationTools, given: Any, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}"):
        tools.segment_points_boxes("scene.png", **given)
