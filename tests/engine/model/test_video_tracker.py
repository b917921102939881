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


def test_a_mask_that_lies_under_others_is_emptied_as_by_the_package(tiny_engine: Engine) -> None:
    tracker = tiny_engine.model.inst_interactive_predictor.model
    masks = torch.full((5, 1, 32, 40), -3.0)
    masks[0, :, :20, :20] = 2.0
    masks[1, :, 5:15, 5:15] = 1.0  # nothing of it is left
    masks[2, :, 5:15, 15:25] = 1.0  # half of it is left
    masks[3, :, :20, :20] = 2.0  # equal to the first, which takes all
    before = masks.clone()
    theirs = Sam3TrackerPredictor._suppress_object_pw_area_shrinkage(tracker, masks)
    ours = tracker._suppress_object_pw_area_shrinkage(masks)
    assert torch.equal(ours, theirs)
    assert torch.equal(masks, before)
    assert (ours > 0).flatten(1).any(1).tolist() == [True, False, True, False, False]
