"""Gives the threads that run the model their turns, so that a long run lets others in."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

MAX_GROUPS = 1_000
"""Groups whose steps are remembered."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Waiting:
    """Describes a thread that waits for its turn."""

    group: Hashable
    has_begun: bool
    turn: threading.Event = dataclasses.field(default_factory=threading.Event)


class Turns:
    """Lets one thread at a time run a step; the group that had the fewest steps is next.

    A new group starts level with the one that had the fewest, and goes first: it waits for the
    step under way and no more, however long the others' runs are. Steps are remembered while
    anybody runs, so that a group gains nothing by leaving and coming back.
    """

    def __init__(self) -> None:
        """Starts with nobody."""
        self._lock = threading.Lock()
        self._steps: Counter[Hashable] = Counter()
        self._members: Counter[Hashable] = Counter()
        self._waiting: list[_Waiting] = []
        self._is_taken = False

    @contextmanager
    def join(self, group: Hashable) -> Iterator[None]:
        """Runs the block in a turn of the group; :meth:`pass_on` ends the turn between steps."""
        with self._lock:
            fewest = min((self._steps[member] for member in self._members), default=0)
            self._steps[group] = max(self._steps[group], fewest)
            self._members[group] += 1
        try:
            self._take(group, has_begun=False)
            try:
                yield
            finally:
                self._give()
        finally:
            with self._lock:
                self._members[group] -= 1
                if not self._members[group]:
                    del self._members[group]
                if not self._members or len(self._steps) > MAX_GROUPS:
                    self._steps = Counter({g: self._steps[g] for g in self._members})

    def pass_on(self, group: Hashable) -> None:
        """Lets others run, and waits for the group's next turn."""
        self._give()
        self._take(group, has_begun=True)

    def _take(self, group: Hashable, has_begun: bool) -> None:
        waiting = _Waiting(group, has_begun)
        with self._lock:
            self._waiting.append(waiting)
            self._choose()
        waiting.turn.wait()

    def _give(self) -> None:
        with self._lock:
            self._is_taken = False
            self._choose()

    def _choose(self) -> None:
        """Gives the turn to the group with the fewest steps. Called with the lock held.

        Of several, to one that has not begun, and of those to the one that came first.
        """
        if self._is_taken or not self._waiting:
            return
        chosen = min(
            self._waiting, key=lambda waiting: (self._steps[waiting.group], waiting.has_begun)
        )
        self._waiting.remove(chosen)
        self._steps[chosen.group] += 1
        self._is_taken = True
        chosen.turn.set()
