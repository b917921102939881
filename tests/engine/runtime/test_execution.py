"""Threads take turns at a model, in the order in which they asked."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from infer_segment_anything_3.engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from infer_segment_anything_3.engine.runtime.execution import FifoLock

JOIN_S = 60


def test_who_asks_first_is_served_first() -> None:
    lock, served, threads = FifoLock(), [], []

    def work(name: int) -> None:
        with lock:
            served.append(name)

    with lock:
        for name in range(5):
            threads.append(threading.Thread(target=work, args=(name,)))
            threads[-1].start()
            while lock.waiting <= name:
                time.sleep(0.001)
    for thread in threads:
        thread.join(JOIN_S)
    assert served == [0, 1, 2, 3, 4]


def test_the_owner_may_enter_again_and_an_error_leaves_it_free() -> None:
    lock = FifoLock()
    with pytest.raises(KeyError), lock, lock:
        raise KeyError
    entered = threading.Event()

    def enter() -> None:
        with lock:
            entered.set()

    threading.Thread(target=enter).start()
    assert entered.wait(JOIN_S)


def test_a_click_does_not_wait_for_all_tiles_of_another_run(tiny_engine: Engine) -> None:
    engine = Engine(tiny_engine.model, tiny_engine.image_size, "float32")
    image = np.full((200, 300, 3), 120, np.uint8)
    steps: list[str] = []
    first_tile, clicked_after = threading.Event(), []

    def on_step(step: str) -> None:
        steps.append(step)
        if step.startswith("tile 1 "):
            first_tile.set()

    def click() -> None:
        first_tile.wait(JOIN_S)
        prompt = ObjectPrompt((PromptedObject(points_xy=((20.0, 30.0),)),))
        engine.segment(image[:100], prompt)
        clicked_after.append(len(steps))

    thread = threading.Thread(target=click)
    thread.start()
    engine.segment(image, ConceptPrompt(("circle",), tiles=4), on_step=on_step)
    thread.join(JOIN_S)
    assert len(steps) == 2 * (1 + 16)
    assert clicked_after and clicked_after[0] < len(steps) - 10


def test_a_released_lock_lets_others_in_and_comes_back_as_deep_as_it_was():
    lock, order = FifoLock(), []

    def enter(name):
        with lock:
            order.append(name)

    with lock, lock:
        other = threading.Thread(target=enter, args=("other",))
        other.start()
        while not lock.waiting:
            time.sleep(0.001)
        with lock.released():
            other.join(10)
            assert order == ["other"]
        late = threading.Thread(target=enter, args=("late",))
        late.start()
        while not lock.waiting:
            time.sleep(0.001)
        order.append("mine")
    late.join(10)
    assert order == ["other", "mine", "late"]


def test_a_lock_of_another_thread_is_not_released():
    lock = FifoLock()
    with lock:

        def leave():
            with lock.released():
                pass

        other = threading.Thread(target=leave)
        other.start()
        other.join(10)
        assert not other.is_alive()
        waiting = threading.Thread(target=lock.__enter__)
        waiting.start()
        while not lock.waiting:
            time.sleep(0.001)
    waiting.join(10)
