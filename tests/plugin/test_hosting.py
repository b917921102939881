"""How the task behaves in its host: progress, stopping, logs, loading, memory."""

from __future__ import annotations

import gc
import logging
import threading
import weakref

import numpy as np
import pytest

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.tests.helpers import count_forward_passes

from .scenes import box, inside, objects

LOGGER = "infer_segment_anything_3"
IMAGE = np.full((80, 100, 3), 120, np.uint8)


@pytest.fixture
def shown(scene):
    return scene(seed=5, side_range_px=(240, 320))


@pytest.fixture
def loads(monkeypatch):
    """Names of the models that were asked of the engine."""
    asked = []
    load = Engine.load

    def counting(*args):
        asked.append(args)
        return load(*args)

    monkeypatch.setattr(Engine, "load", counting)
    return asked


@pytest.fixture
def progress_bar(monkeypatch):
    """Makes the lines that a host's progress bar shows of a task, in a list that grows."""

    def watch(algo):
        total, done = algo.get_progress_steps(), 0
        shown = [f"of {total}"]

        def step():
            nonlocal done
            done += 1
            shown.append(f"{done}/{total}")

        def add(count):
            nonlocal total
            total += count
            shown.append(f"of {total}")

        monkeypatch.setattr(algo, "emit_step_progress", step)
        monkeypatch.setattr(algo, "emit_add_sub_progress_steps", add)
        return shown

    return watch


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ({}, 4),
        ({"input_text": "circle"}, 4),
        ({"input_text": "circle, star, square"}, 6),
        ({"input_text": "circle, star", "tiles": 2}, 17),
        ({"input_point": "[[[5, 5]], [[9, 9]]]"}, 4),
        ({"input_text": "circle", "prompt_mode": "object", "input_point": "[5, 5]"}, 4),
        ({"prompt_mode": "everything", "points_per_side": 8}, 4),
        ({"prompt_mode": "everything", "points_per_side": 20}, 10),
    ],
)
def test_a_run_emits_the_steps_it_announces(make_algo, progress_bar, values, steps):
    wf, algo = make_algo(**values)
    bar = progress_bar(algo)
    assert bar == [f"of {steps}"]
    wf.run_on(array=IMAGE)
    assert bar[1:] == [f"{step}/{steps}" for step in range(1, steps + 1)]


def test_automatic_tiles_are_announced_as_soon_as_they_are_known(make_algo, progress_bar):
    wf, algo = make_algo(input_text="circle, star", tiles="auto")
    bar = progress_bar(algo)
    wf.run_on(array=np.full((300, 460, 3), 120, np.uint8))
    # Two tiles beside the whole image, each of them encoded and searched for two concepts.
    whole = ["of 5", "1/5", "2/5", "3/5", "4/5"]
    assert bar == [*whole, "of 11", *(f"{step}/11" for step in range(5, 12))]


def test_steps_are_emitted_as_they_happen(make_algo, monkeypatch):
    wf, algo = make_algo(input_text="circle, star")
    engine = Engine.load("tiny_shapes", None, "cpu", "float32")
    seen = []
    monkeypatch.setattr(algo, "emit_step_progress", lambda: seen.append(engine.encodings))
    before = engine.encodings
    wf.run_on(array=np.full((64, 64, 3), 77, np.uint8))
    assert [count - before for count in seen] == [0, 1, 1, 1, 1]


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_stop_leaves_valid_outputs_and_the_next_run_works(make_algo, shown, monkeypatch, stop_at):
    wf, algo = make_algo(input_text="circle, star, square", confidence_threshold=0)
    wf.init_long_process()
    model = Engine.load("tiny_shapes", None, "cpu", "float32").model
    emitted, passes_before_stop = [], []

    def stop_from_elsewhere():
        emitted.append(1)
        if len(emitted) == stop_at:
            thread = threading.Thread(target=wf.stop)
            thread.start()
            thread.join(10)
            passes_before_stop.append(dict(passes))

    monkeypatch.setattr(algo, "emit_step_progress", stop_from_elsewhere)
    with (
        count_forward_passes(model) as passes,
        pytest.raises(RuntimeError, match="Stop workflow requested"),
    ):
        wf.run_on(array=shown.image)
    assert passes_before_stop == [passes]
    assert objects(algo) == []
    assert algo.get_output(1).get_mask().shape == shown.image.shape[:2]
    assert algo.get_output(3).data["annotations"] == []
    monkeypatch.undo()
    algo.set_parameters({"input_text": "", "input_point": str(inside(shown.shapes[0]))})
    wf.run_on(array=shown.image)
    assert len(objects(algo)) == 1


def test_the_model_loads_early_if_asked_and_once(make_algo, loads):
    wf, _ = make_algo(input_text="circle")
    wf.init_long_process()
    assert len(loads) == 1
    wf.run_on(array=IMAGE)
    assert len(loads) == 1


def test_making_a_task_and_a_run_without_a_prompt_load_nothing(make_algo, loads):
    wf, _ = make_algo()
    wf.run_on(array=IMAGE)
    assert loads == []


