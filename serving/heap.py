"""Returns memory that the C library keeps after large images to the system."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

TRIM_PERIOD_S = 30.0


async def trim_heaps_periodically() -> None:
    """Trims the heaps of all threads every ``TRIM_PERIOD_S``, until it is cancelled.

    glibc keeps a heap for each thread. Blocks of a few megabytes are freed in the middle of
    these heaps, and their pages stay resident until the heap's end is free. After a few hundred
    images of up to 10 megapixels that is 700 MB. Mapping each block instead, which
    ``M_MMAP_THRESHOLD`` does, makes such images a sixth slower.
    """
    trim = _find_malloc_trim()
    while trim is not None:
        await asyncio.sleep(TRIM_PERIOD_S)
        await asyncio.to_thread(trim, 0)


def _find_malloc_trim() -> Callable[[int], int] | None:
    """Returns glibc's ``malloc_trim``, or None with another C library."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # TypeError: on Windows
        return None
    trim.argtypes = (ctypes.c_size_t,)
    return trim  # type: ignore[no-any-return]
