"""Runs workflows for requests: their images, their turn, and their end with the client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from ..budget import Budget
from ..errors import ApiError, describe_validation
from ..images import DecodedImage
from ..roboflow.routes import hold_source
from ..roboflow.schemas import ImageSource
from ..service import SegmentationService
from ..worker import Group
from .specification import check_inputs, check_specification, find_image_inputs, flatten

if TYPE_CHECKING:
    from .models import WorkflowModels

T = TypeVar("T")


class WorkflowRuns:
    """Runs workflows in threads of their own, which wait for the model as other requests do."""

    def __init__(self, service: SegmentationService) -> None:
        """Starts no thread yet.

        Args:
            service: Fetches, decodes and runs the model.
        """
        self._service = service
        threads = service.settings.threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="workflow")
        self._step_threads = ThreadPoolExecutor(threads, thread_name_prefix="step")
        # A run of one thread each; others wait in the order in which they came.
        self._turns = Budget(threads)

    async def run(
        self,
        specification: dict[str, Any],
        inputs: dict[str, Any],
        excluded_fields: list[str] | None,
        group: Group,
    ) -> bytes:
        """Runs a workflow.

        Args:
            specification: The workflow, not checked yet.
            inputs: Its inputs.
            excluded_fields: Outputs to leave out.
            group: Who asks.

        Returns:
            The answer in JSON.

        Raises:
            ApiError: If the workflow, an input or a step is refused.
        """
        check_specification(specification)
        check_inputs(specification, inputs)
        names = [name for name in find_image_inputs(specification) if name in inputs]
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._service.worker.hold_place(group))
            arrays, held = dict(inputs), 0
            for name in names:
                decoded = []
                for item in flatten(inputs[name]):
                    image = await self._hold_image(stack, item, f"inputs.{name}", held == 0)
                    held += image.hw[0] * image.hw[1]
                    decoded.append(await self._service.run_in_thread(_to_bgr, image))
                arrays[name] = _rebuild(inputs[name], iter(decoded))
            await stack.enter_async_context(self._turns.hold(1))
            return await self._run_in_thread(specification, arrays, excluded_fields, group)

    async def call(self, function: Callable[[ModuleType], T]) -> T:
        """Calls a function with :mod:`.engine` in one of the threads.

        The first call imports Roboflow's package, which takes seconds.
        """
        return await asyncio.wrap_future(self._threads.submit(_call_with_engine, function))

    async def validate(self, specification: dict[str, Any], group: Group) -> None:
        """Compiles a workflow without running it.

        Raises:
            ApiError: If it is refused, or none.
        """
        check_specification(specification)
        loop = asyncio.get_running_loop()
        await self.call(
            lambda engine: engine.validate_workflow(
                specification, engine.WorkflowModels(self._service, group, loop)
            )
        )

    def close(self) -> None:
        """Ends the threads after their current runs."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._step_threads.shutdown(wait=True)

    async def _run_in_thread(
        self,
        specification: dict[str, Any],
        inputs: dict[str, Any],
        excluded_fields: list[str] | None,
        group: Group,
    ) -> bytes:
        loop = asyncio.get_running_loop()
        models: WorkflowModels = await self.call(
            lambda engine: engine.WorkflowModels(self._service, group, loop)
        )
        running: asyncio.Future[bytes] = asyncio.ensure_future(
            self.call(
                lambda engine: engine.run_workflow(
                    specification, inputs, excluded_fields, models, self._step_threads
                )
            )
        )
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # The client left: what the run holds is there until its step has ended.
            models.cancel()
            await asyncio.wait({running})
            raise

    async def _hold_image(
        self, stack: contextlib.AsyncExitStack, value: Any, field: str, is_first: bool
    ) -> DecodedImage:
        """Decodes an image that the stack holds; its file is let go of at once.

        Raises:
            BusyError: If there is no room for one that is not the first.
        """
        if isinstance(value, str):
            kind = "url" if value.startswith(("http://", "https://")) else "base64"
            value = {"type": kind, "value": value}
        try:
            source = ImageSource.model_validate(value)
        except ValidationError as error:
            raise ApiError(422, f"{field}.{describe_validation(error.errors())}") from None
        async with hold_source(self._service, source, field, is_first) as data:
            holding = self._service.hold_image(data, field, is_first)
            return await stack.enter_async_context(holding)


def _call_with_engine(function: Callable[[ModuleType], T]) -> T:
    from . import engine

    return function(engine)


def _to_bgr(image: DecodedImage) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(image.rgb[..., ::-1])


def _rebuild(value: Any, images: Iterator[Any]) -> Any:
    """Puts images in the place of what they were decoded from."""
    if isinstance(value, list):
        return [_rebuild(item, images) for item in value]
    image = next(images)
    if isinstance(value, dict) and "video_metadata" in value:
        return {"value": image, "video_metadata": value["video_metadata"]}
    return image
