"""Concept prompts: texts and exemplar boxes, through the package's own modules.

``Sam3Processor`` collects the prompts; :func:`decode_concepts` runs the detector once for
several of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert

from ..model.sam3_imports import FindStage, GeometricPrompt, Sam3Image, Sam3Processor
from ..prompts import ConceptPrompt
from ..results import Instance
from ..runtime.execution import ModelExecution
from ..runtime.memory import BatchLimits
from ..runtime.steps import StepCallback
from .cache import LruCache, count_tensor_bytes
from .concept_output import ConceptOutput, check_finite, make_instances
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
    time they are called; here :func:`decode_concepts` runs it once, when the prompt is complete.
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
        """Whether the text encoder lies in the CPU's memory while it is not used."""

    def rest_text_encoder(self) -> None:
        """Moves the text encoder to the CPU's memory; a new text brings it back for a while."""
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
    ) -> tuple[list[Instance], list[str]]:
        """Segments every concept of a prompt on one encoded view.

        Args:
            encoded: The view.
            prompt: Texts, exemplars in pixels of the view, thresholds.
            on_step: Called after each concept with its name.
            limits: How many concepts go through the detector at once.

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
                    outputs = outputs or self._decode(encoded, batch, prompt)
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
        self, encoded: EncodedImage, texts: Sequence[str], prompt: ConceptPrompt
    ) -> dict[str, ConceptOutput]:
        """The detector's output for each text, decoded now or taken from the cache."""
        exemplars = (prompt.exemplars_xyxy, get_exemplar_labels(prompt))
        outputs = {text: encoded.concepts.get((text, *exemplars)) for text in texts}
        missing = [text for text, output in outputs.items() if output is None]
        if missing:
            states = [add_prompt(self._processor, encoded.state, t, prompt) for t in missing]
            for text, output in zip(missing, decode_concepts(self._model, states), strict=True):
                check_finite([output.scores, output.boxes_cxcywh], "scores", self._weights_name)
                encoded.concepts.put((text, *exemplars), output)
                outputs[text] = output
        return {text: output for text, output in outputs.items() if output is not None}


def add_prompt(
    processor: PromptProcessor, encoded: dict[str, Any], text: str, prompt: ConceptPrompt
) -> dict[str, Any]:
    """Copies an encoded image's state and adds one text and the exemplars of a prompt.

    Args:
        processor: The processor.
        encoded: The image's state; not changed.
        text: One text, or :data:`VISUAL`.
        prompt: The prompt with the exemplars.

    Returns:
        The state to decode.
    """
    state = {**encoded, "backbone_out": dict(encoded["backbone_out"])}
    processor.set_text_prompt(text, state)
    height, width = encoded["original_height"], encoded["original_width"]
    for box, is_like in zip(prompt.exemplars_xyxy, get_exemplar_labels(prompt), strict=True):
        size = torch.tensor([width, height, width, height], dtype=torch.float32)
        cxcywh = box_convert(torch.tensor(box, dtype=torch.float32), "xyxy", "cxcywh") / size
        processor.add_geometric_prompt(cxcywh.tolist(), bool(is_like), state)
    return state


def get_exemplar_labels(prompt: ConceptPrompt) -> tuple[int, ...]:
    """Labels of a prompt's exemplars, all 1 where none were given."""
    return prompt.exemplar_labels or (1,) * len(prompt.exemplars_xyxy)


def get_texts(prompt: ConceptPrompt) -> tuple[str, ...]:
    """Returns the texts that the model is given: :data:`VISUAL` for exemplars alone."""
    return prompt.texts or (VISUAL,)


def get_thresholds(prompt: ConceptPrompt) -> tuple[float, ...]:
    """The threshold of each text."""
    own = prompt.thresholds or (None,) * len(prompt.class_names)
    return tuple(prompt.confidence_threshold if t is None else t for t in own)


