"""The engine leaves the process of its host as it found it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SNAPSHOT = """
import json, logging, os, sys, threading, warnings

logging.getLogger("sam3.of_the_host").addHandler(logging.NullHandler())
os.environ["LOG_LEVEL"] = "a value of the host"

def snapshot():
    state = {
        "environment": dict(os.environ),
        "root handlers": [repr(h) for h in logging.getLogger().handlers],
        "root level": logging.getLogger().level,
        "handlers of others": [repr(h) for h in logging.getLogger("sam3.of_the_host").handlers],
        "own handlers": {
            name: [repr(h) for h in logger.handlers]
            for name, logger in sorted(logging.root.manager.loggerDict.items())
            if name.startswith(("sam3", "infer_segment")) and getattr(logger, "handlers", None)
        },
        "disabled": logging.root.manager.disable,
        "warning filters": len(warnings.filters),
        "directory": os.getcwd(),
    }
    if "torch" in sys.modules:
        import torch
        cuda = torch.backends.cuda
        state["torch"] = {
            "autocast": [torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")],
            "tf32": [cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32],
            "sdp": [cuda.flash_sdp_enabled(), cuda.math_sdp_enabled(),
                    cuda.mem_efficient_sdp_enabled()],
            "deterministic": [torch.are_deterministic_algorithms_enabled(),
                              torch.backends.cudnn.benchmark],
            "default": [str(torch.get_default_dtype()), str(torch.get_default_device())],
            "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
            "gradients": [torch.is_grad_enabled(), torch.is_inference_mode_enabled()],
            "matmul precision": torch.get_float32_matmul_precision(),
            "patched": [id(torch.Tensor.pin_memory), id(torch.empty), id(torch.Tensor.to)],
            "modes": torch.overrides._len_torch_function_stack()
                if hasattr(torch.overrides, "_len_torch_function_stack") else 0,
        }
    return state
"""

RUN = (
    SNAPSHOT
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
