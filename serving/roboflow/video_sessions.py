"""Stores the video sessions of clients that send their frames one by one."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
from collections.abc import Iterator

from ...engine import VideoSession
from ..errors import ApiError
from ..video_runs import VideoRuns

IDLE_S = 60.0
"""Without a frame for so long, a session ends."""


@dataclasses.dataclass
class _OpenSession:
    """Holds a session, its place among the videos and the timer that ends it."""

    owner: str
    session: VideoSession
    place: contextlib.AsyncExitStack
    timer: asyncio.TimerHandle | None = None
    is_stepping: bool = False


class VideoSessions:
    """Keeps a session between two requests; only the owner who started it may use it.

    Used from the event loop only.
    """

    def __init__(self, runs: VideoRuns, idle_s: float = IDLE_S) -> None:
        """Starts empty.

        Args:
            runs: Bounds the sessions, together with the videos of the page.
            idle_s: Seconds without a frame after which a session ends.
        """
        self._runs = runs
        self._idle_s = idle_s
        self._open: dict[str, _OpenSession] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Counts the open sessions."""
        return len(self._open)

    async def start(self, owner: str, session: VideoSession) -> str:
        """Stores a session.

        Args:
            owner: Whose it is.
            session: Before its first frame.

        Returns:
            Its id.

        Raises:
            BusyError: If as many videos are followed as the settings allow.
        """
        place = contextlib.AsyncExitStack()
        await place.enter_async_context(self._runs.hold_place())
        session_id = secrets.token_urlsafe(18)
        self._open[session_id] = _OpenSession(owner, session, place)
        self._restart_timer(session_id)
        return session_id

    @contextlib.contextmanager
    def use(self, owner: str, session_id: str) -> Iterator[VideoSession]:
        """Gives the session to one step at a time.

        Raises:
            ApiError: 404 if this owner has none of this id, 409 if a step is under way.
        """
        opened = self._find(owner, session_id)
        if opened.is_stepping:
            raise ApiError(
                409, "session_id: expected one step at a time; the one before has not ended"
            )
        opened.is_stepping = True
        if opened.timer is not None:
            opened.timer.cancel()
        try:
            yield opened.session
        finally:
            opened.is_stepping = False
            if session_id in self._open:
                self._restart_timer(session_id)

    async def end(self, owner: str, session_id: str) -> None:
        """Ends a session.

        Raises:
            ApiError: 404 if this owner has none of this id.
        """
        self._find(owner, session_id)
        await self._drop(session_id)

    def close(self) -> None:
        """Ends all sessions; no timer is left."""
        for opened in self._open.values():
            if opened.timer is not None:
                opened.timer.cancel()
        self._open.clear()

    def _find(self, owner: str, session_id: str) -> _OpenSession:
        opened = self._open.get(session_id)
        if opened is None or opened.owner != owner:
            raise ApiError(
                404, "session_id: no video session of it is open; send /sam3/video/start again"
            )
        return opened

    def _restart_timer(self, session_id: str) -> None:
        def end_idle() -> None:
            task = asyncio.ensure_future(self._drop(session_id))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

        timer = asyncio.get_running_loop().call_later(self._idle_s, end_idle)
        self._open[session_id].timer = timer

    async def _drop(self, session_id: str) -> None:
        opened = self._open.pop(session_id, None)
        if opened is not None:
            if opened.timer is not None:
                opened.timer.cancel()
            await opened.place.aclose()
