"""Declares the sizes of a SAM 3 image model, and the two sets of sizes that are used."""

from __future__ import annotations

import dataclasses

PATCH_PX = 14
"""Side of a ViT patch and stride of its feature map, in pixels of the model's input."""

MASK_CELLS_PER_PATCH = 4
"""Cells of the low-resolution mask grid along one patch side."""


@dataclasses.dataclass(frozen=True)
class AssociationSettings:
    """Holds the settings of how detections change tracks; the defaults are the package's.

    Attributes:
        split_merged: Whether a track loses what its mask covers of another detection, so that
            this can be followed, too. The package does not do so.
        recondition_every: Frames after which tracks begin anew at the masks of the detections
            that agree with them (the package's ``recondition_every_nth_frame``); 0 for never.
        detection_threshold: Score from which a detection continues a track, where the prompt's
            threshold is higher; it starts none below the prompt's.
        birth_threshold: Score from which a detection starts a track beside others.
        overlap_of_smaller: Whether overlap is measured as a share of the smaller mask, instead of
            the union, when of two detections one is left out, and when a track begins anew.
        skip_border: Whether a detection with its center near the border starts no track.
        confirm_after: Detections in a row after which a track is shown.
        hide_unmatched: Whether a track that was long not detected is not shown, at any age.
    """

    split_merged: bool = False
    recondition_every: int = 16
    detection_threshold: float = 1.0
    birth_threshold: float = 0.7
    overlap_of_smaller: bool = False
    skip_border: bool = False
    confirm_after: int = 1
    hide_unmatched: bool = False

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            ValueError: If one is out of its range.
        """
        if self.confirm_after < 1:
            raise ValueError(
                f"confirm_after: expected 1 or more detections, got {self.confirm_after}"
            )
        for name in ("detection_threshold", "birth_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected 0 to 1, got {getattr(self, name)}")
        if self.recondition_every < 0:
            raise ValueError(
                f"recondition_every: expected 0 or more frames, got {self.recondition_every}"
            )


MULTIPLEX_ASSOCIATION = AssociationSettings(
    detection_threshold=0.4,
    birth_threshold=0.65,
    overlap_of_smaller=True,
    skip_border=True,
    confirm_after=3,
    hide_unmatched=True,
)
"""Settings of SAM 3.1."""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Holds the sizes and settings in which SAM 3 models differ.

    Attributes:
        image_size: Side of the square model input, in pixels. Multiple of 14.
        pretrain_image_size: Side the ViT's absolute position table was made for, in pixels.
        vit_width: Channels of the image encoder.
        vit_depth: Blocks of the image encoder.
        vit_heads: Attention heads of an image encoder block.
        vit_mlp_ratio: Width of the image encoder's MLP, as a multiple of its channels.
        vit_global_blocks: Blocks that attend over the whole image; the others use windows.
        vit_window: Side of an attention window, in patches.
        width: Channels of everything after the image encoder.
        feedforward_width: Hidden channels of the detector's feed-forward layers.
        heads: Attention heads of the detector.
        encoder_layers: Layers that fuse image and prompt.
        decoder_layers: Layers that decode queries.
        geometry_layers: Layers that encode exemplar boxes.
        queries: Object queries: the most instances one concept can give.
        text_width: Channels of the text encoder.
        text_heads: Attention heads of the text encoder.
        text_layers: Layers of the text encoder.
        memory_width: Channels of the tracker's memory (unused on images, in the checkpoint).
        memory_layers: Layers of the tracker's memory attention (same).
        memory_fuser_layers: Layers of the tracker's memory fuser (same).
        mask_decoder_heads: Attention heads of the interactive mask decoder.
        mask_decoder_mlp: Hidden channels of the interactive mask decoder.
        iou_head_width: Hidden channels of the mask quality head.
        dropout: Dropout probability, only active in training mode.
        drop_path: Stochastic depth of the image encoder, only active in training mode.
        neck_scales: Scales of the image encoder's feature maps, relative to the patches;
            the last of four is computed and not used.
        iou_uses_sigmoid: Whether the predicted mask quality goes through a sigmoid.
        has_multiplex: Whether videos are tracked by SAM 3.1's tracker, with its stack of maps.
        association: How detections change tracks on videos.
        most_threads: Largest team of CPU threads that makes it faster; None for all.
    """

    image_size: int
    pretrain_image_size: int
    vit_width: int
    vit_depth: int
    vit_heads: int
    vit_mlp_ratio: float
    vit_global_blocks: tuple[int, ...]
    vit_window: int
    width: int
    feedforward_width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    geometry_layers: int
    queries: int
    text_width: int
    text_heads: int
    text_layers: int
    memory_width: int
    memory_layers: int
    memory_fuser_layers: int
    mask_decoder_heads: int
    mask_decoder_mlp: int
    iou_head_width: int
    dropout: float
    drop_path: float
    neck_scales: tuple[float, ...] = (4.0, 2.0, 1.0, 0.5)
    iou_uses_sigmoid: bool = True
    has_multiplex: bool = False
    association: AssociationSettings = AssociationSettings()
    most_threads: int | None = None

    @property
    def patches_per_side(self) -> int:
        """Side of the image encoder's feature map, in patches."""
        return self.image_size // PATCH_PX

    @property
    def mask_side(self) -> int:
        """Side of the low-resolution mask grid, in cells (288 for the full-size model)."""
        return self.patches_per_side * MASK_CELLS_PER_PATCH

    @property
    def max_hole_area(self) -> float:
        """Largest hole that the interactive route fills, in cells of the mask grid.

        Meta's value is 256 cells of a 288-cell grid; it is scaled with the grid's area.
        """
        return 256.0 * (self.mask_side / 288) ** 2


SAM3 = Architecture(
    image_size=1008,
    pretrain_image_size=336,
    vit_width=1024,
    vit_depth=32,
    vit_heads=16,
    vit_mlp_ratio=4.625,
    vit_global_blocks=(7, 15, 23, 31),
    vit_window=24,
    width=256,
    feedforward_width=2048,
    heads=8,
    encoder_layers=6,
    decoder_layers=6,
    geometry_layers=3,
    queries=200,
    text_width=1024,
    text_heads=16,
    text_layers=24,
    memory_width=64,
    memory_layers=4,
    memory_fuser_layers=2,
    mask_decoder_heads=8,
    mask_decoder_mlp=2048,
    iou_head_width=256,
    dropout=0.1,
    drop_path=0.1,
)
"""Sizes of ``facebook/sam3``, from ``sam3.model_builder`` 0.1.4."""

TINY_SHAPES = Architecture(
    image_size=280,
    pretrain_image_size=112,
    vit_width=128,
    vit_depth=4,
    vit_heads=4,
    vit_mlp_ratio=4.0,
    vit_global_blocks=(1, 3),
    vit_window=8,
    width=64,
    feedforward_width=256,
    heads=4,
    encoder_layers=2,
    decoder_layers=3,
    geometry_layers=1,
    queries=25,
    text_width=64,
    text_heads=4,
    text_layers=2,
    memory_width=64,
    memory_layers=3,
    memory_fuser_layers=1,
    mask_decoder_heads=2,
    mask_decoder_mlp=256,
    iou_head_width=64,
    dropout=0.0,
    drop_path=0.0,
    # Its tracker often takes a like shape for part of the one that it follows, and drifts.
    association=AssociationSettings(split_merged=True, recondition_every=4),
    # Its operations are shorter than it takes to wake a second thread, which other work needs.
    most_threads=1,
)
"""Sizes and settings of the bundled model, which knows flat colored shapes."""
