"""Serves the engine's tools to an agent that somebody uses already, by MCP on standard streams.

The agent looks at the pictures and chooses; no key and no address is needed here. ``mcp`` is
imported when a server is made.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from ..engine import ConceptPrompt, ObjectPrompt, PromptedObject, validation
from ..engine.export.polygons import mask_to_polygons
from ..engine.images import RgbImage, decode_image
from ..version import VERSION
from .candidates import Candidates
from .pictures import draw_near, encode_picture

if TYPE_CHECKING:
    from ..engine import Engine

P = ParamSpec("P")

MCP_MISSING = 'mcp is not installed: python -m pip install "mcp>=2,<3"'
MAX_IMAGES = 8
"""Images whose candidates are kept; of the others the oldest are dropped."""

MAX_CANDIDATES = 100
MAX_NEAR = 8
SIDE_PX = 1024

INSTRUCTIONS = """\
Segments pictures with SAM 3. It knows simple noun phrases ("red car") but no positions, relations \
or counts: segment the noun, look at the numbered picture and the list, and choose the numbers \
yourself. Boxes in lists are in percent of the picture; give points and boxes in pixels."""


class SegmentationTools:
    """Segments images of one folder; keeps the numbered candidates of each.

    Attributes:
        root: The folder; other files are not read.
    """

    def __init__(self, load_engine: Callable[[], Engine], root: Path) -> None:
        """Loads nothing yet.

        Args:
            load_engine: Called for the first picture.
            root: The folder whose pictures may be read.
        """
        self.root = root.resolve()
        self._load_engine = load_engine
        self._engine: Engine | None = None
        self._images: OrderedDict[Path, Candidates] = OrderedDict()
        self._lock = threading.Lock()

    def segment_phrase(
        self, image: str, phrase: str, threshold: float = 0.5, start_over: bool = False
    ) -> list[Any]:
        """Outline and number all instances of a simple noun phrase in a picture.

        image: path of a picture. phrase: one noun with few adjectives, such as "red car".
        threshold: lowest score, 0 to 1. Candidates of earlier calls keep their numbers, unless
        start_over is true.
        """
        prompt = ConceptPrompt((phrase,), confidence_threshold=threshold)
        return self._segment(image, phrase, prompt, start_over)

    def segment_points_boxes(
        self,
        image: str,
        points: list[list[float]] | None = None,
        labels: list[int] | None = None,
        boxes: list[list[float]] | None = None,
        start_over: bool = False,
    ) -> list[Any]:
        """Outline and number the one object that points mark, or an object for each box.

        image: path of a picture. points: [[x, y], ...] in pixels, all on one object. labels: 1 on
        the object, 0 not on it, one for each point. boxes: [[x1, y1, x2, y2], ...] in pixels.
        """
        objects = [PromptedObject(box_xyxy=tuple(box)) for box in boxes or ()]  # type: ignore[arg-type]
        if points:
            objects.append(
                PromptedObject(
                    tuple((x, y) for x, y in map(_check_point, points)), tuple(labels or ())
                )
            )
        if not objects:
            raise ValueError("points: expected points or boxes, got neither")
        return self._segment(image, "object", ObjectPrompt(tuple(objects)), start_over)

    def show_candidates(
        self, image: str, numbers: list[int] | None = None, polygons: bool = False
    ) -> list[Any]:
        """Show all candidates of a picture again, or some of them from near.

        image: path of a picture. numbers: those to show from near; none for all at once.
        polygons: also list the outlines of these numbers, in pixels: [x1, y1, x2, y2, ...].
        """
        path, pixels = self._read(image)
        with self._lock:
            candidates = self._images.get(path, Candidates(MAX_CANDIDATES))
            chosen = candidates.get(numbers or ())
            if not numbers:
                return [candidates.to_text(), _to_content(candidates.draw(pixels, SIDE_PX))]
        if len(chosen) > MAX_NEAR:
            raise ValueError(f"numbers: expected at most {MAX_NEAR}, got {len(chosen)}")
        shown: list[Any] = []
        for number, instance in zip(numbers, chosen, strict=True):
            outline = f": {mask_to_polygons(instance.mask)}" if polygons else ""
            shown.append(f"{number}{outline}")
            shown.append(_to_content(draw_near(pixels, instance, number, SIDE_PX // 2)))
        return shown

    def _segment(
        self, image: str, name: str, prompt: ConceptPrompt | ObjectPrompt, start_over: bool
    ) -> list[Any]:
        path, pixels = self._read(image)
        # Standard output is the protocol's.
        with self._lock, contextlib.redirect_stdout(sys.stderr):
            if self._engine is None:
                self._engine = self._load_engine()
            result = self._engine.segment(pixels, prompt)
            found = [instance for instance in result.instances if instance.mask.area]
            candidates = self._images.pop(path, None)
            if candidates is None or start_over:
                candidates = Candidates(MAX_CANDIDATES)
            self._images[path] = candidates
            if len(self._images) > MAX_IMAGES:
                self._images.popitem(last=False)
            new, left_out = candidates.add(name, found)
            told = f"{name}: {len(found)} found, {new} new"
            if left_out:
                told += f", {left_out} left out: there is no room for more; start_over makes it"
            if not len(candidates):
                return [f"{told}. There are no candidates."]
            text = f"{told}. All candidates:\n{candidates.to_text()}"
            return [text, _to_content(candidates.draw(pixels, SIDE_PX))]

    def _read(self, image: str) -> tuple[Path, RgbImage]:
        path = (self.root / Path(image).expanduser()).resolve()
        if not path.is_relative_to(self.root) or not path.is_file():
            # One sentence for both: whether a file exists elsewhere is nobody's business.
            raise ValueError(
                f"image: expected a picture in {self.root}, got {validation.shorten(image)}"
            )
        return path, decode_image(str(path))


def make_server(tools: SegmentationTools) -> Any:
    """Makes the MCP server.

    Args:
        tools: Its tools.

    Returns:
        An ``MCPServer``; its ``run("stdio")`` serves until the client goes.

    Raises:
        ImportError: If mcp is not installed, or too old.
    """
    try:
        from mcp.server.mcpserver import MCPServer
    except ImportError:
        raise ImportError(MCP_MISSING) from None
    server = MCPServer("infer-sam3", version=VERSION, instructions=INSTRUCTIONS)
    for tool in (tools.segment_phrase, tools.segment_points_boxes, tools.show_candidates):
        server.add_tool(_tell_errors(tool), structured_output=False)
    return server


def _tell_errors(tool: Callable[P, list[Any]]) -> Callable[P, list[Any]]:
    """Wraps a tool: the agent is told what is wrong with a value, or with the weights."""
    from mcp.server.mcpserver.exceptions import ToolError

    @functools.wraps(tool)
    def call(*args: P.args, **kwargs: P.kwargs) -> list[Any]:
        try:
            return tool(*args, **kwargs)
        except (ValueError, RuntimeError) as error:
            raise ToolError(str(error)) from error

    return call


def _check_point(point: Sequence[float]) -> tuple[float, float]:
    if len(point) != 2:
        raise validation.value_error("points", "pairs [x, y]", point)
    return float(point[0]), float(point[1])


def _to_content(picture: RgbImage) -> Any:
    from mcp.server.mcpserver import Image

    url = encode_picture(picture)["image_url"]["url"]
    return Image(data=base64.b64decode(url.partition(",")[2]), format="jpeg")
