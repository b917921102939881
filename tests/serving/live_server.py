"""A real server on a port of its own: in a thread of the test's process, or in a process."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
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


@contextlib.contextmanager
def run_server_process(python: Path, log: Path, **settings: str) -> Iterator[str]:
    """The command ``serve`` in another environment; gives the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {**os.environ, "PORT": str(port), "OMP_NUM_THREADS": "1", **settings}
    command = [python, "-P", "-m", "infer_segment_anything_3", "serve", "--model", "tiny_shapes"]
    with log.open("w") as file:
        server = subprocess.Popen(
            [*command, "--port", str(port)], env=environment, stderr=file, stdout=file
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{address}/health").raise_for_status()
                break
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(60)
