"""Target 3: from a checkpoint file to ready, and what importing the plugin costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .rows import Row
from .subjects import Subjects

LOADING = f"{__package__}.loading"

IMPORT = """
import sys, tempfile, time
from pathlib import Path
from infer_segment_anything_3.examples.ikomia_home import fill_home, set_environment
with tempfile.TemporaryDirectory() as folder:
    plugin = fill_home(Path(folder))
    set_environment(Path(folder))
    from ikomia.dataprocess.registry import ik_registry
    started = time.perf_counter()
    ik_registry.load_python_algorithm(str(plugin))
    print(time.perf_counter() - started, int("torch" in sys.modules or "sam3" in sys.modules))
"""


def rows(subjects: Subjects) -> Iterator[Row]:
    """Measures each start in a process of its own: loading is done once in a process."""
    yield from loading_rows(subjects)
    yield from _import_rows(subjects.repeats)


def loading_rows(subjects: Subjects) -> Iterator[Row]:
    """What needs no Ikomia; nothing for the bundled model, which the package cannot build."""
    if subjects.weight_file is not None:
        _read_through(subjects.weight_file)
        ours = _loaded(subjects, "ours", subjects.weight_file)
        package = _loaded(subjects, "package", subjects.weight_file)
        yield from _compared(subjects.weight_file, ours, package)
        yield from _safetensors(subjects, package)


def _compared(path: Path, ours: dict[str, float], package: dict[str, float]) -> Iterator[Row]:
    size = path.stat().st_size
    yield Row(
        "3", "checkpoint file (.pt) to model", ours["seconds"], "s", package["seconds"],
        "ratio", 0.25, note="each in a process of its own, the file in the system's cache",
    )  # fmt: skip
    yield Row(
        "3", "peak memory above imports (.pt), as a multiple of the file", ours["peak"] / size, "",
        package["peak"] / size, "at most", 1.1, note="mapped pages of the file count",
    )  # fmt: skip
    yield Row(
        "3", "first encoding as a multiple of the second", ours["first"] / ours["second"], "",
        kind="at most", limit=1.1,
        note=f"{ours['first']:.1f} s and {ours['second']:.1f} s, {ours['precision']}",
    )  # fmt: skip


def _safetensors(subjects: Subjects, package: dict[str, float]) -> Iterator[Row]:
    import torch
    from safetensors.torch import save_file

    assert subjects.weight_file is not None
    with tempfile.TemporaryDirectory(dir=subjects.weight_file.parent) as folder:
        path = Path(folder) / "sam3.safetensors"
        save_file(torch.load(subjects.weight_file, mmap=True, weights_only=True), path)
        ours = _loaded(subjects, "ours without encodings", path)
        size = path.stat().st_size
    yield Row(
        "3", "checkpoint file (.safetensors) to model", ours["seconds"], "s", package["seconds"],
        "ratio", 0.25, note="the package reads .pt only: its time for that",
    )  # fmt: skip
    yield Row(
        "3", "peak memory above imports (.safetensors), as a multiple of the file",
        ours["peak"] / size, kind="at most", limit=1.1, unit="",
    )  # fmt: skip


def _read_through(path: Path) -> None:
    """Brings a file into the system's cache: the disk's speed is not what is compared."""
    with path.open("rb") as file:
        while file.read(2**24):
            pass


def _loaded(subjects: Subjects, who: str, path: Path) -> dict[str, Any]:
    arguments = [who, str(path), subjects.device, subjects.precision]
    result: dict[str, Any] = json.loads(run_python(["-m", LOADING, *arguments]).splitlines()[-1])
    return result


def _import_rows(repeats: int) -> Iterator[Row]:
    measured = [run_python(["-c", IMPORT]).splitlines()[-1].split() for _ in range(min(3, repeats))]
    yield Row(
        "3", "importing the plugin into a running Ikomia", min(float(m[0]) for m in measured),
        "s", kind="at most", limit=0.5,
    )  # fmt: skip
    yield Row(
        "3", "imports of torch or sam3 by that", max(float(m[1]) for m in measured), "",
        kind="at most", limit=0,
    )  # fmt: skip


def run_python(arguments: list[str]) -> str:
    """What a Python of its own prints, with this one's modules at hand."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    finished = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(finished.stderr)
    return finished.stdout
