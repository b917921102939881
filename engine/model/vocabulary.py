"""Finds CLIP's BPE vocabulary, which the text encoder's tokenizer needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def find_bpe_vocabulary() -> str:
    """Finds CLIP's BPE vocabulary in ``open_clip_torch``, without importing that package.

    The wheel of ``sam3`` does not hold this file.

    Returns:
        The path of ``bpe_simple_vocab_16e6.txt.gz``.

    Raises:
        ModuleNotFoundError: If ``open_clip_torch`` is not installed.
    """
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "SAM 3 needs the BPE vocabulary of open_clip_torch: pip install open_clip_torch",
            name="open_clip_torch",
        )
    return str(Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz")
