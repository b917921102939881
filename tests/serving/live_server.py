"""A real server on a port of its own, in a thread of the test's process."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn

from infer_segment_anything_3.serving.app import create_app
from infer_segment_anything_3.serving.model import ServedModel
from infer_segment_anything_3.serving.settings import Settings


@contextlib.contextmanager
def run_server(served: ServedModel, settings: Settings) -> Iterator[str]:
    """Serves until the block ends; gives the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(served, settings), access_log=False, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
