"""The engine leaves the process of its host as it found it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infer_segment_anything_3.tests import host_state

HOST = """
import json
logging.getLogger("sam3.of_the_host").addHandler(logging.NullHandler())
os.environ["LOG_LEVEL"] = "a value of the host"
"""

RUN = (
    Path(host_state.__file__).read_text(encoding="utf-8")
    + HOST
    + """
import numpy as np
import torch, torchvision, timm, skimage.measure
torch.backends.cuda.enable_flash_sdp(False)
stages = {"before import": snapshot()}
from infer_segment_anything_3.engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
stages["after import"] = snapshot()
engine = Engine.load("tiny_shapes", device="cpu", precision="PRECISION")
stages["after loading"] = snapshot()
image = np.full((64, 80, 3), 128, np.uint8)
clicks = ObjectPrompt((PromptedObject(points_xy=((3.0, 4.0),)),))
engine.segment(image, ConceptPrompt(("circle",), exemplars_xyxy=((2.0, 3.0, 30.0, 40.0),)))
engine.segment(image, clicks)
stages["after runs"] = snapshot()
def fail(step):
    raise KeyboardInterrupt(step)
for prompt in (clicks, ConceptPrompt(("circle",))):
    try:
        engine.segment(image, prompt, on_step=fail)
    except KeyboardInterrupt:
        pass
stages["after failed runs"] = snapshot()
print(json.dumps(stages))
"""
)


WITHOUT_TRITON = """
import importlib.util, sys
sys.modules["triton"] = None
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name.partition(".")[0] == "triton" else find_spec(name, package)
)
import numpy as np
from infer_segment_anything_3.engine import ConceptPrompt, Engine, VideoSession
engine = Engine.load("tiny_shapes", device="cpu")
image = np.full((200, 200, 3), 128, np.uint8)
image[60:140, 60:140] = (220, 40, 40)
prompt = ConceptPrompt(("red square",))
session = VideoSession(engine, prompt)
print(len(engine.segment(image, prompt).instances), len(session.step(image).instances))
"""


def test_images_and_videos_run_without_triton(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_TRITON],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        check=False,
    )
    assert finished.stdout == "1 1\n", finished.stderr


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nothing_process_wide_is_left_changed(precision: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(
        [sys.executable, "-c", RUN.replace("PRECISION", precision)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    stages = json.loads(finished.stdout)
    before = stages.pop("before import")
    for stage, state in stages.items():
        assert state == before, stage


def test_importing_the_engine_does_not_import_torch(tmp_path: Path) -> None:
    code = "import sys, infer_segment_anything_3.engine; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    assert finished.stdout.strip() == "False"
