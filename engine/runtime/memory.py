"""Bounds how much is computed at a time; retries when a GPU is out of memory."""

from __future__ import annotations

import dataclasses
import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from .steps import OBJECTS_PER_STEP

logger = logging.getLogger("infer_segment_anything_3")

T = TypeVar("T")

CHUNK_BYTES = 16 * 1024**2
"""Most bytes of full-size float32 masks that exist at a time, on a CPU.

Small, so that allocations are reused: the system clears every page of a large one, which
takes as long as the upscaling.
"""

GPU_CHUNK_BYTES = 1024**3
"""The same on a GPU, which is waited for once a chunk."""

GPU_CONCEPTS = 8
"""Concepts that share a forward pass on a GPU: on a CPU that saves nothing and costs memory."""

GPU_IMAGES = 8
"""Images of a batch that share a pass of the image encoder: on a CPU that saves nothing."""

_SHRINK_FACTOR = 8

_OUT_OF_MEMORY_TEXTS = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
)
"""What libraries under PyTorch say in a plain RuntimeError when the GPU has no memory left."""


class GpuMemoryError(RuntimeError):
    """The GPU has too little memory for the run, even in small batches."""


@dataclasses.dataclass(frozen=True)
class BatchLimits:
    """Limits how much of a run is computed at a time.

    Attributes:
        concepts: Concepts in one forward pass.
        objects: Objects in one decoder call.
        images: Images in one pass of the image encoder.
        mask_bytes: Bytes of float32 masks at the image's size; one mask is the least.
    """

    concepts: int = 1
    objects: int = OBJECTS_PER_STEP
    images: int = 1
    mask_bytes: int = CHUNK_BYTES

    @classmethod
    def for_device(cls, device: torch.device) -> BatchLimits:
        """Returns the limits of a first attempt on a device."""
        if device.type == "cuda":
            return cls(GPU_CONCEPTS, OBJECTS_PER_STEP, GPU_IMAGES, GPU_CHUNK_BYTES)
        return cls()

    def shrink(self) -> BatchLimits:
        """Returns an eighth of every limit, but at least one of each."""
        return BatchLimits(
            max(1, self.concepts // _SHRINK_FACTOR),
            max(1, self.objects // _SHRINK_FACTOR),
            max(1, self.images // _SHRINK_FACTOR),
            self.mask_bytes // _SHRINK_FACTOR,
        )


def retry_on_oom(
    attempt: Callable[[BatchLimits], T], limits: BatchLimits, free_caches: Callable[[], object]
) -> T:
    """Runs a computation, and again in smaller batches if the GPU is out of memory.

    Args:
        attempt: Computes it within the limits it is given.
        limits: Those of the first attempt.
        free_caches: Drops what can be computed again; called after each failure.

    Returns:
        What the attempt returns.

    Raises:
        GpuMemoryError: If the GPU is out of memory in small batches, too.
    """
    result = _try_within_memory(lambda: attempt(limits), free_caches)
    if not result:
        logger.warning("the GPU is out of memory: trying again in smaller batches")
        result = _try_within_memory(lambda: attempt(limits.shrink()), free_caches)
    if not result:
        raise GpuMemoryError(
            "cuda: the GPU has too little memory for this run, even in small batches. Ask for "
            "fewer concepts, boxes or points at once, lower input_size_percent, set precision to "
            "bfloat16, end other programs that use the GPU, or set cuda to False."
        )
    return result[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether an error says that the GPU has no memory left.

    PyTorch's own allocator raises ``torch.OutOfMemoryError``. cuBLAS and cuDNN allocate by
    themselves, and their failures arrive as plain ``RuntimeError``.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error) for text in _OUT_OF_MEMORY_TEXTS
    )


def release_memory() -> None:
    """Returns the memory of dropped engines to the system; call it after dropping one."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _try_within_memory(
    attempt: Callable[[], T], free_caches: Callable[[], object]
) -> tuple[T, ...]:
    """Returns an attempt's result in a tuple; an empty tuple if the GPU memory is full."""
    try:
        return (attempt(),)
    except RuntimeError as error:
        if isinstance(error, GpuMemoryError) or not is_out_of_memory(error):
            raise
    # Not in the handler: there the error still holds the run's frames with their tensors.
    free_caches()
    release_memory()
    return ()
