"""Threads: right answers, one copy of the same weights, no deadlock."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ikomia")

import torch

from infer_segment_anything_3.engine import (
    ConceptPrompt,
    Engine,
    ObjectPrompt,
    PromptedObject,
    registry,
)
from infer_segment_anything_3.engine.runtime.isolation import keep_attention_flags

from .asking import BASE, ask, boxes_of, check_is_right

pytestmark = pytest.mark.usefixtures("watchdog")

JOIN_S = 200


def together(*works: Callable[[], Any]) -> None:
    """Runs all of them at the same time; fails with what one raises, or if one hangs."""
    start = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def run(work: Callable[[], Any]) -> None:
        try:
            start.wait()
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_S)
    assert not any(thread.is_alive() for thread in threads), "deadlock"
    if errors:
        raise errors[0]


@pytest.fixture
def weights(tmp_path) -> Any:
    """A weights file that no engine holds yet."""
    from infer_segment_anything_3.engine.checkpoints.zoo import MODELS

    path = tmp_path / "weights.safetensors"
    path.write_bytes(MODELS["tiny_shapes"].bundled_path.read_bytes())
    return path


@pytest.fixture
def loads(monkeypatch) -> list[weakref.ref[Any]]:
    """The models that were built, as far as they are alive."""
    built: list[weakref.ref[Any]] = []
    load_model = registry.load_model

    def noted(*args: Any) -> Any:
        model = load_model(*args)
        built.append(weakref.ref(model))
        return model

    monkeypatch.setattr(registry, "load_model", noted)
    return built


def test_two_tasks_of_one_workflow_share_the_weights(make_algo, shown, weights, loads):
    wf, first = make_algo(model_weight_file=weights, input_box=boxes_of(shown))
    # Connected to the first, it takes the boxes of what that one finds.
    _, second = make_algo(workflow=wf, model_weight_file=weights)
    wf.run_on(array=shown.image)
    check_is_right(first, shown)
    check_is_right(second, shown)
    assert len(loads) == 1


def test_workflows_in_threads_answer_as_if_alone(make_algo, others, loads):
    made = [make_algo() for _ in others]
    alone = [ask(wf, algo, scene) for (wf, algo), scene in zip(made, others, strict=True)]
    wrong: list[int] = []

    def work(index: int) -> None:
        wf, algo = made[index]
        for turn in range(6):
            # In turns with a run that changes what this one left.
            scene = others[(index + turn) % len(others)]
            ask(wf, algo, scene)
            if ask(wf, algo, others[index]) != alone[index]:
                wrong.append(index)

    together(*(lambda index=index: work(index) for index in range(len(others))))
    assert wrong == []
    assert loads == [], "all of them share the engine that the tests keep"


def test_workflows_that_start_together_load_once(make_algo, shown, weights, loads):
    made = [make_algo(model_weight_file=weights, input_box=boxes_of(shown)) for _ in range(3)]
    together(*(lambda wf=wf: wf.run_on(array=shown.image) for wf, _ in made))
    assert len(loads) == 1
    for _, algo in made:
        check_is_right(algo, shown)


def test_one_task_run_from_several_threads(make_algo, shown):
    wf, algo = make_algo()
    expected = ask(wf, algo, shown)
    algo.set_parameters({**BASE, "input_box": boxes_of(shown), "multimask_output": "True"})

    def work() -> None:
        for _ in range(5):
            algo.run()

    together(work, work, work)
    assert algo.get_output_count() == 6, "no output of another thread's run is left"
    assert ask(wf, algo, shown) == expected


def test_a_model_is_built_during_runs(make_algo, shown, weights, loads):
    wf, algo = make_algo()
    expected = ask(wf, algo, shown)
    loads.clear()
    engines: list[Engine] = []
    loaded = threading.Event()

    def load() -> None:
        engines.append(Engine.load("tiny_shapes", weights, device="cpu", precision="float32"))
        loaded.set()

    def runs() -> None:
        while True:
            assert ask(wf, algo, shown) == expected
            if loaded.is_set():
                return

    together(load, load, runs)
    assert engines[0] is engines[1]
    assert len(loads) == 1
    found = engines[0].segment(shown.image, click(shown)).instances
    assert found[0].mask.area > 0


def click(shown: Any) -> ObjectPrompt:
    ys, xs = np.nonzero(shown.shapes[0].mask)
    return ObjectPrompt((PromptedObject(points_xy=((float(xs.mean()), float(ys.mean())),)),))


def test_engines_in_threads_leave_the_hosts_switches(tiny_engine, shown):
    flags = torch.backends.cuda
    before = (
        flags.flash_sdp_enabled(),
        flags.math_sdp_enabled(),
        flags.mem_efficient_sdp_enabled(),
    )
    engines = [Engine(tiny_engine.model, tiny_engine.image_size, "float32") for _ in range(3)]
    flags.enable_flash_sdp(False)
    try:
        together(
            *(
                lambda engine=engine: [engine.segment(shown.image, click(shown)) for _ in range(8)]
                for engine in engines
            )
        )
        assert not flags.flash_sdp_enabled()
    finally:
        for name, value in zip(("flash", "math", "mem_efficient"), before, strict=True):
            getattr(flags, f"enable_{name}_sdp")(value)


def test_switches_overlap_in_no_order():
    flags = torch.backends.cuda
    assert flags.flash_sdp_enabled()
    flags.enable_flash_sdp(False)
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with keep_attention_flags():
            flags.enable_flash_sdp(True)
            inside.set()
            leave.wait(JOIN_S)

    def second() -> None:
        inside.wait(JOIN_S)
        threading.Timer(0.2, leave.set).start()
        with keep_attention_flags():
            flags.enable_flash_sdp(True)

    try:
        together(first, second)
        assert not flags.flash_sdp_enabled()
    finally:
        flags.enable_flash_sdp(True)


def test_the_same_question_from_threads_is_answered_once(tiny_engine, shown):
    engine = Engine(tiny_engine.model, tiny_engine.image_size, "float32")
    prompt = ConceptPrompt(("circle", "star"))
    together(*(lambda: engine.segment(shown.image, prompt) for _ in range(4)))
    assert (engine.encodings, engine.text_encodings) == (1, 2)
