"""The demo, run as ``make demo`` runs it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_3.examples.panels import (
    MARGIN_PX,
    PICTURE_WIDTH_PX,
    Panel,
    side_by_side,
)


def run_demo(ikomia_home, *arguments):
    plugins = ikomia_home / "Ikomia" / "Plugins" / "Python"
    return subprocess.run(
        [sys.executable, "-P", "-m", "infer_segment_anything_3.examples.demo", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(plugins)},
        check=False,
    )


def test_it_shows_a_text_a_click_and_a_box(ikomia_home, tmp_path):
    out = tmp_path / "new" / "demo.png"
    done = run_demo(ikomia_home, "--out", str(out))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    header = next(line for line in lines if line.startswith("prompt"))
    assert " ".join(header.split()) == "prompt class score box (x, y, w, h) area (px)"
    for prompt in ("Text: circle", "Click at", "Box"):
        assert any(line.startswith(prompt) for line in lines), prompt
    assert lines[-1] == str(out)
    with Image.open(out) as picture:
        assert picture.width == 3 * PICTURE_WIDTH_PX + 4 * MARGIN_PX


def test_a_picture_that_is_not_there_is_named(ikomia_home, tmp_path):
    done = run_demo(ikomia_home, "--image", str(tmp_path / "absent.jpg"))
    assert done.returncode != 0
    assert "absent.jpg" in done.stderr


@pytest.mark.parametrize("hw", [(300, 400), (50, 900), (4000, 60)])
def test_panels_of_any_shape(hw):
    image = np.zeros((*hw, 3), np.uint8)
    legend = [((255, 0, 0), f"thing {index} with a long name") for index in range(20)]
    page = side_by_side(
        [Panel("A title " * 30, legend, image, (3, 3)), Panel("", [], image, None, (1, 1, 9, 9))]
    )
    assert page.width == 2 * PICTURE_WIDTH_PX + 3 * MARGIN_PX
