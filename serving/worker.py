"""Runs the model for one request at a time, behind a queue of bounded length."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from starlette.requests import Request

from .errors import ApiError, BusyError
from .turns import Turns

T = TypeVar("T")
StepCallback = Callable[[str], None]

MAX_PLACES = 128
"""Requests that may wait for the model or use it. One client may hold half of them."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Tells whose work a request is, and of what kind: turns and places go by it.

    Attributes:
        owner: Digest of the client's key; empty where the server asks for none.
        host: The client's address.
        route: Path of the request.
        kind: Tells requests of one route apart whose runs are of very different lengths.
    """

    owner: str = ""
    host: str = ""
    route: str = ""
    kind: str = ""

    @property
    def client(self) -> tuple[str, str]:
        """Whose work it is."""
        return self.owner, self.host


class JobCancelledError(Exception):
    """Ends a job between two steps of the engine, because its client went away."""


@dataclasses.dataclass
class _Lane:
    """Holds the thread that runs the jobs of a group one after the other, and counts them."""

    thread: ThreadPoolExecutor
    jobs: int = 0


class ModelWorker:
    """Runs jobs in turns: between two steps of one, the others get theirs.

    Jobs of one group run one after the other, those of several groups step by step in turns. A
    request takes a place before its image is decoded, so that the memory of waiting images is
    bounded, too. All methods are called from the event loop.
    """

    def __init__(
        self,
        max_places: int = MAX_PLACES,
        lend_model: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        """Starts with an empty queue.

        Args:
            max_places: Requests that may hold a place at the same time.
            lend_model: Gives other threads the model while a context lasts, also where a job holds
                it through several steps.
        """
        self._lend_model = lend_model
        self.max_places = max_places
        self.places_taken = 0
        self._places_by_client: Counter[tuple[str, str]] = Counter()
        self._turns = Turns()
        self._lanes: dict[Group, _Lane] = {}
        self._idle_threads: list[ThreadPoolExecutor] = []

    @contextlib.asynccontextmanager
    async def hold_place(self, group: Group) -> AsyncIterator[None]:
        """Holds a place in the queue while the block runs.

        Raises:
            BusyError: If all are taken, or the client has half of them.
        """
        taken = self._places_by_client
        most = (self.max_places + 1) // 2
        if self.places_taken >= self.max_places or taken[group.client] >= most:
            raise BusyError
        self.places_taken += 1
        taken[group.client] += 1
        try:
            yield
        finally:
            self.places_taken -= 1
            taken[group.client] -= 1
            if not taken[group.client]:
                del taken[group.client]

    async def run(self, job: Callable[[StepCallback], T], group: Group) -> T:
        """Runs a job in a thread of the model.

        Args:
            job: Is given a callback to call between its steps. It returns when the job may go on,
                and raises :class:`JobCancelledError` when the caller was cancelled.
            group: Whose job it is, and of what kind.

        Returns:
            What the job returns.
        """
        cancelled = threading.Event()

        def check_step(step: str) -> None:
            if not cancelled.is_set():
                with self._lend_model():
                    self._turns.pass_on(group)
            if cancelled.is_set():
                raise JobCancelledError

        def run_in_turns() -> T:
            with self._turns.join(group):
                if cancelled.is_set():
                    raise JobCancelledError
                return job(check_step)

        with self._use_thread(group) as thread:
            future = thread.submit(run_in_turns)
            try:
                return await asyncio.wrap_future(future)
            except asyncio.CancelledError:
                # A job that has not begun is dropped; one under way ends after its step.
                cancelled.set()
                future.cancel()
                raise

    @contextlib.contextmanager
    def _use_thread(self, group: Group) -> Iterator[ThreadPoolExecutor]:
        """Gives the thread of a group; a new group gets the thread that became idle last."""
        if group not in self._lanes:
            idle = self._idle_threads
            thread = idle.pop() if idle else ThreadPoolExecutor(1, thread_name_prefix="model")
            self._lanes[group] = _Lane(thread)
        lane = self._lanes[group]
        lane.jobs += 1
        try:
            yield lane.thread
        finally:
            lane.jobs -= 1
            if not lane.jobs:
                self._idle_threads.append(self._lanes.pop(group).thread)

    def close(self) -> None:
        """Drops the jobs that have not begun, and ends the threads after those that have."""
        for thread in (*self._idle_threads, *(lane.thread for lane in self._lanes.values())):
            thread.shutdown(wait=True, cancel_futures=True)


def identify_group(request: Request, owner: str, kind: str = "") -> Group:
    """Tells whose work a request is, and of what kind.

    Args:
        request: The request.
        owner: Digest of its key. It counts where the server asks for a key: elsewhere a client
            could invent any number of them.
        kind: See :class:`Group`.
    """
    host = request.client.host if request.client else ""
    owner = owner if request.app.state.settings.api_key else ""
    return Group(owner, host, request.url.path, kind)


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
