"""What a script with the plugin shows on a machine as users have them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from infer_segment_anything_3.examples.ikomia_home import CHECKOUT, QT_MODULES, fill_home

START = """
import importlib, os, sys
for module in {modules!r}: importlib.import_module("PyQt6." + module)
from ikomia.dataprocess.workflow import Workflow
import numpy as np
wf = Workflow()
task = wf.add_task(name="infer_segment_anything_3", auto_connect=True, public_hub=False)
task.set_parameters({{"model_name": "tiny_shapes", "input_text": "circle", "cuda": "False"}})
"""

HIDE = """
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
"""

RUN = "wf.run_on(array=np.full((60, 80, 3), 128, np.uint8))\n"


@pytest.fixture
def run_script(ikomia_home, tmp_path):
    """Runs a script in a Python and a home of its own."""
    fill_home(tmp_path)

    def run(code, *options):
        return subprocess.run(
            [sys.executable, "-P", *options, "-c", START.format(modules=QT_MODULES) + code],
            capture_output=True,
            text=True,
            timeout=240,
            cwd=tmp_path,
            env={
                "HOME": str(tmp_path),
                "PATH": "/usr/bin:/bin",
                "IKOMIA_AUTO_COMPLETION": "false",
                "QT_QPA_PLATFORM": "offscreen",
                "OMP_NUM_THREADS": "1",
            },
        )

    return run


@pytest.mark.parametrize("package", ["torch", "sam3", "safetensors", "open_clip"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    run_script, tmp_path, package
):
    done = run_script(HIDE.format(package=package) + RUN)
    plugin = tmp_path / "Ikomia" / "Plugins" / "Python" / "infer_segment_anything_3"
    assert plugin.resolve() == CHECKOUT
    line = f'{package} is not installed: run "{sys.executable}" -m pip install -r '
    line += f'"{plugin / "requirements.txt"}"'
    assert done.returncode == 1
    first = done.stderr.splitlines()[0]
    assert first == line
    [error] = [row for row in done.stderr.splitlines() if row.startswith("RuntimeError")]
    assert line in error
    # What is left of the traceback is the one line of this plugin that Ikomia always shows.
    assert len(done.stderr[done.stderr.index("RuntimeError") :].splitlines()) <= 6
    assert line in (tmp_path / "Ikomia" / "log.txt").read_text()


def test_numpy_does_not_warn_of_ikomias_float_setting(run_script):
    done = run_script(
        "from ikomia.utils.displayIO import display\n" + RUN + "import matplotlib.pyplot\n",
        "-W",
        "always",
    )
    assert done.returncode == 0, done.stderr
    assert "subnormal" not in done.stderr
