"""Holds a model with its device, precision and caches, and routes prompts to it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from .checkpoints.loader import supports_concepts, supports_objects
from .inference.automatic_masks import count_batches, segment_everything
from .inference.concepts import ConceptSegmenter, PromptProcessor, sort_by_class
from .inference.detection import PromptTokens
from .inference.image_encoder import EncodedImage, ImageEncoder, RgbImage, check_rgb
from .inference.interactive import ObjectDecoder, segment_objects
from .inference.references import ReferencePrompts
from .inference.tiling import TiledSegmentation, View
from .model.precision import Precision, resolve_precision
from .model.sam3_imports import Sam3Image
from .postprocess.nms import apply_filters
from .prompts import ConceptPrompt, ObjectPrompt, Prompt, fit_to_image
from .registry import load_engine
from .results import Result
from .runtime.execution import ModelExecution
from .runtime.memory import BatchLimits, release_memory, retry_on_oom
from .runtime.steps import PlanCallback, StepCallback, ignore

logger = logging.getLogger("infer_segment_anything_3")

T = TypeVar("T")


class Engine:
    """Runs a SAM 3 image model and caches its results. Safe to use from several threads.

    Threads take turns: one encoding, or one batch of concepts or objects, is a turn.

    Attributes:
        model: The package's ``Sam3Image``, in eval mode.
        device: Where it runs.
        precision: ``float32`` or ``bfloat16``.
        image_size: Side of the model's square input, in pixels.
        limits: How much is computed at a time where memory suffices; may be set.
        execution: The context of every forward pass of the model.
        processor: Collects prompts; caches encoded texts.
        encoder: Encodes images; caches them.
        references: Encodes prompts whose exemplars lie in a reference; caches them.
    """

    def __init__(
        self,
        model: Sam3Image,
        image_size: int,
        precision: Precision = "auto",
        weights_name: str = "the weights",
    ) -> None:
        """Wraps a model; most callers want :meth:`load`.

        Args:
            model: A model with its weights, in eval mode, on its device.
            image_size: Side of its input, in pixels.
            precision: ``auto`` takes bfloat16 where the device has it natively.
            weights_name: What errors call the weights, for instance their path.
        """
        self.model = model
        self.image_size = image_size
        self.device: torch.device = model.device
        self.weights_name = weights_name
        self.precision: Literal["float32", "bfloat16"] = resolve_precision(precision, self.device)
        self.limits = BatchLimits.for_device(self.device)
        self.execution = ModelExecution(self.device, self.precision)
        self.processor = PromptProcessor(model, image_size, self.device)
        self.encoder = ImageEncoder(self.processor, self.execution)
        self.references = ReferencePrompts(self.processor, self.encoder, self.execution)
        self._concepts = ConceptSegmenter(self.processor, self.execution, weights_name)
        self._decoder = (
            ObjectDecoder(model, self.execution, weights_name) if supports_objects(model) else None
        )

    @classmethod
    def load(
        cls,
        model_name: str = "sam3",
        weight_file: str | Path | None = None,
        device: str | torch.device | None = None,
        precision: Precision = "auto",
        input_size: int | Literal["auto"] = "auto",
    ) -> Engine:
        """Loads a model, or returns the engine that already holds it.

        Args:
            model_name: ``sam3`` (Meta's gated weights) or ``tiny_shapes`` (bundled).
            weight_file: A local checkpoint; takes precedence over the download.
                ``base.pt + folder`` merges a LoRA adapter into it.
            device: For instance ``cpu`` or ``cuda``; by default the GPU where there is one.
            precision: ``auto``, ``float32`` or ``bfloat16``.
            input_size: Side of the model's square input, in pixels: ``auto`` for the model's
                own; ``sam3``: 1008, 672, 336; ``tiny_shapes``: 280, 224, 112. Smaller is
                faster and finds less.

        Returns:
            An engine, shared by all callers who ask for the same weights, device, precision
            and size for as long as one of them holds it.

        Raises:
            ValueError: If a name is unknown, or the model cannot run at that size.
            WeightsError: If the weights cannot be found, fetched or loaded.
        """
        return load_engine(cls, model_name, weight_file, device, precision, input_size)

    @property
    def encodings(self) -> int:
        """Images encoded so far."""
        return self.encoder.encodings

    @property
    def text_encodings(self) -> int:
        """Texts encoded so far."""
        return self.processor.text_encodings

    @property
    def decoder_calls(self) -> int:
        """Calls of the interactive decoder so far."""
        return self._decoder.calls if self._decoder else 0

    @property
    def image_cache(self) -> Any:
        """The cache of encoded images; its ``max_items`` and ``max_bytes`` may be set."""
        return self.encoder.cache

    def clear_caches(self) -> None:
        """Drops all encoded images, texts and prompts of references."""
        self.encoder.cache.clear()
        self.processor.forget_texts()
        self.references.forget()

    def compile(self) -> None:
        """Lets ``torch.compile`` translate the image encoder at its next run.

        Takes about a minute and pays on a GPU where hundreds of images follow. Results change
        in their last bits. The engine is shared: all its holders get the compiled encoder.
        """
        self.model.backbone.vision_backbone.trunk.compile(dynamic=False)

    def segment(
        self,
        image: RgbImage,
        prompt: Prompt,
        input_size_percent: float = 100,
        on_step: StepCallback = ignore,
        masks: bool = True,
        on_plan: PlanCallback = ignore,
    ) -> Result:
        """Segments an image.

        Args:
            image: (H, W, 3) uint8, RGB. Never written to.
            prompt: The prompt, in pixels of ``image``.
            input_size_percent: Shrinks the image before it is encoded (1 to 100); the
                result keeps the size and coordinates of ``image``.
            on_step: Called after every step with its name; an exception it raises ends the
                run and leaves the engine usable. Steps are repeated where a GPU out of memory
                makes the run start again in smaller batches.
            masks: False for the boxes of concepts only, see ``ConceptPrompt.masks``.
            on_plan: Called with the number of steps still to come, before the first one and
                each time that it changes: ``tiles="auto"`` takes tiles by what was found.

        Returns:
            The instances.

        Raises:
            TypeError: If ``image`` is not such an array.
            ValueError: If the prompt does not fit the image.
            GpuMemoryError: If the GPU has too little memory even for small batches.
            NonFiniteOutputError: If the model returns NaN or infinity.
        """
        check_rgb(image)
        if not isinstance(prompt, Prompt):
            raise TypeError(f"prompt: expected a prompt of this package, got {type(prompt)}")
        if not masks:
            if not isinstance(prompt, ConceptPrompt):
                raise ValueError("masks: expected True, because only concepts have boxes alone")
            prompt = dataclasses.replace(prompt, masks=False)
        prompt = fit_to_image(prompt, (image.shape[0], image.shape[1]))
        return self.retry_on_oom(
            lambda limits: self._segment(
                image, prompt, input_size_percent, on_step, on_plan, limits
            )
        )

    def segment_batch(
        self,
        images: Sequence[RgbImage],
        prompt: Prompt,
        input_size_percent: float = 100,
        on_step: StepCallback = ignore,
        masks: bool = True,
    ) -> list[Result]:
        """Segments several images with one prompt.

        On a GPU ``limits.images`` images share a pass of the image encoder, so that memory
        stays bounded for any number of them; a prompt with ``tiles`` runs image by image.
        Logits are those of one by one within 1e-3.

        Args:
            images: (H, W, 3) uint8, RGB, of any sizes.
            prompt: The prompt for each, in pixels of each.
            input_size_percent: See :meth:`segment`.
            on_step: See :meth:`segment`.
            masks: See :meth:`segment`.

        Returns:
            One result for each image, in order.

        Raises:
            TypeError: If an image is not such an array.
            ValueError: If the prompt does not fit an image.
            GpuMemoryError: If the GPU has too little memory even for small batches.
        """
        for image in images:
            check_rgb(image)
        # No more than the cache holds until each of them is segmented.
        size = max(1, min(self.limits.images, self.encoder.cache.max_items))
        if getattr(prompt, "tiles", 1) != 1:
            size = 1
        if images and isinstance(prompt, ConceptPrompt) and prompt.reference is not None:
            # Before the images, which fill the cache.
            self.retry_on_oom(
                lambda limits: self.references.encode(prompt, input_size_percent, limits)
            )
        results = []
        for start in range(0, len(images), size):
            chunk = images[start : start + size]
            were_cached = self._cache_batch(chunk, input_size_percent) if size > 1 else ()
            found = [
                self.segment(image, prompt, input_size_percent, on_step, masks) for image in chunk
            ]
            # All of them are in the cache now.
            for index, was_cached in enumerate(were_cached):
                found[index] = dataclasses.replace(found[index], image_was_cached=was_cached)
            results += found
        return results

    def _cache_batch(self, images: Sequence[RgbImage], size_percent: float) -> list[bool]:
        """Encodes images into the cache; returns which of them had been encoded before."""
        encoded_images = self.retry_on_oom(
            lambda limits: self.encoder.encode_batch(images, size_percent, limits.images)
        )
        for image, (encoded, _) in zip(images, encoded_images, strict=True):
            self.encoder.add_to_cache(image, size_percent, encoded)
        return [was_cached for _, was_cached in encoded_images]

    def prepare_texts(self, texts: Iterable[str], rest_text_encoder: bool = False) -> None:
        """Encodes phrases before they are asked for, as for a fixed list of classes.

        Args:
            texts: The phrases.
            rest_text_encoder: Moves the text encoder, two fifths of the parameters, to the
                CPU's memory afterwards. A phrase that is not among the last thousand brings
                it back to the GPU for its encoding.

        Raises:
            ValueError: If a phrase is empty or too long, or the weights hold no detector.
        """
        prompt = ConceptPrompt(tuple(texts))
        self._check_concepts()
        for text in prompt.texts:
            with self.execution.step():
                self.processor.set_text_prompt(text, {"backbone_out": {}})
        if rest_text_encoder:
            with self.execution.step():
                self.processor.rest_text_encoder()
            release_memory()

    def retry_on_oom(self, attempt: Callable[[BatchLimits], T]) -> T:
        """Runs a computation, and again in smaller batches if the GPU is out of memory.

        Args:
            attempt: Computes it within the limits it is given.

        Returns:
            What the attempt returns.

        Raises:
            GpuMemoryError: If the GPU is out of memory in small batches, too.
        """
        return retry_on_oom(attempt, self.limits, self.encoder.cache.clear)

    def _segment(
        self,
        image: RgbImage,
        prompt: Prompt,
        size_percent: float,
        on_step: StepCallback,
        on_plan: PlanCallback,
        limits: BatchLimits,
    ) -> Result:
        if isinstance(prompt, ConceptPrompt):
            result = self._segment_concepts(image, prompt, size_percent, on_step, on_plan, limits)
            return apply_filters(result, prompt)
        decoder = self.get_object_decoder()
        on_plan(2 if isinstance(prompt, ObjectPrompt) else 1 + count_batches(prompt, limits))
        encoded, cached = self.encoder.encode(image, size_percent)
        on_step("encode")
        if isinstance(prompt, ObjectPrompt):
            instances = segment_objects(decoder, encoded, prompt, limits)
            on_step("objects")
            return Result(encoded.image_hw, prompt.class_names, tuple(instances), cached)
        found = segment_everything(decoder, encoded, prompt, on_step, limits)
        return apply_filters(Result(encoded.image_hw, prompt.class_names, found, cached), prompt)

    def get_object_decoder(self) -> ObjectDecoder:
        """Returns the interactive decoder.

        Raises:
            ValueError: If the weights hold no tracker.
        """
        if self._decoder is None:
            raise ValueError(
                "prompt_mode: these weights hold no tracker, so they know concepts (text, "
                "exemplars) but not objects (points, boxes)"
            )
        return self._decoder

    def _segment_concepts(
        self,
        image: RgbImage,
        prompt: ConceptPrompt,
        size_percent: float,
        on_step: StepCallback,
        on_plan: PlanCallback,
        limits: BatchLimits,
    ) -> Result:
        self._check_concepts()
        image_hw = image.shape[0], image.shape[1]
        tokens: Sequence[PromptTokens] = ()
        if prompt.reference is not None:
            on_plan(2 + len(prompt.class_names))
            tokens = self.references.encode(prompt, size_percent, limits)
            on_step("reference")
        cached_views = []
        if prompt.tiles == 1:
            on_plan(1 + len(prompt.class_names))
            encoded, cached = self._encode_view(image, size_percent, True, on_step)
            instances, truncated = self._concepts.segment(encoded, prompt, on_step, limits, tokens)
            cached_views.append(cached)
        else:
            tiling = TiledSegmentation(image_hw, prompt, self._concepts.queries, self.image_size)
            for view in tiling:
                on_plan(view.views_left * (1 + len(view.prompt.class_names)))
                on_view_step = _prefix_steps(view, on_step)
                encoded, cached = self._encode_view(
                    view.crop(image), size_percent, view.is_cached, on_view_step
                )
                found, crowded = self._concepts.segment(
                    encoded, view.prompt, on_view_step, limits, tokens
                )
                tiling.add(view, found, crowded)
                cached_views.append(cached)
            instances, truncated = tiling.merge(), list(tiling.truncated)
        with self.execution.step():
            # Masks were added to the encoded images since they were cached.
            self.encoder.cache.trim()
        return Result(
            image_hw,
            prompt.class_names,
            sort_by_class(instances),
            all(cached_views),
            tuple(truncated),
        )

    def _check_concepts(self) -> None:
        if not supports_concepts(self.model):
            raise ValueError(
                "prompt_mode: these weights hold no detector, so they know objects (points, "
                "boxes) but not concepts (text, exemplars)"
            )

    def _encode_view(
        self, pixels: RgbImage, size_percent: float, keep: bool, on_step: StepCallback
    ) -> tuple[EncodedImage, bool]:
        encoded, cached = self.encoder.encode(pixels, size_percent, keep)
        on_step("encode")
        return encoded, cached


def _prefix_steps(view: View, on_step: StepCallback) -> StepCallback:
    """Makes a step callback that puts the name of the tile before that of the step."""
    if not view.name:
        return on_step
    return lambda step: on_step(f"{view.name}: {step}")
