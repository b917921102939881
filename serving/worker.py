"""Runs the model in one thread, behind a queue of bounded length."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request

from .errors import ApiError, BusyError

T = TypeVar("T")
StepCallback = Callable[[str], None]

MAX_PLACES = 64
"""Requests that may wait for the model or use it."""


class JobCancelledError(Exception):
    """Ends a job between two steps of the engine, because its client went away."""


class ModelWorker:
    """Runs jobs one after the other in a thread of its own.

    A request takes a place before its image is decoded, so that the memory of waiting
    images is bounded, too. All methods are called from the event loop.
    """

    def __init__(self, max_places: int = MAX_PLACES) -> None:
        """Starts with an empty queue.

        Args:
            max_places: Requests that may hold a place at the same time.
        """
        self.max_places = max_places
        self.places_taken = 0
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="model")

    @contextlib.asynccontextmanager
    async def hold_place(self) -> AsyncIterator[None]:
        """Holds a place in the queue while the block runs.

        Raises:
            BusyError: If all are taken.
        """
        if self.places_taken >= self.max_places:
            raise BusyError
        self.places_taken += 1
        try:
            yield
        finally:
            self.places_taken -= 1

    async def run(self, job: Callable[[StepCallback], T]) -> T:
        """Runs a job in the model's thread.

        Args:
            job: Is given a callback to call between its steps; the callback raises
                :class:`JobCancelledError` when the caller was cancelled.

        Returns:
            What the job returns.
        """
        cancelled = threading.Event()

        def check_step(step: str) -> None:
            if cancelled.is_set():
                raise JobCancelledError

        future = self._executor.submit(job, check_step)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            # A job that has not begun is dropped; one under way ends after its step.
            cancelled.set()
            future.cancel()
            raise

    def close(self) -> None:
        """Drops the jobs that wait and ends the thread after the one under way."""
        self._executor.shutdown(wait=True, cancel_futures=True)


async def run_while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Awaits work for a request, and cancels it when its client goes away.

    Args:
        request: A request whose body has been read.
        work: What answers it.

    Returns:
        What the work returns.

    Raises:
        ApiError: 499 if the client went away; nobody reads it but the log.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise ApiError(499, "The client went away.")
        return task.result()
    finally:
        watcher.cancel()
        task.cancel()


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
