"""Measures the server against the engine: time of a click, images a second, by locust."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ..engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from ..engine.images import decode_image
from .context import BenchmarkContext, draw_image
from .table import Row

IMAGE_HW = (480, 640)
IMAGES = 32
"""More than the engine keeps encoded, so that each image is encoded anew."""

CLIENTS = (1, 8, 32)
LOAD_S = 20
MAX_EXCESS_MS = 5.0
LEAST_SHARE_OF_DIRECT = 0.8


@dataclasses.dataclass(frozen=True)
class LoadResult:
    """Holds the measurements of locust.

    Attributes:
        times_ms: Of every request.
        statuses: How many answers there were of each status.
        cpu_s: Processor time of locust itself, its start included.
        wall_s: How long the load lasted.
    """

    times_ms: tuple[float, ...]
    statuses: dict[str, int]
    cpu_s: float
    wall_s: float

    def percentile_ms(self, percent: float) -> float:
        """Returns a percentile of the times."""
        return float(np.percentile(self.times_ms, percent))

    @property
    def per_second(self) -> float:
        """Requests answered in a second."""
        return len(self.times_ms) / self.wall_s

    def describe(self) -> str:
        """Describes the run: requests, errors, and the share of the slowest."""
        tails = " / ".join(f"{self.percentile_ms(p):.1f}" for p in (50, 95, 99))
        refused = self.statuses.get("503", 0)
        failed = sum(self.statuses.values()) - refused - self.statuses.get("200", 0)
        return (
            f"p50 / p95 / p99 {tails} ms; {len(self.times_ms)} requests, {refused} refused, "
            f"{failed} failed; locust used {self.cpu_s:.1f} s of processor time in "
            f"{self.wall_s:.0f} s"
        )


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields clicks on an embedded image, and concepts on new images, for several clients."""
    with tempfile.TemporaryDirectory(prefix="load-") as name:
        folder = Path(name)
        write_images(folder)
        with run_server(context.model_name, context.device, context.weight_file) as (address, _):
            for clients in CLIENTS:
                direct_ms = _time_direct_clicks(context.engine, folder)
                load = run_load(address, "click", folder, clients)
                yield Row(
                    f"click on an embedded 640×480 image, {_count(clients)}, p50",
                    load.percentile_ms(50),
                    reference=direct_ms,
                    reference_name="engine, p50",
                    excess_at_most=MAX_EXCESS_MS if clients == 1 else None,
                    note=load.describe(),
                )
            for clients in CLIENTS:
                before = _measure_direct_rate(context.engine, folder)
                load = run_load(address, "image", folder, clients)
                direct = (before + _measure_direct_rate(context.engine, folder)) / 2
                yield Row(
                    f"new 640×480 JPEG and a concept, {_count(clients)}",
                    load.per_second,
                    unit="images/s",
                    reference=direct,
                    reference_name="engine",
                    at_least=round(LEAST_SHARE_OF_DIRECT * direct, 2) if clients == 8 else None,
                    note=load.describe(),
                )


def write_images(folder: Path) -> None:
    """Writes the images that are sent."""
    for seed in range(IMAGES):
        path = folder / f"{seed:02}.jpg"
        Image.fromarray(draw_image(seed, IMAGE_HW)).save(path, quality=90)


@contextlib.contextmanager
def run_server(model: str, device: str, weights: Path | None) -> Iterator[tuple[str, int]]:
    """Runs a server process; gives its address and its process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "MODEL": model, "DEVICE": device, "PORT": str(port)}
    environment |= {"LOG_LEVEL": "WARNING", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if weights:
        environment["SAM3_CHECKPOINT"] = str(weights)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", __package__.rpartition(".")[0], "serve"], env=environment
    )
    try:
        address = f"http://127.0.0.1:{port}"
        while process.poll() is None:
            with contextlib.suppress(urllib.error.URLError):
                urllib.request.urlopen(address + "/healthz", timeout=5).close()
                break
            time.sleep(0.2)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


def run_load(
    address: str, kind: str, images: Path, clients: int, seconds: float = LOAD_S
) -> LoadResult:
    """Runs locust's clients for a number of seconds.

    Args:
        address: The server.
        kind: ``click`` or ``image``.
        images: Folder of JPEG files.
        clients: How many ask at the same time.
        seconds: How long.

    Returns:
        What it measured.
    """
    with tempfile.TemporaryDirectory(prefix="locust-") as folder:
        result = Path(folder, "result.json")
        command = [sys.executable, "-W", "ignore", "-m", "locust", "--headless", "--only-summary"]
        command += ["-f", str(Path(__file__).with_name("serving_load.py")), "--host", address]
        command += ["--users", str(clients), "--spawn-rate", str(clients)]
        command += ["--run-time", f"{seconds:g}s", "--stop-timeout", "30", "--loglevel", "ERROR"]
        environment = {
            **os.environ,
            "LOAD_KIND": kind,
            "LOAD_IMAGES": str(images),
            "LOAD_RESULT": str(result),
        }
        subprocess.run(command, env=environment, capture_output=True, check=False)
        found = json.loads(result.read_text())
    return LoadResult(tuple(found["times_ms"]), found["statuses"], found["cpu_s"], seconds)


def _count(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"


def _time_direct_clicks(engine: Engine, folder: Path, seconds: float = 5) -> float:
    """Measures the median milliseconds of the clients' click, without the server."""
    image = decode_image(io.BytesIO((folder / "00.jpg").read_bytes()))
    prompt = ObjectPrompt((PromptedObject(points_xy=((256.0, 288.0),)),))
    times = []
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        started = time.perf_counter()
        engine.segment(image, prompt)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1000


def _measure_direct_rate(engine: Engine, folder: Path, seconds: float = 10) -> float:
    """Measures the images a second that a loop decodes and segments."""
    files = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
    prompt = ConceptPrompt(("circle",))
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        engine.segment(decode_image(io.BytesIO(files[count % len(files)])), prompt)
        count += 1
    return count / (time.perf_counter() - started)
