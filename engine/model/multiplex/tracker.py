"""Follows the objects of buckets from frame to frame, as SAM 3.1 does.

The modules have the names of Meta's file. Points, boxes and given masks are decoded by the
interactive heads, one object at a time, which are those of the image model.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from ..config import Architecture
from ..patched_modules import split_on_cpu
from ..sam3_imports import (
    MLP,
    PositionEmbeddingRandom,
    TransformerWrapper,
    TwoWayTransformer,
    get_1d_sine_pe,
)
from ..video_tracker import NO_OBJECT_LOGIT
from .buckets import SLOTS, Buckets, BucketState, FrameMemory, ObjectMasks
from .mask_decoder import MultiplexMaskDecoder
from .memory_attention import MultiplexMemoryAttention, Remembered
from .memory_encoder import build_memory_encoder

_HEADS = 8
_MEMORIES = 7
"""Places in time of a memory: the frames 1 to 6 back, and any other."""

_POINTER_FRAMES = 16
"""How far back pointers are read, in frames; they are told their age as a share of the rest."""

_PROMPTED_FRAMES = 4
"""Prompted frames that are remembered beside those."""

_CELLS_AT_A_TIME = 72**2
"""Cells of the feature map, of all buckets, that are computed at a time on a CPU: one bucket at
full size."""


@dataclasses.dataclass(frozen=True)
class FrameMaps:
    """Holds the maps of one frame.

    Attributes:
        index: Index of the frame.
        propagation: (1, C/8, 4n, 4n), (1, C/4, 2n, 2n) and (1, C, n, n), the neck's third stack
            after the decoder's convolutions.
        positions: (1, C, n, n), its encoded positions.
    """

    index: int
    propagation: list[Tensor]
    positions: Tensor

    @property
    def image(self) -> Tensor:
        """The coarsest map as (1, L, C)."""
        return self.propagation[-1].flatten(2).transpose(1, 2)


class MultiplexTracker(nn.Module):
    """Decodes the masks of whole buckets from what is remembered of them."""

    maskmem_tpos_enc: Tensor
    no_obj_embed_spatial: Tensor
    output_valid_embed: Tensor
    output_invalid_embed: Tensor

    def __init__(self, a: Architecture) -> None:
        """Creates an untrained tracker.

        Args:
            a: The sizes of the model that it belongs to.
        """
        super().__init__()
        width, self.cells = a.width, a.patches_per_side
        self.image_size = a.image_size
        attention = MultiplexMemoryAttention(
            width, _HEADS, a.feedforward_width, a.memory_layers, self.cells
        )
        self.transformer = TransformerWrapper(encoder=attention, decoder=None, d_model=width)
        self.maskmem_backbone = build_memory_encoder(a, SLOTS)
        self.sam_mask_decoder = MultiplexMaskDecoder(
            SLOTS,
            width,
            TwoWayTransformer(
                depth=2,
                embedding_dim=width,
                mlp_dim=a.mask_decoder_mlp,
                num_heads=a.mask_decoder_heads,
            ),
            a.iou_head_width,
        )
        self.image_pe_layer = PositionEmbeddingRandom(width // 2)
        self.interactive_mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.obj_ptr_proj = MLP(width, width, width, 3)
        self.interactive_obj_ptr_proj = MLP(width, width, width, 3)
        self.obj_ptr_tpos_proj = nn.Linear(width, width)
        self.no_obj_ptr_linear = nn.Linear(width, width)
        for name, shape in (
            ("maskmem_tpos_enc", (_MEMORIES, 1, 1, width)),
            ("no_obj_embed_spatial", (SLOTS, width)),
            ("output_valid_embed", (SLOTS, width)),
            ("output_invalid_embed", (SLOTS, width)),
        ):
            setattr(self, name, nn.Parameter(0.02 * torch.randn(shape)))

    def prepare(self, index: int, propagation: list[Tensor], positions: Tensor) -> FrameMaps:
        """Prepares the maps of a frame.

        Args:
            index: Index of the frame.
            propagation: (1, C, 4n, 4n), (1, C, 2n, 2n) and (1, C, n, n).
            positions: (1, C, n, n).
        """
        decoder, (finest, finer, coarse) = self.sam_mask_decoder, propagation
        return FrameMaps(
            index, [decoder.conv_s0(finest), decoder.conv_s1(finer), coarse], positions
        )

    def propagate(self, state: BucketState, frame: FrameMaps) -> ObjectMasks:
        """Finds the objects of a state on the next frame, and remembers nothing yet.

        Args:
            state: The objects, which is not changed.
            frame: The frame.

        Returns:
            Their masks.
        """
        buckets, side = state.buckets, self.cells
        is_held = buckets.spread(torch.ones(len(buckets.ids), 1, device=frame.positions.device))
        slots = is_held * self.output_valid_embed + (1 - is_held) * self.output_invalid_embed
        positions = self.image_pe_layer((side, side))[None]
        own_positions = frame.positions.flatten(2).transpose(1, 2)
        parts = []
        for part in split_on_cpu(slots, _CELLS_AT_A_TIME // side**2):
            remembered = self._recall(state, frame.index, own_positions, part)
            cells = self.transformer.encoder(frame.image, own_positions, remembered)
            grid = cells.transpose(1, 2).unflatten(2, (side, side))
            parts.append(self.sam_mask_decoder(grid, positions, frame.propagation[:2], slots[part]))
        logits, ious, tokens, scores = (
            buckets.gather(torch.cat(column)) for column in zip(*parts, strict=True)
        )
        rows, best = torch.arange(len(ious), device=ious.device), ious.argmax(dim=1)
        is_there = scores > 0
        masks = torch.where(is_there[..., None], logits[rows, best].float(), NO_OBJECT_LOGIT)
        pointers = self._point(self.obj_ptr_proj(tokens[rows, best]), is_there)
        return ObjectMasks(masks[:, None], scores, pointers, torch.zeros_like(scores[:, 0]))

    def encode(
        self, buckets: Buckets, frame: FrameMaps, found: ObjectMasks, masks: Tensor, scores: Tensor
    ) -> FrameMemory:
        """Encodes the masks of a frame into a memory.

        Args:
            buckets: The N objects.
            frame: The frame.
            found: Their pointers, and which were prompted.
            masks: (N, 1, S, S) mask logits, of any size.
            scores: (N, 1) logits of whether the objects are visible.

        Returns:
            The memory.
        """
        # Here, and not in the encoder, which would resize the planes of empty slots, too.
        values = self.maskmem_backbone.mask_downsampler.resize(masks.sigmoid().mul(2).sub(1))
        planes = buckets.spread(values.squeeze(1))
        marks = buckets.spread(found.is_prompted)[..., None, None]
        # An empty slot counts as an object that is not visible.
        absent = (buckets.spread(scores) <= 0).to(self.no_obj_embed_spatial.dtype)
        parts = []
        for part in split_on_cpu(planes, _CELLS_AT_A_TIME // self.cells**2):
            given = torch.cat([planes[part], marks[part].expand_as(planes[part])], dim=1)
            encoded = self.maskmem_backbone(frame.propagation[-1], given, skip_mask_sigmoid=True)
            parts.append(encoded["vision_features"].flatten(2).transpose(1, 2))
        spatial = torch.cat(parts) + (absent * self.no_obj_embed_spatial).sum(dim=1)[:, None]
        # Under autocast the features are bfloat16, and memories take as much room as they do.
        spatial = spatial.to(frame.image.dtype)
        return FrameMemory(spatial, frame.image, buckets.spread(found.pointers))

    def make_pointers(self, tokens: Tensor, scores: Tensor) -> Tensor:
        """Makes pointers of (N, C) tokens of the interactive heads and their (N, 1) scores."""
        return self._point(self.interactive_obj_ptr_proj(tokens), scores > 0)

    def mark_absent(self, pointers: Tensor, is_there: Tensor) -> Tensor:
        """Replaces the pointers of objects whose given mask, (N, 1) bool, has no pixel."""
        return self._point(pointers, is_there)

    def prune(self, state: BucketState, frame_index: int) -> None:
        """Drops what no frame after ``frame_index`` can read.

        Args:
            state: Changed in place.
            frame_index: The frame that was tracked last.
        """
        newest = sorted(state.prompted)[-_PROMPTED_FRAMES:]
        for memories, always in ((state.prompted, newest), (state.tracked, [])):
            for t in list(memories):
                age = frame_index + 1 - t
                if t in always:
                    continue
                if age >= _POINTER_FRAMES:
                    del memories[t]
                elif age >= _MEMORIES and memories[t].image.shape[1]:
                    memories[t] = memories[t].drop_cells()

    def _point(self, pointers: Tensor, is_there: Tensor) -> Tensor:
        return torch.where(is_there, pointers, self.no_obj_ptr_linear(pointers))

    def _recall(self, state: BucketState, now: int, positions: Tensor, part: slice) -> Remembered:
        """Collects what is remembered of some buckets: memories first, then pointers."""
        newest = sorted(t for t in state.prompted if t < now)[-_PROMPTED_FRAMES:]
        others = {t: memory for t, memory in state.prompted.items() if t not in newest}
        passed = others | state.tracked
        # A prompted frame is told its age as frames are that come next, others how they follow.
        spatial = [(_MEMORIES - (now - t) - 1, state.prompted[t]) for t in newest]
        spatial += [
            (age - 1, passed[now - age])
            for age in range(_MEMORIES - 1, 0, -1)
            if now - age in passed
        ]
        pointed = [(now - t, state.prompted[t]) for t in newest]
        pointed += [
            (age, passed[now - age]) for age in range(1, _POINTER_FRAMES) if now - age in passed
        ]
        pointers = torch.cat([memory.pointers[part] for _, memory in pointed], dim=1)
        ages = torch.tensor([age for age, _ in pointed], device=positions.device)
        width = positions.shape[2]
        told = self.obj_ptr_tpos_proj(get_1d_sine_pe(ages / (_POINTER_FRAMES - 1), dim=width))
        count = pointers.shape[1]
        return Remembered(
            torch.cat([*(memory.spatial[part] for _, memory in spatial), pointers], dim=1),
            torch.cat(
                [*(memory.image for _, memory in spatial), positions.new_zeros(1, count, width)],
                dim=1,
            ),
            torch.cat(
                [
                    *(
                        positions + self.maskmem_tpos_enc[_clip_place(place)]
                        for place, _ in spatial
                    ),
                    told.repeat_interleave(SLOTS, dim=0)[None],
                ],
                dim=1,
            ).to(pointers.dtype),
            count,
        )


def _clip_place(place: int) -> int:
    """Returns the place in time of a memory; one that is too far away has the last."""
    return place if 0 <= place < _MEMORIES - 1 else _MEMORIES - 1
