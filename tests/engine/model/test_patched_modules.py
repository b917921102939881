"""Modules that replace the package's give the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.engine.model.patched_modules import SinePositions
from infer_segment_anything_3.engine.model.sam3_imports import PositionEmbeddingSine


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_positions_are_the_packages(dtype: torch.dtype) -> None:
    theirs, ours = PositionEmbeddingSine(8), SinePositions(8)
    for shape in ((1, 3, 5, 7), (4, 3, 5, 7), (2, 3, 6, 6)):
        maps = torch.zeros(shape, dtype=dtype)
        for _ in range(2):
            assert torch.equal(ours(maps), theirs(maps).to(dtype))


def test_positions_that_were_first_asked_in_inference_mode_serve_in_training() -> None:
    positions, maps = SinePositions(8), torch.ones(2, 8, 5, 7, requires_grad=True)
    with torch.inference_mode():
        positions(torch.zeros(1, 8, 5, 7))
    (maps * positions(maps)).sum().backward()
    assert torch.equal(maps.grad, positions(maps))


def test_images_share_their_position_tables(tiny_engine: Engine) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    states = [tiny_engine.encoder.encode_uncached(image + k).state for k in range(2)]
    one, other = (
        [
            table.untyped_storage().data_ptr()
            for features in (state["backbone_out"], state["backbone_out"]["sam2_backbone_out"])
            for table in features["vision_pos_enc"]
        ]
        for state in states
    )
    assert one == other
