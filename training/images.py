"""Brings images and masks to the sizes of the model's input and of its mask grid."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.transforms import v2


def resize_image(image: npt.NDArray[np.uint8], side: int) -> Tensor:
    """Resizes an (H, W, 3) image to the model's square, (3, S, S) uint8."""
    return v2.functional.resize(torch.from_numpy(image).permute(2, 0, 1), [side, side])


def normalize_images(images: Tensor) -> Tensor:
    """Normalizes (B, 3, S, S) uint8 images to float32 in -1..1, as in ``Sam3Processor``."""
    return images.float().div_(127.5).sub_(1)


def compute_coverage(mask: npt.NDArray[np.bool_], side: int) -> npt.NDArray[np.float32]:
    """Computes the share of each cell that a mask covers, on a grid of side x side cells."""
    covered = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(covered, np.float32)
