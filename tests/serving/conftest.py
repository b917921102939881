"""A server in the test's own process, with the bundled model, and a server of images."""

from __future__ import annotations

import base64
import dataclasses
import http.server
import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from starlette.testclient import TestClient

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.serving.app import create_app
from infer_segment_anything_3.serving.model import ServedModel
from infer_segment_anything_3.serving.settings import Settings
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene


def to_file(rgb: npt.NDArray[np.uint8], image_format: str = "PNG", **options: Any) -> bytes:
    """An image as the bytes of a file."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, image_format, **options)
    return buffer.getvalue()


def base64_source(data: bytes, prefix: str = "") -> dict[str, str]:
    """An image file as a request sends it."""
    return {"type": "base64", "value": prefix + base64.b64encode(data).decode()}


@pytest.fixture(scope="session")
def served(tiny_engine: Engine) -> ServedModel:
    return ServedModel(tiny_engine, "tiny_shapes", "0123456789abcdef")


@pytest.fixture
def make_client(served: ServedModel) -> Iterator[Callable[..., TestClient]]:
    """Makes a client of a server with other settings: ``make_client(api_key="secret")``."""
    clients = []

    def make(**changes: Any) -> TestClient:
        app = create_app(served, dataclasses.replace(Settings(), **changes))
        client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
        clients.append(client)
        return client.__enter__()

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="module")
def client(served: ServedModel) -> Iterator[TestClient]:
    """A client of a server with the default settings."""
    with TestClient(
        create_app(served, Settings()), base_url="http://localhost", raise_server_exceptions=False
    ) as client:
        yield client


@pytest.fixture(scope="session")
def shapes_scene() -> Scene:
    """A scene with a red circle, a blue square and other shapes, as the model finds them all."""
    from infer_segment_anything_3.tools.tiny_shapes.scenes import draw_scene

    for seed in range(1000):
        drawn = draw_scene(np.random.default_rng(seed), (240, 480), (3, 5))
        names = {f"{shape.color} {shape.kind}" for shape in drawn.shapes}
        if {"red circle", "blue square"} <= names:
            return drawn
    raise AssertionError("no such scene")


@pytest.fixture(scope="session")
def scene_source(shapes_scene: Scene) -> dict[str, str]:
    return base64_source(to_file(shapes_scene.image))


class ImageServer:
    """A local http server: ``files[path]`` is bytes, or (status, headers, bytes).

    Attributes:
        files: What it answers.
        requests: Path and headers of every request.
    """

    def __init__(self) -> None:
        self.files: dict[str, Any] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append((self.path, dict(self.headers.items())))
                answer = outer.files.get(self.path, (404, {}, b"no such file"))
                status, headers, body = answer if isinstance(answer, tuple) else (200, {}, answer)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for part in [body] if isinstance(body, bytes) else body:
                        self.wfile.write(part)
                except OSError:
                    pass  # the client had enough

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def origin(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def image_server() -> Iterator[ImageServer]:
    server = ImageServer()
    yield server
    server.close()
