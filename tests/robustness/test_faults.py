"""A fault after any step of a run leaves nothing half-made, and the next run is right."""

from __future__ import annotations

import pkgutil
import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ikomia")

import torch
from ikomia import dataprocess

from infer_segment_anything_3.engine import Engine

from ..host_state import changed, functions, snapshot
from .asking import BASE, answer, ask, boxes_of, check_is_empty, check_is_right

PACKAGE = "infer_segment_anything_3"

CONCEPT = {"input_text": "circle, square, star", "confidence_threshold": "0.01"}
OBJECT = {"multimask_output": "True"}
EVERYTHING = {"prompt_mode": "everything", "points_per_side": "3"}

EVERY_RUN = [
    ("task", "begin_task_run"),
    ("adapter.session.build_prompt", ""),
    ("adapter.model_holder.ModelHolder", "get"),
    ("model.backbone", "forward_image"),
    ("task", "emit_step_progress"),
    ("engine.results.Mask", "from_full"),
    ("adapter.outputs.ikomia.make_class_map", ""),
    ("adapter.outputs.ikomia.make_studio_overlay", ""),
    ("ikomia.CImageIO", "set_image"),
    ("ikomia.CImageIO", "set_overlay_mask"),
    ("ikomia.CSemanticSegmentationIO", "set_class_names"),
    ("ikomia.CSemanticSegmentationIO", "set_class_colors"),
    ("ikomia.CSemanticSegmentationIO", "set_mask"),
    ("ikomia.CInstanceSegmentationIO", "init"),
    ("ikomia.CInstanceSegmentationIO", "add_object"),
    ("adapter.outputs.ikomia.CocoDataIO", "set_run"),
    ("infer_segment_anything_3_process.fill_outputs", ""),
    ("infer_segment_anything_3_process.update_notes", ""),
    ("task", "end_task_run"),
]
STEPS = [
    *((OBJECT, *step) for step in EVERY_RUN),
    (CONCEPT, "model.backbone", "forward_text"),
    (CONCEPT, "model", "_encode_prompt"),
    (CONCEPT, "model", "_run_encoder"),
    (CONCEPT, "model", "_run_decoder"),
    (CONCEPT, "model.segmentation_head", "forward"),
    (CONCEPT, "engine.inference.concepts.sort_by_class", ""),
    (CONCEPT, "engine.engine.apply_filters", ""),
    (OBJECT, "tracker.sam_prompt_encoder", "forward"),
    (OBJECT, "tracker.sam_mask_decoder", "forward"),
    (OBJECT, "engine.inference.interactive.fill_holes", ""),
    (OBJECT, "task", "add_output"),
    (EVERYTHING, "tracker.sam_mask_decoder", "forward"),
    (EVERYTHING, "engine.inference.automatic_masks.nms", ""),
]
IDS = [f"{values.get('prompt_mode', '')}{where}.{name}".strip(".") for values, where, name in STEPS]
FAULTS = [RuntimeError, MemoryError, torch.OutOfMemoryError, KeyboardInterrupt]


def place(where: str, name: str, algo: Any, model: Any) -> tuple[Any, str]:
    """The object and attribute that a step of the table means."""
    if not name:
        where, name = where.rsplit(".", 1)
    root, *path = where.split(".")
    holder = {
        "task": algo,
        "model": model,
        "tracker": model.inst_interactive_predictor.model,
        "ikomia": dataprocess,
    }.get(root)
    if holder is None:
        return pkgutil.resolve_name(f"{PACKAGE}.{where}"), name
    for part in path:
        holder = getattr(holder, part)
    return holder, name


class Fault:
    """Does something right after every call of a function from the n-th on."""

    def __init__(self, then: Any, at_call: int) -> None:
        self.then, self.at_call, self.calls = then, at_call, 0

    def install(self, monkeypatch: pytest.MonkeyPatch, holder: Any, name: str) -> None:
        original = getattr(holder, name)

        def failing(*args: Any, **kwargs: Any) -> Any:
            given = original(*args, **kwargs)
            self.calls += 1
            if self.calls >= self.at_call:
                self.then()
            return given

        monkeypatch.setattr(holder, name, failing)


@pytest.fixture
def task(make_algo: Any, tiny_engine: Engine, shown: Any) -> Any:
    """A workflow and a task that answered rightly, its answer, and what the host had."""
    wf, algo = make_algo()
    expected = ask(wf, algo, shown)
    check_is_right(algo, shown)
    # Nothing is remembered, so that every step takes place.
    tiny_engine.image_cache.clear()
    tiny_engine.processor.forget_texts()
    return wf, algo, expected, (snapshot(), functions())


def set_up(algo: Any, shown: Any, values: dict[str, str]) -> None:
    boxes = {"input_box": boxes_of(shown)} if values is OBJECT else {}
    algo.set_parameters({**BASE, **boxes, **values})


def check_all_is_well(task: Any, shown: Any) -> None:
    wf, algo, expected, (state, known) = task
    assert changed(state, snapshot()) == {}
    assert changed(known, functions()) == {}
    # From another thread, which would wait for ever for a lock that was left.
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(ask(wf, algo, shown)))
    thread.start()
    thread.join(120)
    assert answers == [expected]


@pytest.mark.usefixtures("watchdog")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize(("values", "where", "name"), STEPS, ids=IDS)
def test_a_fault_after_a_step(task, tiny_engine, shown, monkeypatch, values, where, name, fault):
    wf, algo, _, _ = task
    set_up(algo, shown, values)

    def fail() -> None:
        raise fault("a fault that a test made")

    # Only an output that is half full can be left half-made.
    injected = Fault(fail, at_call=2 if name == "add_object" else 1)
    with monkeypatch.context() as patched:
        injected.install(patched, *place(where, name, algo, tiny_engine.model))
        with pytest.raises((RuntimeError, KeyboardInterrupt)) as caught:
            wf.run_on(array=shown.image)
    assert injected.calls >= injected.at_call
    if fault is not torch.OutOfMemoryError:
        assert "a fault that a test made" in str(caught.value)
    check_is_empty(algo)
    del caught
    check_all_is_well(task, shown)


@pytest.mark.usefixtures("watchdog")
@pytest.mark.parametrize(("values", "where", "name"), STEPS, ids=IDS)
def test_a_stop_after_a_step(task, tiny_engine, shown, monkeypatch, values, where, name):
    wf, algo, _, _ = task
    set_up(algo, shown, values)
    wf.run_on(array=shown.image)
    complete = answer(algo)
    tiny_engine.image_cache.clear()
    stop = Fault(algo.stop, at_call=1)
    with monkeypatch.context() as patched:
        stop.install(patched, *place(where, name, algo, tiny_engine.model))
        wf.run_on(array=shown.image)
    if answer(algo)["outputs"] == complete["outputs"] and answer(algo)["instances"]:
        assert answer(algo) == complete, "stopped after its last step, a run is whole"
    else:
        assert not algo.get_output(1).get_mask().any()
        assert algo.get_output(3).data["annotations"] == []
    check_all_is_well(task, shown)


def test_a_fault_leaves_the_users_image_alone(task, shown, monkeypatch):
    wf, algo, _, _ = task
    image, before = shown.image.copy(), shown.image.copy()
    set_up(algo, shown, OBJECT)
    with monkeypatch.context() as patched:
        patched.setattr(algo, "end_task_run", lambda: 1 / 0)
        with pytest.raises(RuntimeError, match="division"):
            wf.run_on(array=image)
    assert np.array_equal(image, before)
