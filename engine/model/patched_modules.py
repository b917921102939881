"""Parts of the ``sam3`` package, each with the little it needs to run here as it should."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .sam3_imports import (
    PositionEmbeddingSine,
    SequenceGeometryEncoder,
    TransformerDecoder,
    TransformerEncoderFusion,
)


class _PinningIsIdentity(TorchFunctionMode):
    """Makes ``Tensor.pin_memory`` return its tensor, for this thread, while it is entered.

    Pinning only speeds up a copy to the GPU; on a machine with no CUDA it raises.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.Tensor.pin_memory:
            return args[0]
        return func(*args, **(kwargs or {}))


class GeometryEncoder(SequenceGeometryEncoder):
    """The package's encoder of exemplar boxes, also on a machine with no CUDA."""

    def _encode_boxes(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        with _PinningIsIdentity():
            return super()._encode_boxes(*args, **kwargs)


class _TensorsOnce(TorchFunctionMode):
    """Makes each ``torch.tensor(...)`` of constants once, for this thread, while entered."""

    def __init__(self, made: dict[str, Tensor]) -> None:
        super().__init__()
        self._made = made

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not torch.tensor:
            return func(*args, **kwargs)
        key = repr((args, kwargs))
        if key not in self._made:
            with torch.inference_mode(False):
                self._made[key] = func(*args, **kwargs)
        return self._made[key]


class FusionEncoder(TransformerEncoderFusion):
    """The package's fusion encoder, which sends its table of sizes to a GPU once, not each run.

    The host waits for such a copy until the GPU has done all that was asked before.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._tables: dict[str, Tensor] = {}

    def _prepare_multilevel_features(self, *args: Any, **kwargs: Any) -> Any:
        with _TensorsOnce(self._tables):
            return super()._prepare_multilevel_features(*args, **kwargs)


class QueryDecoder(TransformerDecoder):
    """The package's query decoder, told the size of its feature map instead of asking a GPU.

    The package compares it as tensors, and the host waits seven times a layer.
    """

    def __init__(self, feature_side: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._feature_hw = (feature_side, feature_side)

    def _get_rpb_matrix(self, reference_boxes: Tensor, feat_size: Any) -> Tensor:
        return super()._get_rpb_matrix(reference_boxes, self._feature_hw)


def sine_positions(channels: int) -> PositionEmbeddingSine:
    """Position embedding as every part of the model has it, but for its channels."""
    return PositionEmbeddingSine(
        num_pos_feats=channels, normalize=True, scale=None, temperature=10000
    )
