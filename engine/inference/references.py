"""Encodes prompts whose exemplars lie in a reference image, once for all images."""

from __future__ import annotations

from typing import Any

from ..prompts import ConceptPrompt
from ..runtime.execution import ModelExecution
from ..runtime.memory import BatchLimits
from .cache import LruCache, count_tensor_bytes
from .detection import PromptTokens, encode_prompts
from .image_encoder import ImageEncoder
from .prompt_processor import (
    MAX_TEXT_BYTES,
    MAX_TEXTS,
    PromptProcessor,
    add_prompt,
    get_texts,
    make_exemplar_key,
)


class ReferencePrompts:
    """Encodes prompts on their references, and keeps their tokens."""

    def __init__(
        self, processor: PromptProcessor, encoder: ImageEncoder, execution: ModelExecution
    ) -> None:
        """Wraps a processor and an encoder.

        Args:
            processor: The processor around the model.
            encoder: Encodes the references.
            execution: The context of every forward pass.
        """
        self._processor = processor
        self._encoder = encoder
        self._execution = execution
        self._tokens: LruCache[tuple[Any, ...], PromptTokens] = LruCache(
            MAX_TEXTS, MAX_TEXT_BYTES, lambda tokens: count_tensor_bytes([tokens])
        )

    def encode(
        self, prompt: ConceptPrompt, size_percent: float, limits: BatchLimits
    ) -> tuple[PromptTokens, ...]:
        """Encodes a prompt on its reference, or takes its tokens from the cache.

        Args:
            prompt: A prompt with a reference.
            size_percent: Shrinks the reference before it is encoded, as the images are.
            limits: How many concepts are encoded at once.

        Returns:
            The tokens of each concept.
        """
        assert prompt.reference is not None
        key = (*make_exemplar_key(prompt), size_percent)
        texts = get_texts(prompt)
        with self._execution.step():
            known = {text: self._tokens.get((text, *key)) for text in texts}
        missing = [text for text, tokens in known.items() if tokens is None]
        for start in range(0, len(missing), limits.concepts):
            batch = missing[start : start + limits.concepts]
            encoded, _ = self._encoder.encode(prompt.reference.pixels, size_percent)
            with self._execution.step():
                states = [add_prompt(self._processor, encoded.state, t, prompt) for t in batch]
                tokens = encode_prompts(self._processor.model, states)
                for text, own in zip(batch, tokens.split(), strict=True):
                    self._tokens.put((text, *key), own)
                    known[text] = own
        return tuple(tokens for tokens in known.values() if tokens is not None)

    def forget(self) -> None:
        """Drops the tokens."""
        self._tokens.clear()
