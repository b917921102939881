"""The plugin, run by Ikomia, leaves the process of its host as it found it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("ikomia")

from infer_segment_anything_3.tests import host_state

STAGES = """
import importlib, json, os, sys, threading

for name in ("QtCore", "QtDBus", "QtGui", "QtNetwork", "QtSql", "QtSvg", "QtWidgets"):
    importlib.import_module(f"PyQt6.{name}")
# The host's own: a log handler, an environment variable that sam3 cannot read, switches.
logging.getLogger("sam3.of_the_host").addHandler(logging.NullHandler())
os.environ["LOG_LEVEL"] = "a value of the host"
from ikomia.dataprocess.registry import ik_registry
from ikomia.dataprocess.workflow import Workflow
import numpy as np
import torch, torchvision, timm, skimage.measure, cv2, huggingface_hub
torch.backends.cuda.enable_flash_sdp(False)
torch.backends.cuda.matmul.allow_tf32 = False
torch.manual_seed(7)

before, known, found = snapshot(), functions(), {}

def note(stage):
    found[stage] = changed(before, snapshot())
    if sam3_known:
        found[stage] |= changed(sam3_known, functions())
    found[stage] |= changed(known, functions())

sam3_known = {}
ik_registry.load_python_algorithm(PLUGIN)
workflow = Workflow()
task = workflow.add_task(name="infer_segment_anything_3", auto_connect=True, public_hub=False)
note("after import")
image = np.full((60, 80, 3), 128, np.uint8)
base = {"model_name": "tiny_shapes", "precision": PRECISION, "cuda": "False"}
asked = [
    {"input_point": "[5, 6]"},
    {"input_box": "[1, 2, 40, 50]", "multimask_output": "True"},
    {"input_text": "circle, star", "input_box": "[1, 2, 40, 50]"},
    {"input_text": "circle", "tiles": "2"},
    {"prompt_mode": "everything", "points_per_side": "2"},
    {"input_text": "circle", "tracking": "on"},
    {"input_point": "[5, 6]", "tracking": "on"},
]
default = task.get_parameters()
for index, values in enumerate(asked):
    task.set_parameters({**default, **base, **values})
    workflow.run_on(array=image)
    sam3_known = sam3_known or functions()
    note(f"after run {index}")

def interrupt():
    raise KeyboardInterrupt

from infer_segment_anything_3.engine import Engine

engine = Engine.load("tiny_shapes", None, "cpu", PRECISION)  # the one that the task holds
for index, values in enumerate([{**asked[0], "input_point": "[500, 6]"}, *asked]):
    task.set_parameters({**default, **base, **values})
    engine.image_cache.clear()
    steps = []
    task.emit_step_progress = lambda: steps.append(1) or len(steps) == 2 and interrupt()
    try:
        workflow.run_on(array=image)
    except (RuntimeError, KeyboardInterrupt):
        note(f"after failed run {index}")
del task.emit_step_progress
task.set_parameters({**default, **base, "model_weight_file": "/nowhere.pt", **asked[0]})
try:
    workflow.run_on(array=image)
except RuntimeError:
    note("after a failed load")
thread = threading.Thread(target=workflow.clear)
thread.start()
thread.join()
del task, engine, workflow
note("after the task has gone")
print("STAGES" + json.dumps(found, default=str))
"""


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nothing_process_wide_is_left_changed(ikomia_home, tmp_path, precision):
    plugin = ikomia_home / "Ikomia" / "Plugins" / "Python" / "infer_segment_anything_3"
    values = f"PLUGIN, PRECISION = {str(plugin)!r}, {precision!r}\n"
    script = tmp_path / "host.py"
    source = Path(host_state.__file__).read_text(encoding="utf-8")
    script.write_text(source + values + textwrap.dedent(STAGES), encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, "-P", str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    stages = json.loads(finished.stdout.rpartition("STAGES")[2])
    # One import, seven runs, eight failed runs, a failed load, the end.
    assert len(stages) == 18
    assert {stage: change for stage, change in stages.items() if change} == {}
