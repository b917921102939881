"""Runs SAM 3 of the ``transformers`` library with an engine's weights, for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import Sam3ImageProcessor, Sam3Model, Sam3TrackerModel

from ..engine import Engine
from ..engine.checkpoints.transformers_names import add_prefix, place_transformers_name
from ..engine.model.config import Architecture
from .transformers_models import NO_BOX, make_config

M = TypeVar("M", bound=nn.Module)

RgbImages = Sequence[npt.NDArray[np.uint8]]


def copy_weights(model: M, state: Mapping[str, Tensor]) -> M:
    """Copies the weights of ``Sam3Image`` into a model of ``transformers``.

    Args:
        model: A ``Sam3Model`` or a ``Sam3TrackerModel`` of the same sizes.
        state: From ``Sam3Image.state_dict()``.

    Returns:
        The model, in eval mode, without gradients.
    """
    is_detector = isinstance(model, Sam3Model)
    copies = {}
    for name in model.state_dict():
        placed, third = place_transformers_name(add_prefix(name, is_detector, not is_detector))
        if placed.endswith(".point_embed.weight"):
            start = placed.replace(".point_embed.weight", ".point_embeddings")
            value = torch.cat([state[f"{start}.{i}.weight"] for i in range(4)])
        else:
            value = state[placed]
        if third is not None:
            value = value.chunk(3)[third]
        elif placed.endswith(".trunk.pos_embed"):
            value = value[:, 1:]
        elif placed.endswith(".encoder.text_projection"):
            value = value.t()
        copies[name] = value
    model.load_state_dict(copies)
    return model.eval().requires_grad_(False)


class TransformersPackage:
    """Runs ``Sam3Model`` and ``Sam3TrackerModel``, from RGB arrays to masks on the host.

    Both share the image encoder, as in ``Sam3VideoModel``. With an engine in bfloat16 all
    weights are bfloat16: the library's own way to lower the precision.
    """

    def __init__(self, engine: Engine, architecture: Architecture) -> None:
        """Builds the models from an engine's weights.

        Args:
            engine: The engine.
            architecture: The sizes of its model.
        """
        self._device, self._side = engine.device, engine.image_size
        self._dtype = torch.bfloat16 if engine.precision == "bfloat16" else torch.float32
        self._tokenizer = engine.model.backbone.language_backbone.tokenizer
        self._processor = Sam3ImageProcessor(size={"height": self._side, "width": self._side})
        # Both take the part of a video model's configuration that is theirs.
        config: Any = make_config(architecture)
        state = engine.model.state_dict()
        self.detector: Any = copy_weights(Sam3Model(config), state)
        self.tracker: Any = copy_weights(Sam3TrackerModel(config), state)
        for model in (self.detector, self.tracker):
            nn.Module.to(model, engine.device, self._dtype)  # the library's own is mistyped
        self.tracker.vision_encoder.backbone = self.detector.vision_encoder.backbone

    def compile(self) -> None:
        """Compiles the image encoder as ``Engine.compile`` does."""
        self.detector.vision_encoder.backbone.compile(dynamic=False)

    @torch.inference_mode()
    def encode(self, images: RgbImages) -> Any:
        """Encodes a batch of images; returns the features that text prompts need."""
        return self.detector.get_vision_features(pixel_values=self._preprocess(images))

    @torch.inference_mode()
    def segment_texts(
        self, images: RgbImages, texts: Sequence[str], threshold: float
    ) -> list[list[Tensor]]:
        """Segments a batch of images by each of several texts.

        Returns:
            For each text and image the masks, (N, H, W) bool on the CPU.
        """
        encoded = self.encode(images)
        boxes, labels = (torch.tensor([value] * len(images)) for value in NO_BOX)
        found = []
        for text in texts:
            tokens = self._tokenizer([text] * len(images), context_length=32).to(self._device)
            outputs = self.detector(
                vision_embeds=encoded,
                input_ids=tokens.long(),
                attention_mask=(tokens != 0).long(),
                input_boxes=boxes.to(self._device, self._dtype),
                input_boxes_labels=labels.to(self._device),
            )
            kept = self._processor.post_process_instance_segmentation(
                outputs, threshold, target_sizes=[image.shape[:2] for image in images]
            )
            found.append([one["masks"].bool().cpu() for one in kept])
        return found

    @torch.inference_mode()
    def click(self, image: npt.NDArray[np.uint8], xy: tuple[float, float]) -> Tensor:
        """Segments what is at a point in pixels; returns its mask, (H, W) bool on the CPU."""
        height, width = image.shape[:2]
        point = [xy[0] * self._side / width, xy[1] * self._side / height]
        outputs = self.tracker(
            pixel_values=self._preprocess([image]),
            input_points=torch.tensor([[[point]]], device=self._device),
            input_labels=torch.ones(1, 1, 1, dtype=torch.long, device=self._device),
            multimask_output=False,
        )
        (masks,) = self._processor.post_process_masks(outputs.pred_masks, [(height, width)])
        return torch.as_tensor(masks).cpu()[0, 0]

    def _preprocess(self, images: RgbImages) -> Tensor:
        inputs = self._processor(list(images), return_tensors="pt", device=self._device)
        return torch.as_tensor(inputs["pixel_values"]).to(self._dtype)
