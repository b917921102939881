"""A synthetic file of the full size: loads to the bit, within its own size of memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from infer_segment_anything_3.engine.checkpoints import zoo as checkpoints
from infer_segment_anything_3.engine.checkpoints.layouts import get_meta_name
from infer_segment_anything_3.engine.model.config import SAM3
from infer_segment_anything_3.tools.random_weights import build_random_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's /proc"),
]

MEASURE = """
import json, sys, time
from pathlib import Path
import infer_segment_anything_3.engine.model.build
from infer_segment_anything_3.engine.checkpoints import loader, zoo
import safetensors, torch

def kib(field):
    status = Path("/proc/self/status").read_text()
    return int(status.split(field + ":")[1].split()[0])

path = Path(sys.argv[1])
Path("/proc/self/clear_refs").write_text("5")
before, mapped_before = kib("VmRSS"), kib("RssFile")
start = time.perf_counter()
model = loader.load_model("sam3", path, "cpu")
seconds = time.perf_counter() - start
state = model.state_dict()
print(json.dumps({
    "seconds": seconds,
    "peak": (kib("VmHWM") - before) * 1024 / path.stat().st_size,
    "mapped": (kib("RssFile") - mapped_before) * 1024 / path.stat().st_size,
    "sums": {name: tensor.abs().sum(dtype=torch.float64).item() for name, tensor in state.items()},
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Seven gigabytes that no later run needs."""
    folder = tmp_path_factory.mktemp("full size")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def sums(folder: Path) -> dict[str, float]:
    """Writes both files; what the weights in them add up to, by name."""
    state = build_random_model(SAM3).state_dict()
    named = {get_meta_name(name): tensor for name, tensor in state.items()}
    assert len(named) == 1465, "the package's video model, which loads Meta's file strictly"
    torch.save(named, folder / "sam3.pt")
    save_file(named, folder / "sam3.safetensors")
    return {name: _sum(tensor) for name, tensor in state.items()}


def _sum(tensor: torch.Tensor) -> float:
    return tensor.abs().sum(dtype=torch.float64).item()


@pytest.mark.parametrize("filename", ["sam3.pt", "sam3.safetensors"])
def test_full_size_file(
    folder: Path,
    sums: dict[str, float],
    record_property: Callable[[str, object], None],
    filename: str,
) -> None:
    path = folder / filename
    package_parent = str(Path(sys.modules[checkpoints.__name__].__file__ or "").parents[3])
    output = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURE, str(path)],
        env={"PYTHONPATH": package_parent, "PATH": ""},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(output.stdout)
    record_property("seconds", measured["seconds"])
    # How a sum is split among threads is up to the process.
    assert measured["sums"] == pytest.approx(sums, rel=1e-12)
    assert measured["peak"] <= 1.1
    # Every page of the file is in the process: the first encoding waits for none.
    assert measured["mapped"] >= 0.98
