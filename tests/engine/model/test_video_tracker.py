"""What the tracker computes in another way than the package gives the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sam3.model.decoder import TransformerEncoderCrossAttention
from sam3.model.sam3_tracker_base import Sam3TrackerBase
from sam3.model.sam3_tracking_predictor import Sam3TrackerPredictor

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.engine.model import patched_modules, video_tracker
from infer_segment_anything_3.engine.model.video_tracker import VideoTracker


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


@pytest.fixture
def tracker(tiny_engine: Engine) -> VideoTracker:
    found: VideoTracker = tiny_engine.model.inst_interactive_predictor.model
    return found


@pytest.mark.parametrize("cells_at_a_time", [1, 2 * 400, 10**6])
@pytest.mark.parametrize("same_frame", [True, False])
@torch.inference_mode()
def test_memory_attention_is_the_packages(
    tracker: VideoTracker, monkeypatch: pytest.MonkeyPatch, same_frame: bool, cells_at_a_time: int
) -> None:
    monkeypatch.setattr(patched_modules, "_ATTENDING_CELLS", cells_at_a_time)
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    cells, width = tracker.sam_image_embedding_size**2, tracker.hidden_dim
    features, positions = draw(cells, 1, width), draw(cells, 1, width)
    if not same_frame:
        features = draw(cells, 5, width)
    arguments: dict[str, Any] = {
        "src": [features.expand(-1, 5, -1)],
        "src_pos": [positions.expand(-1, 5, -1)],
        "src_key_padding_mask": [None],
        "prompt": draw(2 * cells + 4, 5, tracker.mem_dim),
        "prompt_pos": draw(2 * cells + 4, 5, tracker.mem_dim),
        "num_obj_ptr_tokens": 4,
    }
    encoder = tracker.transformer.encoder
    theirs = TransformerEncoderCrossAttention.forward(encoder, **arguments)["memory"]
    torch.testing.assert_close(encoder(**arguments)["memory"], theirs, rtol=0, atol=1e-4)


@torch.inference_mode()
def test_masks_are_encoded_and_decoded_in_parts_as_together(
    tracker: VideoTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_tracker, "_ENCODED_PIXELS", 2 * tracker.image_size**2)
    monkeypatch.setattr(video_tracker, "_DECODED_CELLS", 2 * tracker.low_res_mask_size**2)
    side, width, cells = tracker.image_size, tracker.hidden_dim, tracker.sam_image_embedding_size
    decoder = tracker.sam_mask_decoder
    maps = torch.randn(5, width, cells, cells)
    finer = [
        torch.randn(5, layer.out_channels, cells * k, cells * k)
        for layer, k in ((decoder.conv_s0, 4), (decoder.conv_s1, 2))
    ]
    decoding = {"high_res_features": finer, "multimask_output": True}
    encoding: dict[str, Any] = {
        "image": None,
        "current_vision_feats": [maps.flatten(2).permute(2, 0, 1)],
        "feat_sizes": [(cells, cells)],
        "pred_masks_high_res": 5 * torch.randn(5, 1, side, side),
        "object_score_logits": torch.randn(5, 1),
        "is_mask_from_pts": False,
    }
    for ours, theirs in (
        (
            tracker._forward_sam_heads(maps, **decoding),
            Sam3TrackerBase._forward_sam_heads(tracker, maps, **decoding),
        ),
        (
            tracker._encode_new_memory(**encoding),
            Sam3TrackerBase._encode_new_memory(tracker, **encoding),
        ),
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