def test_fifty_changes_of_the_prompt_load_one_model_and_encode_once(make_algo, loads, shown):
    wf, algo = make_algo()
    engine = None
    for index in range(50):
        algo.set_parameters(
            {
                "input_point": str([10 + index, 20]),
                "confidence_threshold": str(index / 100),
                "segmentation_format": ("rle", "polygon", "none")[index % 3],
            }
        )
        wf.run_on(array=shown.image)
        engine = engine or Engine.load("tiny_shapes", None, "cpu", "float32")
        if index == 0:
            encodings, loaded = engine.encodings, len(loads)
    assert engine.encodings == encodings
    assert len(loads) == loaded


def test_another_precision_frees_the_model_before_it_loads_the_next(make_algo, monkeypatch):
    wf, algo = make_algo(input_point="[5, 5]", precision="bfloat16")
    wf.run_on(array=IMAGE)
    model = weakref.ref(Engine.load("tiny_shapes", None, "cpu", "bfloat16").model)
    alive_at_load = []
    load = Engine.load

    def watched(*args):
        alive_at_load.append(model() is not None)
        return load(*args)

    monkeypatch.setattr(Engine, "load", watched)
    algo.set_parameters({"precision": "float32"})
    wf.run_on(array=IMAGE)
    assert alive_at_load == [False]
    algo.set_parameters({"confidence_threshold": "0.9"})
    wf.run_on(array=IMAGE)
    assert len(alive_at_load) == 1


def test_the_last_task_to_go_frees_the_model(make_algo):
    one, first = make_algo(input_point="[5, 5]", precision="bfloat16")
    two, second = make_algo(input_point="[5, 5]", precision="bfloat16")
    one.run_on(array=IMAGE)
    two.run_on(array=IMAGE)
    # Loading gives the engine that is held already.
    model = weakref.ref(Engine.load("tiny_shapes", None, "cpu", "bfloat16").model)
    one.remove_task(task=first)
    del first, one
    gc.collect()
    assert model() is not None
    two.remove_task(task=second)
    del second, two
    gc.collect()
    assert model() is None


def test_one_line_a_run(make_algo, caplog):
    wf, _ = make_algo(input_text="circle, star")
    caplog.set_level(logging.INFO, LOGGER)
    image = np.full((50, 60, 3), 33, np.uint8)
    lines = []
    for _ in range(2):
        caplog.clear()
        wf.run_on(array=image)
        lines.append([r.getMessage() for r in caplog.records if r.name == LOGGER][-1])
    assert lines[0].startswith("cpu, float32, image encoded, 2 concepts")
    assert lines[1].startswith("cpu, float32, image cached, 2 concepts")
    assert lines[0].endswith(" ms")
    assert "instances" in lines[0]


def test_a_warning_is_given_once_until_something_changes(make_algo, caplog):
    wf, algo = make_algo(input_text="circle", input_point="[5, 5]")

    def warnings():
        return [r for r in caplog.records if r.name == LOGGER and r.levelno == logging.WARNING]

    for _ in range(3):
        wf.run_on(array=IMAGE)
    assert len([r for r in warnings() if "input_point" in r.getMessage()]) == 1
    algo.set_parameters({"confidence_threshold": "0.6"})
    wf.run_on(array=IMAGE)
    assert len([r for r in warnings() if "input_point" in r.getMessage()]) == 2


def test_a_switch_that_changes_nothing_loads_and_encodes_nothing(make_algo, loads):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    wf, algo = make_algo(input_point="[5, 5]", precision="auto", cuda=True)
    wf.run_on(array=IMAGE)
    engine = Engine.load("tiny_shapes", None, "cpu", "auto")
    loads.clear()
    encodings = engine.encodings
    for values in (
        {"cuda": False},
        {"precision": engine.precision},
        {"cuda": True, "precision": "auto"},
    ):
        algo.set_parameters(values)
        wf.run_on(array=IMAGE)
    assert engine.encodings == encodings
    assert loads == []


def test_without_cuda_the_cpu_and_one_line(make_algo, caplog):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    wf, algo = make_algo(input_point="[5, 5]", cuda=True)
    wf.run_on(array=IMAGE)
    wf.run_on(array=IMAGE)
    assert len(objects(algo)) == 1
    assert len([r for r in caplog.records if r.getMessage().startswith("cuda:")]) == 1


def test_refining_starts_from_the_last_mask(make_algo, shown):
    """What a click gives depends on the mask before it, as long as nothing ended the series."""
    first, second = inside(shown.shapes[0]), box(shown.shapes[0])[:2]
    both = {"input_point": str([first, second]), "input_point_label": "[1, 0]"}
    wf, algo = make_algo(refine=True)

    def run(image=shown.image, **values):
        algo.set_parameters({"input_point": "", "input_point_label": "", **values})
        wf.run_on(array=image)
        return [(o.mask.tobytes(), o.confidence) for o in objects(algo)]

    afresh = run(**both)
    run(input_point=str(first))
    refined = run(**both)
    assert refined != afresh
    assert run(**both) == refined, "asked again, the answer is the same"
    run(image=shown.image[::-1].copy(), **both)
    assert run(**both) == afresh, "another image between starts afresh"
    run(input_point=str(first))
    assert run() == []
    assert run(**both) == afresh, "a run without a prompt between starts afresh"
