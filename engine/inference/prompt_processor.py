"""Collects texts and exemplar boxes in the package's ``Sam3Processor``, without running it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision.ops import box_convert
from torchvision.transforms import v2

from ..model.sam3_imports import Sam3Image, Sam3Processor
from ..prompts import ConceptPrompt
from .cache import LruCache, count_tensor_bytes

VISUAL = "visual"
"""The text that tells the model to use the exemplars alone."""

MAX_TEXTS = 1000
"""Encoded texts kept."""

MAX_TEXT_BYTES = 256 * 1024**2
"""Bytes of encoded texts kept."""


class PromptProcessor(Sam3Processor):
    """Collects prompts as the package's processor does, and encodes each text only once.

    ``set_text_prompt`` and ``add_geometric_prompt`` of the package run the whole detector each
    time they are called; here :func:`.concepts.detect_concepts` runs it once, when the prompt
    is complete.
    """

    def __init__(self, model: Sam3Image, resolution: int, device: torch.device) -> None:
        """Creates the processor of a model.

        Args:
            model: The model.
            resolution: Side of its input, in pixels.
            device: Where it is.
        """
        super().__init__(model, resolution=resolution, device=device)
        # In place: the tensor was just converted from uint8, so nobody else has it. As scalars the
        # numbers, equal for all channels, take a fifth of the time where channels lie together.
        normalize = self.transform.transforms[-1]
        (mean,), (std,) = set(normalize.mean), set(normalize.std)
        self.transform.transforms[-1] = v2.Lambda(lambda pixels: pixels.sub_(mean).div_(std))
        self._texts: LruCache[str, dict[str, Tensor]] = LruCache(
            MAX_TEXTS, MAX_TEXT_BYTES, lambda features: count_tensor_bytes([features])
        )
        self.text_encodings = 0
        """Texts encoded so far."""
        self.text_encoder_rests = False
        """Whether the text encoder is in the CPU's memory while it is not used."""

    def rest_text_encoder(self) -> None:
        """Moves the text encoder to the CPU's memory; encoding a new text moves it back."""
        self.text_encoder_rests = True
        self.model.backbone.language_backbone.to("cpu")

    def set_text_prompt(self, prompt: str, state: dict[str, Any]) -> dict[str, Any]:
        """Adds a text, encoded now or taken from the cache."""
        features = self._texts.get(prompt)
        if features is None:
            if self.text_encoder_rests:
                self.model.backbone.language_backbone.to(self.device)
            features = self.model.backbone.forward_text([prompt], device=self.device)
            self.text_encodings += 1
            if self.text_encoder_rests:
                self.rest_text_encoder()
            self._texts.put(prompt, features)
        state["backbone_out"].update(features)
        state.setdefault("geometric_prompt", self.model._get_dummy_prompt())
        return state

    def forget_texts(self) -> None:
        """Clears the cache of encoded texts."""
        self._texts.clear()

    def _forward_grounding(self, state: dict[str, Any]) -> dict[str, Any]:
        return state


def add_text(processor: PromptProcessor, encoded: dict[str, Any], text: str) -> dict[str, Any]:
    """Copies an encoded image's state and adds one text.

    Args:
        processor: The processor.
        encoded: The image's state; not changed.
        text: One text, or :data:`VISUAL`.

    Returns:
        The state to decode.
    """
    state = {**encoded, "backbone_out": dict(encoded["backbone_out"])}
    return processor.set_text_prompt(text, state)


def add_prompt(
    processor: PromptProcessor, encoded: dict[str, Any], text: str, prompt: ConceptPrompt
) -> dict[str, Any]:
    """Copies an encoded image's state and adds one text and the exemplars of a prompt.

    Args:
        processor: The processor.
        encoded: The image's state; not changed.
        text: One text, or :data:`VISUAL`.
        prompt: The prompt with the exemplars, in pixels of that image.

    Returns:
        The state to decode.
    """
    state = add_text(processor, encoded, text)
    height, width = encoded["original_height"], encoded["original_width"]
    for box, is_like in zip(prompt.exemplars_xyxy, get_exemplar_labels(prompt), strict=True):
        size = torch.tensor([width, height, width, height], dtype=torch.float32)
        cxcywh = box_convert(torch.tensor(box, dtype=torch.float32), "xyxy", "cxcywh") / size
        processor.add_geometric_prompt(cxcywh.tolist(), bool(is_like), state)
    return state


def get_exemplar_labels(prompt: ConceptPrompt) -> tuple[int, ...]:
    """Returns the labels of a prompt's exemplars, all 1 where none were given."""
    return prompt.exemplar_labels or (1,) * len(prompt.exemplars_xyxy)


def make_exemplar_key(prompt: ConceptPrompt) -> tuple[Any, ...]:
    """Makes the cache key of a prompt's exemplars: boxes, labels, and the image they lie in."""
    reference = prompt.reference.sha256 if prompt.reference is not None else ""
    return prompt.exemplars_xyxy, get_exemplar_labels(prompt), reference


def get_texts(prompt: ConceptPrompt) -> tuple[str, ...]:
    """Returns the texts that the model is given: :data:`VISUAL` for exemplars alone."""
    return prompt.texts or (VISUAL,)


def get_thresholds(prompt: ConceptPrompt) -> tuple[float, ...]:
    """Returns the threshold of each text."""
    own = prompt.thresholds or (None,) * len(prompt.class_names)
    return tuple(prompt.confidence_threshold if t is None else t for t in own)
