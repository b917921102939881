"""Fixes modules of the ``sam3`` package: they run without CUDA and wait less for a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .sam3_imports import (
    PositionEmbeddingSine,
    RoPEAttention,
    Sam3DualViTDetNeck,
    SequenceGeometryEncoder,
    TransformerDecoder,
    TransformerEncoderFusion,
)


class TensorsStayOnDevice(TorchFunctionMode):
    """Makes ``Tensor.pin_memory`` and ``Tensor.cuda`` return their tensor, while it is entered.

    For the calling thread only. Pinning only speeds up a copy to the GPU, and raises on a
    machine with no CUDA; ``cuda`` would move a CPU model's tensors on a machine that has it.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in (torch.Tensor.pin_memory, torch.Tensor.cuda):
            return args[0]
        return func(*args, **(kwargs or {}))


class GeometryEncoder(SequenceGeometryEncoder):
    """The package's encoder of exemplar boxes, which also runs on a machine without CUDA."""

    def _encode_boxes(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        with TensorsStayOnDevice():
            return super()._encode_boxes(*args, **kwargs)


class _ConstantTensorCache(TorchFunctionMode):
    """Caches the results of ``torch.tensor(...)`` by arguments, for this thread, while entered."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self._tensors = tensors

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not torch.tensor:
            return func(*args, **kwargs)
        key = repr((args, kwargs))
        if key not in self._tensors:
            with torch.inference_mode(False):
                self._tensors[key] = func(*args, **kwargs)
        return self._tensors[key]


class FusionEncoder(TransformerEncoderFusion):
    """The package's fusion encoder, which copies its table of sizes to the GPU only once.

    The host waits for such a copy until the GPU has finished all earlier work.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._tables: dict[str, Tensor] = {}

    def _prepare_multilevel_features(self, *args: Any, **kwargs: Any) -> Any:
        with _ConstantTensorCache(self._tables):
            return super()._prepare_multilevel_features(*args, **kwargs)


class RotaryAttention(RoPEAttention):
    """The package's rotary attention, whose tables follow the query to its device.

    The package makes them on the GPU wherever there is one, also for a model on the CPU.
    """

    freqs_cis: Tensor

    def forward(self, q: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Attends, as the package does."""
        if self.freqs_cis.device != q.device:
            self.freqs_cis = self.freqs_cis.to(q.device)
        return super().forward(q, *args, **kwargs)


class QueryDecoder(TransformerDecoder):
    """The package's query decoder with the size of its feature map as a constant.

    The package compares it as GPU tensors, and the host waits seven times per layer.
    """

    def __init__(self, feature_side: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._feature_hw = (feature_side, feature_side)

    def _get_rpb_matrix(self, reference_boxes: Tensor, feat_size: Any) -> Tensor:
        return super()._get_rpb_matrix(reference_boxes, self._feature_hw)


class VisionNeck(Sam3DualViTDetNeck):
    """The package's neck, which may also serve the interactive part alone.

    ``convs`` is None then, as ``sam2_convs`` is where the model has no interactive part.
    """

    def forward(self, tensor_list: list[Tensor]) -> Any:
        """Computes the feature maps of both necks, or of the interactive one alone."""
        if self.convs is not None:
            return super().forward(tensor_list)
        features = self.trunk(tensor_list)[-1]
        maps = [conv(features) for conv in self.sam2_convs]
        positions = [self.position_encoding(m).to(m.dtype) for m in maps]
        return maps, positions, list(maps), list(positions)


def build_sine_positions(channels: int) -> PositionEmbeddingSine:
    """Builds the sine position embedding that every part of the model uses."""
    return PositionEmbeddingSine(
        num_pos_feats=channels, normalize=True, scale=None, temperature=10000
    )
