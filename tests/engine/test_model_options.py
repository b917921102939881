"""The number of threads is set before PyTorch is imported, and only where it helps."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from infer_segment_anything_3.engine.model_options import set_threads


@pytest.mark.parametrize(
    ("model", "given", "expected"),
    [
        ("tiny_shapes", None, "1"),
        ("tiny_shapes", "3", "3"),
        ("sam3", None, None),
        ("x", None, None),
    ],
)
def test_threads_that_suit_a_model(
    monkeypatch: pytest.MonkeyPatch, model: str, given: str | None, expected: str | None
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    set_threads(model)
    found = os.environ.pop("OMP_NUM_THREADS", None)
    assert found == expected


def test_it_imports_no_torch_and_torch_obeys() -> None:
    code = (
        "import sys; from infer_segment_anything_3.engine.model_options import set_threads; "
        "set_threads('tiny_shapes'); assert 'torch' not in sys.modules; "
        "import torch; print(torch.get_num_threads())"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=environment | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"
