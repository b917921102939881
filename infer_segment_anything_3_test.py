"""Tests the plugin for Ikomia HUB."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from ikomia.utils.tests import run_for_test

logger = logging.getLogger("infer_segment_anything_3")


def test(t: Any, data_dict: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """Segments one image: with Meta's weights if this machine has them, else the bundled model.

    Nothing is downloaded: Meta's weights are gated, and a test must not wait for them.

    Args:
        t: The task.
        data_dict: Paths of the HUB's sample data.

    Returns:
        The task's parameters, and ``OK`` or what went wrong.
    """
    if _has_sam3():
        image = _read_image(data_dict["images"]["detection"]["coco"])
        parameters = {"model_name": "sam3", "input_text": "person"}
    else:
        image = _draw_red_circle()
        parameters = {"model_name": "tiny_shapes", "input_text": "red circle"}
    logger.info("===== Test::%s, %s =====", t.name, parameters["model_name"])
    t.get_input(0).set_image(image)
    t.set_parameters(parameters)
    return run_for_test(t)


def _has_sam3() -> bool:
    # The HUB may load this file by its path: it has no package to be relative to.
    from infer_segment_anything_3.engine.checkpoints.hub import find_cached_file
    from infer_segment_anything_3.engine.checkpoints.zoo import CHECKPOINT_VARIABLE, MODELS

    model = MODELS["sam3"]
    if os.environ.get(CHECKPOINT_VARIABLE):
        return True
    return model.repo_id is not None and find_cached_file(model.repo_id, model.filename) is not None


def _read_image(path: str) -> npt.NDArray[np.uint8]:
    bgr = cv2.imread(path)
    if bgr is None:
        raise FileNotFoundError(path)
    return np.ascontiguousarray(bgr[:, :, ::-1], np.uint8)


def _draw_red_circle() -> npt.NDArray[np.uint8]:
    """Draws a picture that the bundled model knows: (300, 400, 3) RGB."""
    image = np.full((300, 400, 3), 130, np.uint8)
    return np.asarray(cv2.circle(image, (180, 140), 50, (220, 40, 40), -1), np.uint8)
