"""Bounds what running requests hold together, such as the pixels of their images."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from .errors import BusyError


class Budget:
    """Lends amounts up to a total; who finds too little left waits, in order of arrival.

    All methods are called from the event loop.

    Attributes:
        total: What can be lent in all.
        lent: What is lent now.
    """

    def __init__(self, total: int) -> None:
        """Starts with nothing lent.

        Args:
            total: What can be lent in all.
        """
        self.total = total
        self.lent = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def hold(self, amount: int, waits: bool = True) -> AsyncIterator[None]:
        """Holds an amount while the block runs, after a wait until that much is left.

        Args:
            amount: At most the total; the caller refuses more.
            waits: False for who holds something already: two of them could wait for each other.

        Raises:
            BusyError: If it would have to wait, and must not.
        """
        if not waits and (self._waiting or self.lent + amount > self.total):
            raise BusyError
        await self._take(amount)
        try:
            yield
        finally:
            self._give_back(amount)

    async def _take(self, amount: int) -> None:
        if not self._waiting and self.lent + amount <= self.total:
            self.lent += amount
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = amount, turn
        self._waiting.append(place)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # lent a moment before
                self._give_back(amount)
            else:
                self._waiting.remove(place)
                self._lend()
            raise

    def _give_back(self, amount: int) -> None:
        self.lent -= amount
        self._lend()

    def _lend(self) -> None:
        while self._waiting and self.lent + self._waiting[0][0] <= self.total:
            amount, turn = self._waiting.popleft()
            self.lent += amount
            turn.set_result(None)
