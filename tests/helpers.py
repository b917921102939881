"""What tests of several folders share."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

REFUSED = ValueError


def parse_or_refuse(parse: Callable[..., Any], name: str, text: str, *limits: Any) -> Any:
    """Parses a text; returns :data:`REFUSED` for a text that is refused with a good message."""
    try:
        return parse(name, text, *limits)
    except ValueError as error:
        message = str(error)
        assert message.startswith(f"{name}: ")
        assert message.isprintable()
        assert len(message) < 250
        return REFUSED


def compute_iou(one: Any, other: Any) -> float:
    """IoU of two masks of one shape; 1 where both are empty."""
    one, other = np.asarray(one, bool), np.asarray(other, bool)
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


def resident_bytes() -> int:
    """Memory of this process, where Linux tells it."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def count_forward_passes(model: Any) -> Iterator[Counter[str]]:
    """Counts the forward passes of a model's parts while the context lasts."""
    parts = {
        "image encoder": model.backbone.vision_backbone.trunk,
        "text encoder": model.backbone.language_backbone,
        "decoder": model.transformer.decoder,
        "mask head": model.segmentation_head,
    }
    counts: Counter[str] = Counter()

    def count(name: str, *_: Any) -> None:
        counts[name] += 1

    with contextlib.ExitStack() as hooks:
        for name, part in parts.items():
            hooks.callback(part.register_forward_hook(functools.partial(count, name)).remove)
        yield counts
