from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infer_segment_anything_3.studio import cuda

OPEN_THE_FORM = """
import sys
from PyQt6.QtWidgets import QApplication
application = QApplication([])
from infer_segment_anything_3.studio.panel import Panel
panel = Panel()
field = panel.fields["cuda"]
assert "torch" not in sys.modules
print(int(field.editor.isEnabled()), field.reason_note.text())
import torch
assert field.editor.isEnabled() == torch.cuda.is_available(), torch.cuda.is_available()
panel.show_run_note("")
assert field.editor.isEnabled() == torch.cuda.is_available()
"""


def test_the_form_opens_without_torch_and_knows_what_torch_would_say():
    plugins = Path(os.environ["HOME"]) / "Ikomia" / "Plugins" / "Python"
    done = subprocess.run(
        [sys.executable, "-P", "-c", OPEN_THE_FORM],
        env=os.environ | {"PYTHONPATH": str(plugins), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    enabled, _, reason = done.stdout.strip().partition(" ")
    assert bool(reason) == (enabled == "0")


@pytest.mark.parametrize(
    ("version", "visible_devices", "has_driver", "why"),
    [
        ("cuda = '13.2'", "0", True, None),
        ("cuda = None; hip = '6.4'", "0", True, None),
        ("cuda = '13.2'", "0", False, cuda.NO_DRIVER),
        ("cuda = '13.2'", "-1", True, cuda.NO_DEVICE),
        ("cuda = '13.2'", "", True, cuda.NO_DEVICE),
        ("cuda = None", "0", True, cuda.NO_BUILD.format(version="9.9+x")),
        ("cuda = None; hip = None", "0", False, cuda.NO_BUILD.format(version="9.9+x")),
        (None, "0", True, cuda.NO_TORCH),
    ],
)
def test_the_reason_is_the_one_that_holds(
    monkeypatch, tmp_path, version, visible_devices, has_driver, why
):
    spec = None
    if version is not None:
        (tmp_path / "version.py").write_text(f"__version__ = '9.9+x'\n{version}\n")
        spec = importlib.machinery.ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(cuda, "_has_driver", lambda: has_driver)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible_devices)
    assert cuda.explain_missing_cuda() == why