def sort_by_class(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Sorts instances by class, then falling score."""
    order = np.lexsort(([-i.score for i in instances], [i.class_index for i in instances]))
    return tuple(instances[k] for k in order)


class PromptTokens(NamedTuple):
    """P encoded prompts: text and exemplars.

    Attributes:
        prompt: (tokens, P, width).
        prompt_mask: (P, tokens) bool, True for padding.
    """

    prompt: Tensor
    prompt_mask: Tensor


class DetectorOutput(NamedTuple):
    """Output of the detector for P prompts, up to its mask head.

    Attributes:
        outputs: The decoder's outputs by name, with boxes and logits of every query.
        queries: The queries after each layer, (layers, P, Q, width).
        memory: The image features fused with each prompt, (cells, P, width).
        feature_hw: Height and width of the feature maps, as the mask head wants them.
        prompt: The encoded prompts, (tokens, P, width).
        prompt_mask: (P, tokens) bool, True for padding.
        features: The image's features.
    """

    outputs: dict[str, Any]
    queries: Tensor
    memory: Tensor
    feature_hw: Any
    prompt: Tensor
    prompt_mask: Tensor
    features: dict[str, Any]


def make_find_stage(image_index: Tensor, text_index: Tensor) -> FindStage:
    """Says which image and which text each of P prompts is about, both (P,) int64."""
    return FindStage(
        img_ids=image_index,
        text_ids=text_index,
        input_boxes=None,
        input_boxes_mask=None,
        input_boxes_label=None,
        input_points=None,
        input_points_mask=None,
    )


def run_detector(
    model: Sam3Image, features: dict[str, Any], find: FindStage, exemplars: GeometricPrompt
) -> DetectorOutput:
    """Runs what ``Sam3Image.forward_grounding`` does before its mask head.

    Args:
        model: The model.
        features: Of the images and of the texts, as its backbone returns them.
        find: P prompts.
        exemplars: Their boxes.

    Returns:
        The detector's output.
    """
    prompt, prompt_mask, features = model._encode_prompt(features, find, exemplars)
    return run_detector_on_tokens(model, features, find, PromptTokens(prompt, prompt_mask))


def run_detector_on_tokens(
    model: Sam3Image, features: dict[str, Any], find: FindStage, tokens: PromptTokens
) -> DetectorOutput:
    """Runs :func:`run_detector` with prompts encoded before, perhaps on another image.

    Args:
        model: The model.
        features: Of the images, as its backbone returns them.
        find: P prompts.
        tokens: Their tokens.

    Returns:
        The detector's output.
    """
    prompt, prompt_mask = tokens
    features, encoded, _ = model._run_encoder(features, find, prompt, prompt_mask)
    memory = encoded["encoder_hidden_states"]
    outputs, queries = model._run_decoder(
        memory=memory,
        pos_embed=encoded["pos_embed"],
        src_mask=encoded["padding_mask"],
        out={},
        prompt=prompt,
        prompt_mask=prompt_mask,
        encoder_out=encoded,
    )
    feature_hw = encoded["vis_feat_sizes"]
    return DetectorOutput(outputs, queries, memory, feature_hw, prompt, prompt_mask, features)


def decode_concepts(
    model: Sam3Image, states: list[dict[str, Any]], tokens: PromptTokens | None = None
) -> list[ConceptOutput]:
    """Runs the detector for several prompts on one image, in one forward pass.

    Without the mask head, which an absent concept does not need.

    Args:
        model: The model.
        states: One prompted state for each concept, of the same image and with equally
            many exemplars.
        tokens: Of those concepts, where they were encoded before; else they are encoded now.

    Returns:
        One output for each.
    """
    device = model.device
    count = len(states)
    features = dict(states[0]["backbone_out"])
    for name, dim in (("language_features", 1), ("language_mask", 0), ("language_embeds", 1)):
        features[name] = torch.cat([s["backbone_out"][name] for s in states], dim=dim)
    index = torch.arange(count, device=device)
    find = make_find_stage(torch.zeros_like(index), index)
    prompts: list[GeometricPrompt] = [s["geometric_prompt"] for s in states]
    exemplars = GeometricPrompt(
        box_embeddings=torch.cat([p.box_embeddings for p in prompts], dim=1),
        box_mask=torch.cat([p.box_mask for p in prompts], dim=0),
        box_labels=torch.cat([p.box_labels for p in prompts], dim=1),
    )
    if tokens is None:
        detected = run_detector(model, features, find, exemplars)
    else:
        detected = run_detector_on_tokens(model, features, find, tokens)
    return list(split_by_prompt(detected, find))


def split_by_prompt(detected: DetectorOutput, find: FindStage) -> Iterator[ConceptOutput]:
    """Splits the detector's output for P prompts into one output a prompt.

    Args:
        detected: The detector's output.
        find: The P prompts.

    Yields:
        P outputs that share no memory with each other.
    """
    out = detected.outputs
    presence = out["presence_logit_dec"].sigmoid().unsqueeze(1)
    scores = (out["pred_logits"].sigmoid() * presence).float()
    # In one transfer, so that a GPU is waited for once; what follows is small.
    found = torch.cat([scores, out["pred_boxes"].float()], dim=-1).cpu()
    count = len(found)
    for i in range(count):
        parts = {
            # The head looks at the last layer's queries only.
            "obj_queries": detected.queries[-1:, i : i + 1],
            "image_ids": find.img_ids[i : i + 1],
            "encoder_hidden_states": detected.memory[:, i : i + 1],
            "prompt": detected.prompt[:, i : i + 1],
            "prompt_mask": detected.prompt_mask[i : i + 1],
        }
        # A view would keep the whole batch in memory for as long as one prompt is cached.
        owned = {name: part.clone() if count > 1 else part for name, part in parts.items()}
        yield ConceptOutput(
            scores=found[i, :, 0].clone(),
            boxes_cxcywh=found[i, :, 1:].clone(),
            mask_head_inputs={"backbone_feats": detected.features["backbone_fpn"], **owned},
        )
