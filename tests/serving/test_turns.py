"""The model's turns: a long run lets others in between its steps, and nobody starves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from infer_segment_anything_3.engine import EverythingPrompt, ObjectPrompt, PromptedObject
from infer_segment_anything_3.serving.images import decode_image
from infer_segment_anything_3.serving.model import ServedModel
from infer_segment_anything_3.serving.service import SegmentationService
from infer_segment_anything_3.serving.settings import Settings
from infer_segment_anything_3.serving.turns import Turns
from infer_segment_anything_3.serving.worker import Group, ModelWorker

from .conftest import to_file

Job = Callable[[Callable[[str], None]], None]


class Log:
    """Records the steps of jobs in their order; the first step waits until it is let go."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def make_job(self, name: str, steps: int, waits: bool = False) -> Job:
        def run(check_step: Callable[[str], None]) -> None:
            for number in range(steps):
                if number:
                    check_step(name)
                self.steps.append(name)
                if waits and not number:
                    self.begun.set()
                    assert self.go_on.wait(20)

        return run


async def run_in_order(log: Log, *jobs: tuple[str, Job]) -> None:
    """Starts the first job, the others while it stands in its first step, and awaits all."""
    worker = ModelWorker()
    tasks = []
    for group, job in jobs:
        tasks.append(asyncio.create_task(worker.run(job, Group(host=group))))
        await asyncio.to_thread(log.begun.wait, 20)
        await asyncio.sleep(0.02)
    log.go_on.set()
    await asyncio.gather(*tasks)
    worker.close()


def test_a_click_waits_for_the_step_under_way_only() -> None:
    log = Log()
    long, click = log.make_job("long", 6, waits=True), log.make_job("click", 2)
    asyncio.run(run_in_order(log, ("a", long), ("b", click)))
    assert log.steps == ["long", "click", "long", "click", "long", "long", "long", "long"]


def test_who_has_not_begun_is_next_and_all_take_turns() -> None:
    log = Log()
    jobs = [("a", log.make_job("a", 4, waits=True)), ("b", log.make_job("b", 4))]
    asyncio.run(run_in_order(log, *jobs, ("c", log.make_job("c", 1))))
    assert log.steps[:3] == ["a", "b", "c"]
    assert sorted(log.steps[3:]) == ["a"] * 3 + ["b"] * 3
    # Never more than one step ahead of each other.
    for end in range(3, len(log.steps)):
        assert abs(log.steps[:end].count("a") - log.steps[:end].count("b")) <= 1


def test_jobs_of_a_group_run_one_after_the_other() -> None:
    log = Log()
    first, second = log.make_job("first", 3, waits=True), log.make_job("second", 2)
    asyncio.run(run_in_order(log, ("a", first), ("a", second)))
    assert log.steps == ["first"] * 3 + ["second"] * 2


def test_coming_back_again_and_again_takes_no_more_than_a_share() -> None:
    log = Log()
    worker = ModelWorker()

    async def click(name: str) -> None:
        while log.steps.count("long") < 20:
            await worker.run(log.make_job(name, 1), Group(host=name))

    async def run() -> None:
        long = asyncio.create_task(worker.run(log.make_job("long", 21), Group(host="long")))
        await asyncio.gather(long, click("a"), click("b"))
        worker.close()

    asyncio.run(asyncio.wait_for(run(), 30))
    # Three groups: each has about a third of the steps, however often it leaves.
    assert log.steps.count("a") + log.steps.count("b") <= 2 * 21 + 6


def test_a_step_that_fails_gives_its_turn_back() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.join("a"):
        raise ZeroDivisionError
    with turns.join("b"):
        turns.pass_on("b")


def test_a_click_on_the_engine_overtakes_a_run_of_everything(
    served: ServedModel, shapes_scene: Any
) -> None:
    service = SegmentationService(served.engine, Settings())
    image = decode_image(to_file(shapes_scene.image), 10**6, "image")
    point = ObjectPrompt((PromptedObject(points_xy=((10.0, 10.0),), point_labels=(1,)),))

    async def run() -> tuple[int, bool]:
        before = served.engine.decoder_calls
        long = asyncio.create_task(
            service.segment(image, [EverythingPrompt(64)], Group(kind="long"))
        )
        while served.engine.decoder_calls < before + 2:
            await asyncio.sleep(0.001)
        began = served.engine.decoder_calls
        await service.segment(image, [point], Group(kind="click"))
        calls, is_over = served.engine.decoder_calls - began, long.done()
        long.cancel()
        await asyncio.gather(long, return_exceptions=True)
        return calls, is_over

    calls, is_over = asyncio.run(run())
    service.close()
    assert not is_over
    # Its own call, that of the step under way, and one between its own two steps; one more may
    # have begun before it was asked.
    assert calls <= 4
