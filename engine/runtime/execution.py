"""Runs the model for one thread at a time, in one precision, without gradients."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from typing import Literal

import torch

from .openmp import fix_thread_teams


class ModelExecution:
    """Runs every forward pass of one model in the right modes, one thread at a time.

    Several threads may use one model. Each encoding, each batch of concepts or objects is one
    step; between two steps of a long run another thread gets its turn, in order of arrival.

    Attributes:
        device: Where the model is.
        precision: ``float32`` or ``bfloat16`` (autocast).
        most_threads: Largest team of CPU threads; None for all.
    """

    def __init__(
        self,
        device: torch.device,
        precision: Literal["float32", "bfloat16"] = "float32",
        most_threads: int | None = None,
    ) -> None:
        self.device = device
        self.precision = precision
        self.most_threads = most_threads
        self._lock = FifoLock()

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Waits for its turn and enters the modes of the model. Re-entrant."""
        with (
            self._lock,
            self.fix_threads(),
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"),
        ):
            yield

    @contextlib.contextmanager
    def lend(self) -> Iterator[None]:
        """Gives other threads the model while the block runs, also in the middle of a step.

        Where the calling thread does not hold it, nothing happens. A long step calls it where
        all of its own state is consistent, for instance from its ``on_step`` callback.
        """
        with self._lock.released():
            yield

    def fix_threads(self) -> contextlib.AbstractContextManager[None]:
        """Sets the threads of the model for work beside its forward passes."""
        return fix_thread_teams(self.most_threads)


class FifoLock:
    """A re-entrant lock that threads get in the order in which they asked for it.

    ``threading.RLock`` makes no such promise: a thread that releases it between two steps and
    asks again at once usually gets it again, and the others starve.
    """

    def __init__(self) -> None:
        self._state = threading.Lock()
        self._owner: int | None = None
        self._depth = 0
        self._queue: deque[tuple[int, threading.Event]] = deque()

    @property
    def waiting(self) -> int:
        """Number of threads that wait for it."""
        return len(self._queue)

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._state:
            if self._owner in (None, me):
                self._owner = me
                self._depth += 1
                return
            ticket = (me, threading.Event())
            self._queue.append(ticket)
        try:
            ticket[1].wait()
        except BaseException:  # an interrupt while waiting
            with self._state:
                if ticket in self._queue:
                    self._queue.remove(ticket)
                else:
                    self._pass_on()
            raise

    def __exit__(self, *_: object) -> None:
        with self._state:
            self._depth -= 1
            if not self._depth:
                self._pass_on()

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Releases the lock while the block runs, however often its thread entered it."""
        with self._state:
            depth = self._depth if self._owner == threading.get_ident() else 0
            if depth:
                self._pass_on()
        try:
            yield
        finally:
            if depth:
                self.__enter__()
                self._depth = depth

    def _pass_on(self) -> None:
        """Gives the lock to the thread that has waited longest. Called with ``_state`` held."""
        self._owner, self._depth = None, 0
        if self._queue:
            self._owner, event = self._queue.popleft()
            self._depth = 1
            event.set()
