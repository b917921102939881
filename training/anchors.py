"""Asks the base model a list of words on the user's images, so that it keeps what it knew."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..engine import validation
from ..engine.model.sam3_imports import Sam3Image
from ..engine.validation import value_error
from .concept_route import PromptBatch, pack_exemplars, run_concept_route
from .features import FeatureFolder, TextCache, compute_detector_features
from .losses import Targets
from .prompts import Answer

SURE_SCORE = 0.5
"""A phrase with an instance above it is in the image, as far as the base model knows."""

ABSENT_SCORE = 0.2
"""A phrase without any instance above it is not."""

_WORDS_AT_A_TIME = 16
_WORDS = Path(__file__).parent / "words"


def read_words(model_name: str, given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Reads the phrases to ask.

    Args:
        model_name: Whose list is taken where none is given.
        given: Phrases, or the path of a text file with one a line.

    Raises:
        ValueError: If the file cannot be read, or a phrase is not one.
    """
    if given is None:
        path = _WORDS / f"{model_name}.txt"
        given = str(path if path.is_file() else _WORDS / "sam3.txt")
    if isinstance(given, str):
        try:
            lines = Path(given).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise value_error("words", "a text file with a phrase a line", given) from error
        given = [line for line in lines if line.strip() and not line.startswith("#")]
    unique = {word.casefold(): word for word in (validation.to_concept("words", w) for w in given)}
    return tuple(unique.values())


class AnchorFinder:
    """Finds what a model answers surely, from encoded images; keeps it on the disk."""

    def __init__(
        self, model: Sam3Image, folder: FeatureFolder, words: Sequence[str], weights: str
    ) -> None:
        """Stores the model and the words.

        Args:
            model: The base model.
            folder: Where encoded images lie, and answers are kept.
            words: The phrases.
            weights: Identity of the weights.
        """
        self._model, self._folder, self._words = model, folder, tuple(words)
        self._texts = TextCache(model)
        identity = repr((self._words, weights, SURE_SCORE, ABSENT_SCORE))
        self._suffix = f"-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.npz"

    @torch.no_grad()
    def find(self, key: str) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
        """Asks all words on an image.

        Args:
            key: Name of the encoded image.

        Returns:
            Sure answers, and phrases that are absent.
        """
        path = self._folder.get_path(key, self._suffix)
        if path.is_file():
            return _read(path)
        device = next(self._model.parameters()).device
        trunk = self._folder.read(key)[None].to(device)
        features = compute_detector_features(self._model, trunk)
        answers: list[Answer] = []
        absent: list[str] = []
        for start in range(0, len(self._words), _WORDS_AT_A_TIME):
            words = list(self._words[start : start + _WORDS_AT_A_TIME])
            out = self._ask(features, words, device)
            presence = out["presence_logit_dec"].float().sigmoid().view(-1, 1)
            scores = out["pred_logits"].float().sigmoid()[..., 0] * presence
            for index, word in enumerate(words):
                sure = (scores[index] > SURE_SCORE).nonzero()[:, 0]
                if len(sure):
                    boxes = out["pred_boxes"][index, sure].float().cpu().numpy()
                    masks = (out["pred_masks"][index, sure] > 0).cpu().numpy()
                    answers.append(Answer(word, Targets.make(boxes, masks)))
                elif float(scores[index].max()) < ABSENT_SCORE:
                    absent.append(word)
        _write(path, answers, absent)
        return tuple(answers), tuple(absent)

    def _ask(
        self, features: dict[str, Tensor], words: list[str], device: torch.device
    ) -> dict[str, Tensor]:
        index = torch.zeros(len(words), dtype=torch.long)
        nothing: list[list[object]] = [[] for _ in words]
        packed = pack_exemplars(nothing, nothing)  # type: ignore[arg-type]
        prompts = PromptBatch(image_index=index, exemplar_index=index, texts=words, **packed)
        everyone = torch.arange(len(words), device=device)
        return run_concept_route(self._model, features, prompts, everyone, self._texts.encode)


def _write(path: Path, answers: Sequence[Answer], absent: Sequence[str]) -> None:
    parts = {"texts": np.array([a.text for a in answers]), "absent": np.array(absent)}
    for index, answer in enumerate(answers):
        parts[f"boxes{index}"] = answer.targets.cxcywh
        parts[f"masks{index}"] = np.packbits(answer.targets.masks, axis=-1)
        parts[f"side{index}"] = np.array(answer.targets.masks.shape[-1])
    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, **parts)  # type: ignore[arg-type]
    temporary.replace(path)


def _read(path: Path) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
    answers = []
    with np.load(path, allow_pickle=False) as parts:
        for index, text in enumerate(parts["texts"].tolist()):
            side = int(parts[f"side{index}"])
            masks = np.unpackbits(parts[f"masks{index}"], axis=-1, count=side).astype(bool)
            answers.append(Answer(text, Targets.make(parts[f"boxes{index}"], masks)))
        return tuple(answers), tuple(parts["absent"].tolist())
