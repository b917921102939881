"""The engine: owns a model with its device, precision and caches, and routes prompts."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from .checkpoints.loader import load_model, supports_concepts, supports_objects
from .checkpoints.zoo import find_weight_files, resolve_input_size
from .inference.automatic_masks import CLASS_NAME, segment_everything
from .inference.concepts import (
    PromptProcessor,
    ground,
    labels_of,
    prompted_state,
    sorted_by_class,
    texts_of,
    thresholds_of,
)
from .inference.grounding import Grounding, instances_of
from .inference.image_encoder import EncodedImage, ImageEncoder, RgbImage, check_rgb
from .inference.interactive import ObjectDecoder, class_names_of, segment_objects
from .inference.tiling import View, look_closer
from .model.precision import Precision, resolve_precision
from .model.sam3_imports import Sam3Image
from .postprocess.filters import selected
from .prompts import ConceptPrompt, ObjectPrompt, Prompt, check_against_image
from .results import Instance, Result
from .runtime.memory import (
    CHUNK_BYTES,
    GPU_CHUNK_BYTES,
    Portions,
    release_memory,
    within_memory,
)
from .runtime.openmp import full_teams

logger = logging.getLogger("infer_segment_anything_3")

StepCallback = Callable[[str], None]

IMAGES_PER_FORWARD = {"cpu": 1, "cuda": 8}
"""Images of a batch that share a pass of the image encoder: on a CPU that saves nothing."""

CONCEPTS_PER_FORWARD = {"cpu": 1, "cuda": 8}
"""Concepts that share a forward pass: on a CPU that saves nothing and costs memory."""


def ignore_step(step: str) -> None:
    """The step callback of somebody who does not care."""


class Engine:
    """A SAM 3 image model ready to be asked. Safe to use from several threads.

    Attributes:
        model: The package's ``Sam3Image``, in eval mode.
        device: Where it runs.
        precision: ``float32`` or ``bfloat16``.
        image_size: Side of the model's square input, in pixels.
    """

    def __init__(self, model: Sam3Image, image_size: int, precision: Precision = "auto") -> None:
        """Wraps a model; most callers want :meth:`load`.

        Args:
            model: A model with its weights, in eval mode, on its device.
            image_size: Side of its input, in pixels.
            precision: ``auto`` takes bfloat16 where the device has it natively.
        """
        self.model = model
        self.image_size = image_size
        self.device: torch.device = model.device
        self.precision: Literal["float32", "bfloat16"] = resolve_precision(precision, self.device)
        self._lock = threading.RLock()
        self._processor = PromptProcessor(model, image_size, self.device)
        self._encoder = ImageEncoder(self._processor)
        self._decoder = ObjectDecoder(model) if supports_objects(model) else None

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
            weight_file: A local checkpoint; wins over the download. ``base.pt + folder``
                merges a LoRA adapter into it.
            device: For instance ``cpu`` or ``cuda``; the GPU where there is one by default.
            precision: ``auto``, ``float32`` or ``bfloat16``.
            input_size: Side of the model's square input, in pixels: ``auto`` for the model's
                own; ``sam3``: 1008, 672, 336; ``tiny_shapes``: 280, 224, 112. Smaller is
                faster and finds less.

        Returns:
            An engine, shared by everybody who asks for the same weights, device, precision
            and size while somebody holds it.

        Raises:
            ValueError: If a name is unknown, or the model cannot run at that size.
            WeightsError: If the weights cannot be had, or do not fit.
        """
        size = resolve_input_size(model_name, input_size)
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        resolved = resolve_precision(precision, where)
        with _loading:
            files = find_weight_files(model_name, weight_file)
            key = (model_name, files.identity, str(where), resolved, size)
            engine = _engines.get(key)
            if engine is None:
                started = time.perf_counter()
                logger.info("loading %s from %s on %s", model_name, files, where)
                engine = within_memory(
                    lambda _: cls(
                        load_model(model_name, files, where, size, resolved), size, resolved
                    ),
                    Portions(),
                    release_memory,
                )
                _engines[key] = engine
                logger.info("loaded in %.1f s", time.perf_counter() - started)
        return engine

    @property
    def encodings(self) -> int:
        """Images encoded so far."""
        return self._encoder.encodings

    @property
    def text_encodings(self) -> int:
        """Texts encoded so far."""
        return self._processor.text_encodings

    @property
    def decoder_calls(self) -> int:
        """Calls of the interactive decoder so far."""
        return self._decoder.calls if self._decoder else 0

    @property
    def image_cache(self) -> Any:
        """The cache of encoded images; its ``max_items`` and ``max_bytes`` may be set."""
        return self._encoder.cache

    def segment(
        self,
        image: RgbImage,
        prompt: Prompt,
        input_size_percent: float = 100,
        on_step: StepCallback = ignore_step,
        masks: bool = True,
    ) -> Result:
        """Segments an image.

        Args:
            image: (H, W, 3) uint8, RGB. Never written to.
            prompt: What to look for, in pixels of ``image``.
            input_size_percent: Shrinks the image before it is encoded (1 to 100); the
                result keeps the size and coordinates of ``image``.
            on_step: Called after every step with its name; an exception it raises ends the
                run and leaves the engine usable. Steps come again where a GPU out of memory
                makes the run start over in smaller portions.
            masks: False for the boxes of concepts only, see ``ConceptPrompt.masks``.

        Returns:
            What was found.

        Raises:
            TypeError: If ``image`` is not such an array.
            ValueError: If the prompt does not fit the image.
            GpuMemoryError: If the GPU has no room for the run even in small portions.
        """
        check_rgb(image)
        if not isinstance(prompt, Prompt):
            raise TypeError(f"prompt: expected a prompt of this package, got {type(prompt)}")
        if not masks:
            if not isinstance(prompt, ConceptPrompt):
                raise ValueError("masks: expected True, because only concepts have boxes alone")
            prompt = dataclasses.replace(prompt, masks=False)
        prompt = check_against_image(prompt, (image.shape[0], image.shape[1]))
        with self._running():
            return within_memory(
                lambda portions: self._answer(image, prompt, input_size_percent, on_step, portions),
                self._usual_portions(),
                self._encoder.cache.clear,
            )

    def segment_batch(
        self,
        images: Sequence[RgbImage],
        prompt: Prompt,
        input_size_percent: float = 100,
        on_step: StepCallback = ignore_step,
        masks: bool = True,
    ) -> list[Result]:
        """Segments several images with one prompt.

        On a GPU up to :data:`IMAGES_PER_FORWARD` images share a pass of the image encoder, so
        that memory stays bounded for any number of them; a prompt with ``tiles`` runs image
        by image. Logits are those of one by one within 1e-3.

        Args:
            images: (H, W, 3) uint8, RGB, of any sizes.
            prompt: What to look for in each, in pixels of each.
            input_size_percent: See :meth:`segment`.
            on_step: See :meth:`segment`.
            masks: See :meth:`segment`.

        Returns:
            One result for each image, in order.

        Raises:
            TypeError: If an image is not such an array.
            ValueError: If the prompt does not fit an image.
            GpuMemoryError: If the GPU has no room for the run even in small portions.
        """
        for image in images:
            check_rgb(image)
        limits = self._usual_portions()
        in_batches = getattr(prompt, "tiles", 1) == 1 and limits.images > 1
        results = []
        for start in range(0, len(images), limits.images):
            chunk = images[start : start + limits.images]
            fresh: list[EncodedImage | None] = [None] * len(chunk)
            if in_batches:
                fresh = self._encode_batch(chunk, input_size_percent, limits)
            for image, encoded in zip(chunk, fresh, strict=True):
                with self._lock:
                    if encoded is not None:
                        self._encoder.remember(image, input_size_percent, encoded)
                    found = self.segment(image, prompt, input_size_percent, on_step, masks)
                results.append(found)
        return results

    def _encode_batch(
        self, images: Sequence[RgbImage], size_percent: float, limits: Portions
    ) -> list[EncodedImage | None]:
        with self._running():
            return within_memory(
                lambda portions: [
                    *self._encoder.encode_batch(images, size_percent, portions.images)
                ],
                limits,
                self._encoder.cache.clear,
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
        self._check_concepts()
        with self._running():
            for text in prompt.texts:
                self._processor.set_text_prompt(text, {"backbone_out": {}})
            if rest_text_encoder:
                self._processor.rest_text_encoder()
                release_memory()

    def _answer(
        self,
        image: RgbImage,
        prompt: Prompt,
        size_percent: float,
        on_step: StepCallback,
        portions: Portions,
    ) -> Result:
        if isinstance(prompt, ConceptPrompt):
            return self._segment_concepts(image, prompt, size_percent, on_step, portions)
        decoder = self._object_decoder()
        encoded, cached = self._encoder.encode(image, size_percent)
        on_step("encode")
        if isinstance(prompt, ObjectPrompt):
            instances = segment_objects(decoder, encoded.state, prompt, portions)
            on_step("objects")
            return Result(_hw(encoded), class_names_of(prompt), tuple(instances), cached)
        found = segment_everything(decoder, encoded.state, prompt, on_step, portions)
        return selected(Result(_hw(encoded), (CLASS_NAME,), found, cached), prompt)

    def _object_decoder(self) -> ObjectDecoder:
        if self._decoder is None:
            raise ValueError(
                "prompt_mode: these weights hold no tracker, so they know concepts (text, "
                "exemplars) but not objects (points, boxes)"
            )
        return self._decoder

    def _check_concepts(self) -> None:
        if not supports_concepts(self.model):
            raise ValueError(
                "prompt_mode: these weights hold no detector, so they know objects (points, "
                "boxes) but not concepts (text, exemplars)"
            )

    def _segment_concepts(
        self,
        image: RgbImage,
        prompt: ConceptPrompt,
        size_percent: float,
        on_step: StepCallback,
        portions: Portions,
    ) -> Result:
        self._check_concepts()

        def look(pixels: RgbImage, asked: ConceptPrompt, keep: bool, step: StepCallback) -> View:
            encoded, cached = self._encoder.encode(pixels, size_percent, keep)
            step("encode")
            return View(*self._concepts_on(encoded, asked, step, portions), cached)

        if prompt.tiles == 1:
            view = look(image, prompt, True, on_step)
        else:
            queries = self.model.transformer.decoder.num_queries
            view = look_closer(image, prompt, look, queries, self.image_size, on_step)
        # Masks were added to the groundings since the image was cached.
        self._encoder.cache.trim()
        hw = image.shape[0], image.shape[1]
        found = sorted_by_class(view.instances)
        return selected(
            Result(hw, texts_of(prompt), found, view.was_cached, view.truncated), prompt
        )

    def _concepts_on(
        self,
        encoded: EncodedImage,
        prompt: ConceptPrompt,
        on_step: StepCallback,
        portions: Portions,
    ) -> tuple[tuple[Instance, ...], tuple[str, ...]]:
        """Instances of every concept on one encoded view, and the texts that filled it."""
        texts, thresholds = texts_of(prompt), thresholds_of(prompt)
        groundings = self._groundings(encoded, texts, prompt, portions.concepts)
        instances: list[Instance] = []
        truncated = []
        for index, (text, threshold) in enumerate(zip(texts, thresholds, strict=True)):
            grounding = next(groundings)
            found = instances_of(
                self.model,
                grounding,
                index,
                threshold,
                _hw(encoded),
                portions.mask_bytes,
                prompt.masks,
            )
            if len(found) == len(grounding.scores):
                truncated.append(text)
            instances += found
            on_step(f"concept: {text}")
        # Masks were added to the groundings since they were kept.
        encoded.groundings.trim()
        return tuple(instances), tuple(truncated)

    def _groundings(
        self, encoded: EncodedImage, texts: tuple[str, ...], prompt: ConceptPrompt, size: int
    ) -> Iterator[Grounding]:
        """Yields the grounding of each text in turn, computed a chunk at a time."""
        exemplars = (prompt.exemplars_xyxy, labels_of(prompt))
        for start in range(0, len(texts), size):
            chunk = texts[start : start + size]
            known = {text: encoded.groundings.get((text, *exemplars)) for text in chunk}
            missing = [text for text in chunk if known[text] is None]
            states = [prompted_state(self._processor, encoded.state, t, prompt) for t in missing]
            if states:
                for text, grounding in zip(missing, ground(self.model, states), strict=True):
                    encoded.groundings.put((text, *exemplars), grounding)
                    known[text] = grounding
            yield from (grounding for grounding in known.values() if grounding is not None)

    def _usual_portions(self) -> Portions:
        """How much is computed at a time where memory suffices."""
        return Portions(
            concepts=CONCEPTS_PER_FORWARD.get(self.device.type, 1),
            images=IMAGES_PER_FORWARD.get(self.device.type, 1),
            mask_bytes=GPU_CHUNK_BYTES if self.device.type == "cuda" else CHUNK_BYTES,
        )

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        """One run at a time, in this engine's precision, without gradients."""
        with (
            self._lock,
            full_teams(),
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"),
        ):
            yield


_loading = threading.Lock()
_engines: weakref.WeakValueDictionary[tuple[Any, ...], Engine] = weakref.WeakValueDictionary()


def _hw(encoded: EncodedImage) -> tuple[int, int]:
    return encoded.state["original_height"], encoded.state["original_width"]
