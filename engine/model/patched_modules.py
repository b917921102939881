"""Fixes modules of the ``sam3`` package: they run without CUDA and wait less for a GPU."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .sam3_imports import (
    PositionEmbeddingSine,
    RoPEAttention,
    Sam3DualViTDetNeck,
    SequenceGeometryEncoder,
    TransformerDecoder,
    TransformerEncoderCrossAttention,
    TransformerEncoderFusion,
)

_ATTENDING_CELLS = 4 * 72**2
"""How many cells, of all objects together, memory attention computes at a time on a CPU: those of
4 objects at full size."""


def split_on_cpu(rows: Tensor, most: int) -> list[slice]:
    """Splits the rows of a CPU tensor into parts of ``most`` rows, but at least one.

    Many rows take longer together than in parts if their buffers do not fit into a CPU's
    caches. On a GPU all rows are one part.
    """
    step = len(rows) if rows.is_cuda else max(1, most)
    return [slice(first, first + step) for first in range(0, len(rows), step)]


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

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Computes what the package does; queries of (1, L, C) are used for every object."""
        if self.freqs_cis.device != q.device:
            self.freqs_cis = self.freqs_cis.to(q.device)
        return super().forward(q.expand(len(k), -1, -1), k, v, *args, **kwargs)


class MemoryAttention(TransformerEncoderCrossAttention):
    """The package's memory attention, with one first self-attention for several objects.

    That of the first layer reads the frame alone, which is the same for all objects; it is
    computed once for those that are computed together.
    """

    def forward(
        self,
        src: list[Tensor],
        prompt: Tensor,
        src_pos: list[Tensor],
        prompt_pos: Tensor,
        num_obj_ptr_tokens: int = 0,
        **kwargs: Any,
    ) -> dict[str, Tensor]:
        """Adds to a frame's features what is remembered of N objects.

        Args:
            src: The frame's features, (L, N, C), alone in a list.
            prompt: Memories, (K, N, M).
            src_pos: Encoded positions of the features, (L, N, C), alone in a list.
            prompt_pos: Those of the memories, (K, N, M).
            num_obj_ptr_tokens: How many of the K are object pointers, which come last.
            kwargs: Ignored, as the package's tracker sets no masks.

        Returns:
            ``memory``: the features with what is remembered, (L, N, C).
        """
        # Those of one frame are expanded to N objects.
        count = 1 if src[0].stride(1) == 0 else src[0].shape[1]
        features = (src[0][:, :count] + 0.1 * src_pos[0][:, :count]).transpose(0, 1)
        memory, position = prompt.transpose(0, 1), prompt_pos.transpose(0, 1)
        outs = []
        for part in split_on_cpu(memory, _ATTENDING_CELLS // features.shape[1]):
            output = features if count == 1 else features[part]
            for layer in self.layers:
                output = layer(
                    tgt=output,
                    memory=memory[part],
                    pos=position[part],
                    query_pos=None,
                    dac=False,
                    num_k_exclude_rope=num_obj_ptr_tokens,
                )
            outs.append(self.norm(output))
        return {"memory": torch.cat(outs).transpose(0, 1)}


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
    """The package's neck, which may also serve the interactive part alone, or SAM 3.1's tracker.

    ``convs`` is None then, as ``sam2_convs`` is where the model has no interactive part. The
    tracker of SAM 3.1 has a stack of its own, which only frames of a video go through.
    """

    def __init__(self, add_propagation_neck: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.propagation_convs: nn.ModuleList | None = None
        if add_propagation_neck:
            self.propagation_convs = copy.deepcopy(self.convs)
        self._propagation: list[Tensor] | None = None

    @contextlib.contextmanager
    def collect_propagation(self) -> Iterator[list[Tensor]]:
        """Collects the maps of SAM 3.1's tracker of what is encoded in this context, if it has one.

        Yields:
            A list that holds them, finest first, after a forward pass.
        """
        maps: list[Tensor] = []
        self._propagation = maps
        try:
            yield maps
        finally:
            self._propagation = None

    def forward(self, tensor_list: list[Tensor]) -> Any:
        """Computes the feature maps of both necks, or of the interactive one alone."""
        features = self.trunk(tensor_list)[-1]
        if self._propagation is not None and self.propagation_convs is not None:
            self._propagation[:] = [conv(features) for conv in self.propagation_convs]
        interactive = self._compute_maps(self.sam2_convs, features)
        if self.convs is None:
            maps, positions = interactive
            return maps, positions, list(maps or ()), list(positions or ())
        return (*self._compute_maps(self.convs, features), *interactive)

    def _compute_maps(
        self, convs: nn.ModuleList | None, features: Tensor
    ) -> tuple[list[Tensor], list[Tensor]] | tuple[None, None]:
        if convs is None:
            return None, None
        maps = [conv(features) for conv in convs]
        return maps, [self.position_encoding(m).to(m.dtype) for m in maps]


class SinePositions(PositionEmbeddingSine):
    """Computes the package's sine positions, with one table for all images and objects.

    The package copies the table for each: 110 MB for an image at full size.
    """

    def __init__(self, channels: int) -> None:
        """Creates the position embedding that every part of the model uses.

        Args:
            channels: Channels of a cell.
        """
        super().__init__(num_pos_feats=channels, normalize=True, scale=None, temperature=10000)
        self._tables: dict[Any, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Returns the positions of a map's cells, (B, C, H, W) in the map's dtype, not a copy.

        Args:
            x: (B, any, H, W).
        """
        key = (*x.shape[-2:], x.dtype, x.device)
        if key not in self._tables:
            # A table made in inference mode could not be used in training.
            with torch.inference_mode(False):
                self._tables[key] = super().forward(x[:1]).to(x.dtype).contiguous()
            self.cache.clear()
        return self._tables[key].expand(len(x), -1, -1, -1)
