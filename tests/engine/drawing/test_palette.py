"""The colors of instances, classes and tracks."""

from __future__ import annotations

import numpy as np
import pytest

from infer_segment_anything_3.engine.drawing.palette import (
    BRIGHT,
    PALETTE,
    get_class_colors,
    get_instance_color,
    is_bright,
)

# Machado, Oliveira, Fernandes 2009, severity 1, on linear RGB.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.1191920, 0.9503041]]
)  # fmt: skip


def to_lab(color, vision):
    rgb = np.array(color) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(VISIONS[vision] @ linear, 0, 1) / (0.95047, 1, 1.08883)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize(("apart", "least"), [(1, 30), (2, 20)])
def test_neighbors_differ_for_the_color_blind(vision, apart, least):
    labs = [to_lab(color, vision) for color in BRIGHT]
    for index, lab in enumerate(labs):
        other = labs[(index + apart) % len(labs)]
        assert np.linalg.norm(lab - other) >= least, (index, vision)


def test_classes_have_different_colors_in_the_order_of_the_palette():
    colors = get_class_colors([f"thing {index}" for index in range(48)])
    assert colors == list(PALETTE)
    assert len(set(colors)) == 48
    assert get_class_colors(["dog", "cat"], {"cat": (1, 2, 3)}) == [PALETTE[0], (1, 2, 3)]
    assert len(get_class_colors(map(str, range(255)))) == 255


def test_instances_repeat_the_bright_colors():
    assert get_instance_color(0) == get_instance_color(len(BRIGHT)) == BRIGHT[0]


@pytest.mark.parametrize("color", PALETTE)
def test_text_can_be_read_on_every_color(color):
    luminance = (TO_XYZ @ _to_linear(color))[1]
    ink = 0.0 if is_bright(color) else 1.0
    high, low = max(luminance, ink), min(luminance, ink)
    assert (high + 0.05) / (low + 0.05) >= 4.5, "WCAG AA"


def _to_linear(color):
    rgb = np.array(color) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
