"""Segments concepts, given by texts and exemplar boxes, with the package's own modules.

``Sam3Processor`` collects the prompts; :func:`detect_concepts` runs the detector once for
several of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert

from ..model.sam3_imports import Sam3Image, Sam3Processor
from ..prompts import ConceptPrompt
from ..results import Instance
from ..runtime.execution import ModelExecution
from ..runtime.memory import BatchLimits
from ..runtime.steps import StepCallback
from .cache import LruCache, count_tensor_bytes
from .concept_output import ConceptOutput, check_finite, make_instances
from .detection import PromptTokens, decode_concepts
from .image_encoder import EncodedImage
from .tiling import CROWDED_SHARE

VISUAL = "visual"
"""The text that tells the model to use the exemplars alone."""

MAX_TEXTS = 1000
"""Encoded texts kept."""

MAX_TEXT_BYTES = 256 * 1024**2
"""Bytes of encoded texts kept."""


class PromptProcessor(Sam3Processor):
    """The package's processor, which encodes each text once and only collects prompts.

    ``set_text_prompt`` and ``add_geometric_prompt`` of the package run the whole detector each
    time they are called; here :func:`detect_concepts` runs it once, when the prompt is complete.
    """

    def __init__(self, model: Sam3Image, resolution: int, device: torch.device) -> None:
        """Wraps a model.

        Args:
            model: The model.
            resolution: Side of its input, in pixels.
            device: Where it is.
        """
        super().__init__(model, resolution=resolution, device=device)
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
        """Drops the encoded texts."""
        self._texts.clear()

    def _forward_grounding(self, state: dict[str, Any]) -> dict[str, Any]:
        return state


class ConceptSegmenter:
    """Segments the instances of concepts on encoded images.

    Keeps the detector's output with the encoded image, so that another threshold or the same
    concept again needs no forward pass of the detector.
    """

    def __init__(
        self,
        processor: PromptProcessor,
        execution: ModelExecution,
        weights_name: str = "the weights",
    ) -> None:
        """Wraps a processor.

        Args:
            processor: The processor around the model.
            execution: The context of every forward pass.
            weights_name: What errors call the weights.
        """
        self._processor = processor
        self._model: Sam3Image = processor.model
        self._execution = execution
        self._weights_name = weights_name

    @property
    def queries(self) -> int:
        """Most instances that one concept can have on one view."""
        return int(self._model.transformer.decoder.num_queries)

    def segment(
        self,
        encoded: EncodedImage,
        prompt: ConceptPrompt,
        on_step: StepCallback,
        limits: BatchLimits,
        tokens: Sequence[PromptTokens] = (),
    ) -> tuple[list[Instance], list[str]]:
        """Segments every concept of a prompt on one encoded view.

        Args:
            encoded: The view.
            prompt: Texts, exemplars in pixels of the view or of the reference, thresholds.
            on_step: Called after each concept with its name.
            limits: How many concepts go through the detector at once.
            tokens: Of each concept, where the exemplars lie in a reference.

        Returns:
            Instances in the order of the concepts, each by falling score; and the names of the
            classes that took more than :data:`CROWDED_SHARE` of the queries.
        """
        texts, thresholds = get_texts(prompt), get_thresholds(prompt)
        instances: list[Instance] = []
        crowded = []
        for start in range(0, len(texts), limits.concepts):
            batch = texts[start : start + limits.concepts]
            outputs: dict[str, ConceptOutput] = {}
            for index, text in enumerate(batch, start):
                with self._execution.step():
                    outputs = outputs or self._decode(
                        encoded, batch, prompt, tokens[start : start + len(batch)]
                    )
                    found = make_instances(
                        self._model,
                        outputs[text],
                        index,
                        thresholds[index],
                        encoded.image_hw,
                        self._weights_name,
                        limits.mask_bytes,
                        prompt.masks,
                    )
                    # Masks were added to the outputs since they were cached.
                    encoded.concepts.trim()
                if len(found) > CROWDED_SHARE * self.queries:
                    crowded.append(prompt.class_names[index])
                instances += found
                on_step(f"concept: {prompt.class_names[index]}")
        return instances, crowded

    def _decode(
        self,
        encoded: EncodedImage,
        texts: Sequence[str],
        prompt: ConceptPrompt,
        tokens: Sequence[PromptTokens],
    ) -> dict[str, ConceptOutput]:
        """Returns the detector's output for each text, computed now or taken from the cache."""
        exemplars = make_exemplar_key(prompt)
        outputs = {text: encoded.concepts.get((text, *exemplars)) for text in texts}
        missing = [text for text, output in outputs.items() if output is None]
        if missing:
            known = [own for text, own in zip(texts, tokens, strict=False) if text in missing]
            new = detect_concepts(self._processor, encoded.state, missing, prompt, known)
            for text, output in zip(missing, new, strict=True):
                check_finite([output.scores, output.boxes_cxcywh], "scores", self._weights_name)
                encoded.concepts.put((text, *exemplars), output)
                outputs[text] = output
        return {text: output for text, output in outputs.items() if output is not None}


def detect_concepts(
    processor: PromptProcessor,
    encoded: dict[str, Any],
    texts: Sequence[str],
    prompt: ConceptPrompt,
    tokens: Sequence[PromptTokens] = (),
) -> list[ConceptOutput]:
    """Runs the detector once for several concepts on an encoded image.

    Args:
        processor: The processor around the model.
        encoded: The image's state; not changed.
        texts: The concepts.
        prompt: The prompt with their exemplars, in pixels of the image.
        tokens: Of each concept, where its exemplars were encoded on another image, a reference
            or the first frame of a video; else they are encoded on this one.

    Returns:
        One output for each concept.
    """
    if tokens:
        states = [add_text(processor, encoded, text) for text in texts]
        return decode_concepts(processor.model, states, PromptTokens.join(tokens))
    states = [add_prompt(processor, encoded, text, prompt) for text in texts]
    return decode_concepts(processor.model, states)


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


def sort_by_class(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Sorts instances by class, then falling score."""
    order = np.lexsort(([-i.score for i in instances], [i.class_index for i in instances]))
    return tuple(instances[k] for k in order)
