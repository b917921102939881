"""Holds a model with its device, precision and caches, and routes prompts to it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from .batches import segment_in_batches
from .checkpoints.loader import supports_concepts, supports_objects
from .images import RgbImage
from .inference.automatic_masks import count_batches, segment_everything
from .inference.concepts import ConceptSegmenter
from .inference.image_encoder import ImageEncoder, check_rgb
from .inference.interactive import ObjectDecoder, segment_objects
from .inference.prompt_processor import PromptProcessor
from .inference.references import ReferencePrompts
from .model.precision import Precision, resolve_precision
from .model.sam3_imports import Sam3Image
from .postprocess.nms import apply_filters
from .prompts import ConceptPrompt, ObjectPrompt, Prompt, fit_to_image
from .registry import load_engine
from .results import Result
from .runtime.execution import ModelExecution
from .runtime.memory import BatchLimits, release_memory, retry_on_oom
from .runtime.steps import PlanCallback, StepCallback, ignore

T = TypeVar("T")


class Engine:
    """Runs a SAM 3 image model and caches its results. Safe to use from several threads.

    Threads take turns: one encoding, or one batch of concepts or objects, is a turn.

    Attributes:
        model: The package's ``Sam3Image``, in eval mode.
        device: Where it runs.
        precision: ``float32`` or ``bfloat16``.
        backend: ``torch``, or ``openvino`` for the image encoder.
        image_size: Side of the model's square input, in pixels.
        limits: How much is computed at a time where memory suffices; may be set.
        vocabulary: The only words that the weights know; empty if they know any.
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
        vocabulary: Sequence[str] = (),
        most_threads: int | None = None,
        backend: str = "torch",
    ) -> None:
        """Wraps a model; most callers want :meth:`load`.

        Args:
            model: A model with its weights, in eval mode, on its device.
            image_size: Side of its input, in pixels.
            precision: ``auto`` takes bfloat16 where the device has it natively.
            weights_name: What errors call the weights, for instance their path.
            vocabulary: The only words that the weights know; empty if they know any.
            most_threads: Largest team of CPU threads; None for all.
            backend: What the model's image encoder runs with.
        """
        self.model = model
        self.image_size = image_size
        self.device: torch.device = model.device
        self.weights_name = weights_name
        self.backend = backend
        self.precision: Literal["float32", "bfloat16"] = resolve_precision(precision, self.device)
        self.limits = BatchLimits.for_device(self.device)
        self.vocabulary = tuple(vocabulary)
        self.execution = ModelExecution(self.device, self.precision, most_threads)
        self.processor = PromptProcessor(model, image_size, self.device)
        self.encoder = ImageEncoder(self.processor, self.execution)
        self.references = ReferencePrompts(self.processor, self.encoder, self.execution)
        self._concepts = (
            ConceptSegmenter(
                self.processor, self.encoder, self.references, self.execution, weights_name
            )
            if supports_concepts(model)
            else None
        )
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
        backend: str = "torch",
    ) -> Engine:
        """Loads a model, or returns the engine that already holds it.

        Args:
            model_name: ``sam3`` or ``sam3.1`` (Meta's gated weights), ``tiny_shapes``
                (bundled), or weights of ``sam3`` from a repository:
                ``owner/name[@revision][:file]`` of the Hugging Face Hub, ``modelscope:owner/name``
                where ModelScope's client is installed.
            weight_file: A local checkpoint; takes precedence over the download.
                ``base.pt + folder`` merges a LoRA adapter into it.
            device: For instance ``cpu`` or ``cuda``; by default the GPU where there is one.
            precision: ``auto``, ``float32`` or ``bfloat16``.
            input_size: Side of the model's square input, in pixels: ``auto`` for the model's
                own; ``sam3``, ``sam3.1``: 1008, 672, 336; ``tiny_shapes``: 280, 224, 112.
                Smaller is faster and finds less.
            backend: ``torch``, or ``openvino`` for the image encoder on a CPU. It is converted
                once and kept in the user's cache folder; results differ in their last bits.

        Returns:
            An engine, shared by all callers who ask for the same weights, device, precision,
            size and backend for as long as one of them holds it.

        Raises:
            ValueError: If a name is unknown, the model cannot run at that size, or the backend on
                that device.
            ImportError: If the backend is not installed.
            WeightsError: If the weights cannot be found, fetched or loaded.
        """
        return load_engine(cls, model_name, weight_file, device, precision, input_size, backend)

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
        """Compiles the image encoder with ``torch.compile`` at its next run.

        Takes about a minute and pays on a GPU where hundreds of images follow. Results change
        in their last bits. The engine is shared: all its holders get the compiled encoder.

        Raises:
            ValueError: If the encoder does not run with PyTorch.
        """
        if self.backend != "torch":
            raise ValueError(f"backend: expected torch to compile it, got {self.backend}")
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
            on_step: Called after every step with its name; its exceptions end the run. Steps are
                repeated where a GPU out of memory makes the run start again.
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
            functools.partial(self._segment, image, prompt, input_size_percent, on_step, on_plan)
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
        return segment_in_batches(
            images,
            prompt,
            input_size_percent,
            self.limits,
            self.encoder,
            self.references,
            lambda image: self.segment(image, prompt, input_size_percent, on_step, masks),
        )

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
        self._get_concept_segmenter()
        for text in prompt.texts:
            with self.execution.step():
                self.processor.set_text_prompt(text, {"backbone_out": {}})
        if rest_text_encoder:
            with self.execution.step():
                self.processor.rest_text_encoder()
            release_memory()

    def retry_on_oom(self, attempt: Callable[[BatchLimits], T]) -> T:
        """Calls :func:`.runtime.memory.retry_on_oom` with this engine's limits and cache."""
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
            segmenter = self._get_concept_segmenter()
            result = segmenter.segment(image, prompt, size_percent, on_step, on_plan, limits)
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

    def _get_concept_segmenter(self) -> ConceptSegmenter:
        if self._concepts is None:
            raise ValueError(
                "prompt_mode: these weights hold no detector, so they know objects (points, "
                "boxes) but not concepts (text, exemplars)"
            )
        return self._concepts
