"""How far a streamed session may differ from the package's classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

LOGIT_TOLERANCE = 1e-3
SCORE_TOLERANCE = 1e-4


def assert_same_mask(
    mask: np.ndarray, out: dict[str, Any], track_id: int, reference: torch.Tensor
) -> None:
    """Masks differ at most where the package's upscaled logit is at the threshold."""
    row = list(out["out_obj_ids"]).index(track_id)
    differing = mask != out["out_binary_masks"][row]
    if differing.any():
        upscaled = torch.nn.functional.interpolate(
            reference[None, None], mask.shape, mode="bilinear", align_corners=False
        )[0, 0]
        assert float(upscaled.abs()[torch.from_numpy(differing)].max()) <= LOGIT_TOLERANCE
