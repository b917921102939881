"""Runs descriptions in threads of their own; their phrases take turns at the model like others."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from ...agent import AgentLimits, AgentResult, ChatEndpoint, find_described
from ...engine import ConceptPrompt, Prompt, Result
from ...engine.images import RgbImage
from ..errors import BusyError
from ..images import DecodedImage
from ..service import SegmentationService
from ..settings import Settings
from ..worker import Group

LIMITS = AgentLimits()
MAX_RUNS = 8
"""Descriptions at the same time."""

WAIT_STEP_S = 0.05


class _StoppedError(Exception):
    """Ends a run whose client went away."""


class DescriptionRuns:
    """Runs descriptions with the operator's language model.

    Attributes:
        endpoint: The language model; None where there is none.
    """

    def __init__(self, settings: Settings) -> None:
        """Starts no thread.

        Args:
            settings: The settings.
        """
        self.endpoint = (
            ChatEndpoint(settings.agent_url, settings.agent_model, settings.agent_key)
            if settings.agent_url
            else None
        )
        self._running = 0
        self._closed = threading.Event()
        self._threads = ThreadPoolExecutor(MAX_RUNS, thread_name_prefix="description")

    async def find(
        self,
        service: SegmentationService,
        endpoint: ChatEndpoint,
        image: DecodedImage,
        description: str,
        threshold: float,
        group: Group,
    ) -> AgentResult:
        """Finds what a description means. Hold a place while calling it.

        The model's turn is taken for each phrase, not while the language model thinks.

        Args:
            service: Runs the model.
            endpoint: The language model.
            image: The image.
            description: What is looked for.
            threshold: Of each phrase, 0..1.
            group: Whose work it is.

        Returns:
            What was chosen, and how.

        Raises:
            BusyError: If too many descriptions are under way.
            EndpointError: If the language model's server cannot be used.
        """
        if self._running >= MAX_RUNS:
            raise BusyError
        loop, stopped = asyncio.get_running_loop(), threading.Event()

        def check_stop() -> None:
            if stopped.is_set() or self._closed.is_set():
                raise _StoppedError

        class Segmenter:
            """Takes a turn at the model for each phrase, from this run's thread."""

            vocabulary = service.engine.vocabulary

            def segment(_, rgb: RgbImage, prompt: Prompt) -> Result:  # noqa: N805
                turn = service.segment(image, [prompt], group)
                future = asyncio.run_coroutine_threadsafe(turn, loop)
                try:
                    while True:
                        try:
                            (result,) = future.result(WAIT_STEP_S)
                            return result
                        except TimeoutError:
                            check_stop()
                finally:
                    future.cancel()

        self._running += 1
        try:
            return await asyncio.wrap_future(
                self._threads.submit(
                    find_described,
                    Segmenter(),
                    image.rgb,
                    description,
                    endpoint,
                    LIMITS,
                    lambda phrase: ConceptPrompt((phrase,), confidence_threshold=threshold),
                    check_stop=check_stop,
                )
            )
        finally:
            stopped.set()
            self._running -= 1

    def close(self) -> None:
        """Ends the runs under way."""
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
