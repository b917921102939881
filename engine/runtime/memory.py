"""How much is computed at a time, and what becomes of a run that a GPU has no room for."""

from __future__ import annotations

import dataclasses
import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

logger = logging.getLogger("infer_segment_anything_3")

T = TypeVar("T")

CHUNK_BYTES = 16 * 1024**2
"""Most bytes of full-size float32 masks that exist at a time, on a CPU.

Small, so that allocations are reused: the system clears every page of a large one, which
takes as long as the upscaling.
"""

GPU_CHUNK_BYTES = 1024**3
"""The same on a GPU, which is waited for once a chunk."""

MAX_BATCH = 64
"""Most objects in one decoder call: bounds its memory to about a gigabyte at full size."""

_SMALLER = 8


class GpuMemoryError(RuntimeError):
    """The GPU has no room for what was asked, even in small portions."""


@dataclasses.dataclass(frozen=True)
class Portions:
    """How much of a run is computed at a time.

    Attributes:
        concepts: Concepts in one forward pass.
        objects: Objects in one decoder call.
        images: Images in one forward pass of the image encoder.
        mask_bytes: Bytes of float32 masks at the image's size; one mask is the least.
    """

    concepts: int = 1
    objects: int = MAX_BATCH
    images: int = 1
    mask_bytes: int = CHUNK_BYTES

    def smaller(self) -> Portions:
        """An eighth of everything, but one concept and one object at least."""
        return Portions(
            max(1, self.concepts // _SMALLER),
            max(1, self.objects // _SMALLER),
            max(1, self.images // _SMALLER),
            self.mask_bytes // _SMALLER,
        )


def within_memory(
    attempt: Callable[[Portions], T], portions: Portions, make_room: Callable[[], object]
) -> T:
    """Computes something, and once more in smaller portions if the GPU has no room for it.

    Args:
        attempt: Computes it in portions of the given size.
        portions: Those to begin with.
        make_room: Drops what can be computed again; called after each failure.

    Returns:
        What the attempt gives.

    Raises:
        GpuMemoryError: If there is no room for small portions either.
    """
    found = _attempted(lambda: attempt(portions), make_room)
    if not found:
        logger.warning("the GPU is out of memory: trying again in smaller portions")
        found = _attempted(lambda: attempt(portions.smaller()), make_room)
    if not found:
        raise GpuMemoryError(
            "cuda: the GPU has too little memory for this run, even in small portions. Ask for "
            "fewer concepts, boxes or points at once, lower input_size_percent, set precision to "
            "bfloat16, end other programs that use the GPU, or set cuda to False."
        )
    return found[0]


def release_memory() -> None:
    """Gives back what dropped engines held; call it after letting go of one."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _attempted(attempt: Callable[[], T], make_room: Callable[[], object]) -> tuple[T, ...]:
    """What the attempt gives, in a tuple; nothing if the GPU had no room for it."""
    try:
        return (attempt(),)
    except torch.OutOfMemoryError:
        pass
    # Not in the handler: there the error still holds the run's frames with their tensors.
    make_room()
    release_memory()
    return ()
