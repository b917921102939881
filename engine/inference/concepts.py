"""Segments concepts, given by texts and exemplar boxes, with the package's own modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..images import RgbImage
from ..model.sam3_imports import Sam3Image
from ..prompts import ConceptPrompt
from ..results import Instance, Result
from ..runtime.execution import ModelExecution
from ..runtime.memory import BatchLimits
from ..runtime.steps import PlanCallback, StepCallback
from .concept_output import ConceptOutput, check_finite, make_instances
from .detection import PromptTokens, decode_concepts
from .image_encoder import EncodedImage, ImageEncoder
from .prompt_processor import (
    PromptProcessor,
    add_prompt,
    add_text,
    get_texts,
    get_thresholds,
    make_exemplar_key,
)
from .references import ReferencePrompts
from .tiling import CROWDED_SHARE, TiledSegmentation, View


class ConceptSegmenter:
    """Segments the instances of concepts on images: on the whole image, and on tiles.

    Keeps the detector's output with the encoded image, so that another threshold or the same
    concept again needs no forward pass of the detector.
    """

    def __init__(
        self,
        processor: PromptProcessor,
        encoder: ImageEncoder,
        references: ReferencePrompts,
        execution: ModelExecution,
        weights_name: str,
    ) -> None:
        """Wraps a processor.

        Args:
            processor: The processor around the model.
            encoder: Encodes the images.
            references: Encodes exemplars that lie in a reference.
            execution: The context of every forward pass.
            weights_name: What errors call the weights.
        """
        self._processor = processor
        self._encoder = encoder
        self._references = references
        self._model: Sam3Image = processor.model
        self._execution = execution
        self._weights_name = weights_name
        self._queries = int(self._model.transformer.decoder.num_queries)

    def segment(
        self,
        image: RgbImage,
        prompt: ConceptPrompt,
        size_percent: float,
        on_step: StepCallback,
        on_plan: PlanCallback,
        limits: BatchLimits,
    ) -> Result:
        """Segments every concept of a prompt on an image.

        Args:
            image: (H, W, 3) uint8, RGB.
            prompt: Texts, exemplars in pixels of the image or of the reference, thresholds.
            size_percent: Shrinks each view and the reference before it is encoded.
            on_step: Called after every step with its name.
            on_plan: Called with the number of steps still to come, before each view.
            limits: How many concepts go through the detector at once.

        Returns:
            The instances, sorted by class, then falling score.
        """
        image_hw = image.shape[0], image.shape[1]
        tokens: Sequence[PromptTokens] = ()
        if prompt.reference is not None:
            on_plan(2 + len(prompt.class_names))
            tokens = self._references.encode(prompt, size_percent, limits)
            on_step("reference")
        tiling = TiledSegmentation(image_hw, prompt, self._queries, self._processor.resolution)
        were_cached = []
        for view in tiling:
            on_plan(view.views_left * (1 + len(view.prompt.class_names)))
            on_view_step = _prefix_steps(view, on_step)
            encoded, was_cached = self._encoder.encode(
                view.crop(image), size_percent, view.is_cached
            )
            on_view_step("encode")
            tiling.add(
                view, *self._segment_view(encoded, view.prompt, on_view_step, limits, tokens)
            )
            were_cached.append(was_cached)
        instances = sort_by_class(tiling.merge())
        with self._execution.step():
            # Masks were added to the encoded images since they were cached.
            self._encoder.cache.trim()
        return Result(
            image_hw,
            prompt.class_names,
            instances,
            all(were_cached),
            tiling.truncated,
            best_scores=tiling.best_scores,
            tile_grid=tiling.grid,
        )

    def _segment_view(
        self,
        encoded: EncodedImage,
        prompt: ConceptPrompt,
        on_step: StepCallback,
        limits: BatchLimits,
        tokens: Sequence[PromptTokens],
    ) -> tuple[list[Instance], list[str], list[float]]:
        """Segments every concept on one view.

        Returns:
            The instances, the names of the crowded classes, and the best score of each class.
        """
        texts, thresholds = get_texts(prompt), get_thresholds(prompt)
        instances: list[Instance] = []
        crowded = []
        best_scores = []
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
                    best_scores.append(float(outputs[text].scores.max()))
                    # Masks were added to the outputs since they were cached.
                    encoded.concepts.trim()
                if len(found) > CROWDED_SHARE * self._queries:
                    crowded.append(prompt.class_names[index])
                instances += found
                on_step(f"concept: {prompt.class_names[index]}")
        return instances, crowded, best_scores

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


def sort_by_class(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Sorts instances by class, then falling score."""
    order = np.lexsort(([-i.score for i in instances], [i.class_index for i in instances]))
    return tuple(instances[k] for k in order)


def _prefix_steps(view: View, on_step: StepCallback) -> StepCallback:
    """Makes a step callback that puts the name of the tile before that of the step."""
    if not view.name:
        return on_step
    return lambda step: on_step(f"{view.name}: {step}")
