"""OpenMP teams have their full size in the engine, whatever the host has set."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("torch")

from infer_segment_anything_3.engine.runtime import openmp


@pytest.fixture
def runtime():
    runtimes = openmp.find_runtimes()
    if not runtimes:
        pytest.skip("no OpenMP runtime is loaded")
    before = runtimes[0].omp_get_dynamic()
    yield runtimes[0]
    runtimes[0].omp_set_dynamic(before)


@pytest.mark.parametrize("before", [0, 1])
def test_teams_are_full_inside_and_as_before_outside(runtime, before):
    runtime.omp_set_dynamic(before)
    with openmp.fix_thread_teams():
        assert runtime.omp_get_dynamic() == 0
    assert runtime.omp_get_dynamic() == before


def test_an_error_puts_the_setting_back(runtime):
    runtime.omp_set_dynamic(1)
    with pytest.raises(KeyError), openmp.fix_thread_teams():
        raise KeyError
    assert runtime.omp_get_dynamic() == 1


def test_the_setting_is_the_calling_threads_own(runtime):
    runtime.omp_set_dynamic(1)
    seen = []
    with openmp.fix_thread_teams():
        thread = threading.Thread(target=lambda: seen.append(runtime.omp_get_dynamic()))
        thread.start()
        thread.join()
        runtime.omp_set_dynamic(0)
    assert seen == [0]
    assert runtime.omp_get_dynamic() == 1


@pytest.mark.parametrize(
    ("waits_s", "team"),
    [([0.01, 0.01], 1), ([0.01, 0.00001] * 2, None), ([0.00001] * 2, None)],
    ids=["busy", "one wait", "idle"],
)
def test_a_busy_machine_gets_a_team_of_one(runtime, monkeypatch, waits_s, team):
    waits = iter(waits_s)
    monkeypatch.setattr(openmp, "LONG_WAIT_S", 0.5e-3)
    monkeypatch.setattr(openmp, "measure_team_wait_s", lambda: next(waits))
    monkeypatch.setattr(openmp, "busy_until_s", 0.0)
    before = runtime.omp_get_max_threads()
    runtime.omp_set_num_threads(3)
    try:
        with openmp.fix_thread_teams():
            assert runtime.omp_get_max_threads() == (team or 3)
            # Remembered: it is not measured again at once.
            with openmp.fix_thread_teams():
                assert runtime.omp_get_max_threads() == (team or 3)
        assert runtime.omp_get_max_threads() == 3
    finally:
        runtime.omp_set_num_threads(before)


def test_on_a_busy_machine_everything_runs_with_one_thread(runtime, monkeypatch, scene):

    from infer_segment_anything_3.engine import (
        ConceptPrompt,
        Engine,
        EverythingPrompt,
        ObjectPrompt,
        PromptedObject,
        registry,
    )
    from infer_segment_anything_3.engine.inference import automatic_masks
    from infer_segment_anything_3.engine.postprocess import masks

    teams: dict[str, list[int]] = {}

    def record(module, name):
        function = getattr(module, name)

        def recording(*args, **kwargs):
            teams.setdefault(name, []).append(runtime.omp_get_max_threads())
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, recording)

    record(registry, "load_model")
    record(masks.F, "interpolate")
    record(automatic_masks, "is_stable")
    monkeypatch.setattr(openmp, "measure_team_wait_s", lambda: 1.0)
    monkeypatch.setattr(openmp, "busy_until_s", 0.0)
    before = runtime.omp_get_max_threads()
    runtime.omp_set_num_threads(3)
    try:
        engine = Engine.load("tiny_shapes", device="cpu", precision="float32", input_size=112)
        image = scene(1).image
        click = ObjectPrompt((PromptedObject(points_xy=((9.0, 9.0),)),))
        for prompt in (click, EverythingPrompt(8), ConceptPrompt(("circle",))):
            engine.segment(image, prompt)
        assert runtime.omp_get_max_threads() == 3
    finally:
        runtime.omp_set_num_threads(before)
    assert {name: set(sizes) for name, sizes in teams.items()} == {
        "load_model": {1}, "interpolate": {1}, "is_stable": {1},
    }  # fmt: skip


def test_the_wait_is_measured_in_seconds():
    assert 0 < openmp.measure_team_wait_s() < 10


def test_a_small_model_runs_in_one_thread(runtime):
    before = runtime.omp_get_max_threads()
    runtime.omp_set_num_threads(3)
    try:
        with openmp.fix_thread_teams(1):
            assert runtime.omp_get_max_threads() == 1
            with openmp.fix_thread_teams(2):
                assert runtime.omp_get_max_threads() == 1
        assert runtime.omp_get_max_threads() == 3
    finally:
        runtime.omp_set_num_threads(before)


@pytest.mark.parametrize("call", ["segment", "click", "everything"])
def test_the_bundled_model_uses_one_thread(runtime, tiny_engine, scene, call):
    import torch

    from infer_segment_anything_3.engine import (
        ConceptPrompt,
        EverythingPrompt,
        ObjectPrompt,
        PromptedObject,
    )

    prompt = {
        "segment": ConceptPrompt(("circle",)),
        "click": ObjectPrompt((PromptedObject(points_xy=((40.0, 40.0),)),)),
        "everything": EverythingPrompt(points_per_side=2),
    }[call]
    seen = set()
    hooks = [
        part.register_forward_hook(lambda *_: seen.add(runtime.omp_get_max_threads()))
        for part in tiny_engine.model.modules()
        if not isinstance(part, torch.jit.ScriptModule)
    ]
    before = runtime.omp_get_max_threads()
    runtime.omp_set_num_threads(2)
    try:
        tiny_engine.segment(scene(9).image, prompt)
        assert runtime.omp_get_max_threads() == 2, "the caller's setting is back"
    finally:
        runtime.omp_set_num_threads(before)
        for hook in hooks:
            hook.remove()
    assert seen == {1}
