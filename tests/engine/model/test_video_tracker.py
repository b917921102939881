"""What the tracker computes in another way than the package gives the same."""

from __future__ import annotations

import pytest
import torch
from sam3.model.sam3_tracking_predictor import Sam3TrackerPredictor

from infer_segment_anything_3.engine import Engine


@pytest.mark.parametrize("count", [1, 2, 5])
def test_masks_that_overlap_are_separated_as_by_the_package(
    tiny_engine: Engine, count: int
) -> None:
    tracker = tiny_engine.model.inst_interactive_predictor.model
    generator = torch.Generator().manual_seed(count)
    # Whole numbers: many pixels have the same logit in several masks.
    masks = torch.randint(-30, 6, (count, 1, 32, 40), generator=generator).float()
    for name in ("_apply_non_overlapping_constraints", "_suppress_object_pw_area_shrinkage"):
        theirs = getattr(Sam3TrackerPredictor, name)(tracker, masks)
        assert torch.equal(getattr(tracker, name)(masks), theirs)
