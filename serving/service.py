"""Runs the model for the routes: decoding, queue, runs, and data kept between requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from ..engine import Engine, ObjectPrompt, Prompt, Result
from ..engine.checkpoints.loader import supports_objects
from ..engine.runtime.memory import GpuMemoryError
from .budget import Budget
from .errors import ApiError
from .fetching import ImageFetcher
from .images import DecodedImage, count_pixels, decode_base64, decode_image
from .sessions import ImageSessions, LogitsStore
from .settings import Settings
from .worker import Group, ModelWorker

T = TypeVar("T")
P = ParamSpec("P")


class SegmentationService:
    """Decodes images and runs prompts on them, for every protocol.

    Attributes:
        engine: The engine.
        settings: The settings.
        worker: The queue before the model.
        fetcher: Fetches images by URL.
        files: Bytes of files from elsewhere that running requests hold.
        pixels: Pixels that running requests hold.
        images: Embedded images.
        logits: Logits to refine with.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Starts the threads.

        Args:
            engine: A loaded engine.
            settings: The settings.
        """
        self.engine = engine
        self.settings = settings
        self.worker = ModelWorker(lend_model=engine.execution.lend)
        self.fetcher = ImageFetcher(settings.allowed_image_hosts, settings.max_body_bytes)
        self.files = Budget(settings.max_total_body_bytes)
        self.pixels = Budget(settings.max_total_pixels)
        self.images = ImageSessions()
        self.logits = LogitsStore()
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="decode")

    async def run_in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a function in one of the decoding threads."""
        return await asyncio.wrap_future(self._threads.submit(function, *args, **kwargs))

    @contextlib.asynccontextmanager
    async def hold_file(
        self, read: Callable[[], Awaitable[bytes]], waits: bool = True
    ) -> AsyncIterator[bytes]:
        """Reads a file from elsewhere, and counts it as the largest one while the block runs.

        It waits until there is room for it among the files of other requests; see
        :meth:`.budget.Budget.hold`.
        """
        async with self.files.hold(self.settings.max_body_bytes, waits):
            yield await read()

    @contextlib.asynccontextmanager
    async def hold_image(
        self, data: bytes, field: str, waits: bool = True
    ) -> AsyncIterator[DecodedImage]:
        """Decodes an image file, and counts its pixels while the block runs.

        It waits until there is room for them: the header of a file of some kilobytes can
        announce a hundred megapixels. See :func:`.images.decode_image` for the errors.
        """
        pixels = await self.run_in_thread(count_pixels, data)
        # More are refused when they are decoded, before any memory is taken.
        async with self.pixels.hold(pixels if pixels <= self.settings.max_pixels else 0, waits):
            yield await self.run_in_thread(decode_image, data, self.settings.max_pixels, field)

    async def decode_base64(self, text: str, field: str) -> bytes:
        """Decodes base64; see :func:`.images.decode_base64`."""
        return await self.run_in_thread(decode_base64, text, field)

    async def segment(
        self, image: DecodedImage, prompts: Sequence[Prompt], group: Group
    ) -> list[Result]:
        """Runs prompts on an image, in turns with other requests. Hold a place while calling it.

        Args:
            image: The image, which is encoded at most once.
            prompts: The prompts.
            group: Whose they are, see :class:`.worker.Group`.

        Returns:
            A result for each.

        Raises:
            ValueError: If a prompt does not fit the image or the model.
            ApiError: 507 if the GPU has no room for it.
        """

        def run_prompts(check_step: Callable[[str], None]) -> list[Result]:
            results = []
            for prompt in prompts:
                check_step("next prompt")
                results.append(self.engine.segment(image.rgb, prompt, on_step=check_step))
            return results

        try:
            return await self.worker.run(run_prompts, group)
        except GpuMemoryError as error:
            raise ApiError(507, str(error)) from None

    async def embed(self, image: DecodedImage, group: Group) -> None:
        """Encodes an image ahead of the prompts. Hold a place while calling it."""
        if supports_objects(self.engine.model):
            await self.segment(image, [ObjectPrompt()], group)

    def close(self) -> None:
        """Ends the threads once their current work is done."""
        self.worker.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
