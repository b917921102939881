"""Measures the time that Ikomia and the plugin add to the engine, and their import."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from typing import Any

from ..engine import Engine
from ..examples.ikomia_home import PLUGIN
from .context import PHOTO, BenchmarkContext, RgbImage, get_click_xy, make_click
from .table import Row
from .timing import Call, run_python, time_call, time_in_turns, watch_calls

OBJECT_COUNTS = (1, 10, 100)

_TASK_CALLS = (
    "begin_task_run",
    "end_task_run",
    "get_input",
    "get_output",
    "get_outputs",
    "get_output_count",
    "add_output",
    "remove_output",
    "get_param_object",
)
_IO_CALLS = {
    "CImageIO": ("get_image", "set_image", "set_overlay_mask", "clear_data", "is_data_available"),
    "CSemanticSegmentationIO": ("set_class_names", "set_class_colors", "set_mask", "clear_data"),
    "CInstanceSegmentationIO": ("init", "add_object", "clear_data"),
    "CGraphicsInput": ("get_items",),
}
_IMPORT = """
import tempfile, time
from pathlib import Path
from infer_segment_anything_3.examples.ikomia_home import fill_home, set_environment
with tempfile.TemporaryDirectory() as folder:
    plugin = fill_home(Path(folder))
    set_environment(Path(folder))
    from ikomia.dataprocess.registry import ik_registry
    started = time.perf_counter()
    ik_registry.load_python_algorithm(str(plugin))
    print(time.perf_counter() - started)
"""


class TaskRunner:
    """Runs a workflow of one task, as a user of Ikomia API does.

    Attributes:
        workflow: Ikomia's workflow.
        task: The plugin's task.
    """

    def __init__(self, context: BenchmarkContext, **parameters: Any) -> None:
        """Makes a workflow whose task uses the model that is measured."""
        from ikomia.dataprocess.workflow import Workflow

        logging.getLogger("ikomia").setLevel(logging.WARNING)
        self.workflow = Workflow("benchmark")
        self.task = self.workflow.add_task(name=PLUGIN, auto_connect=True, public_hub=False)
        values = {
            "model_name": context.model_name,
            "model_weight_file": context.weight_file or "",
            "cuda": context.device == "cuda",
            "precision": context.precision,
            **parameters,
        }
        self.task.set_parameters({name: str(value) for name, value in values.items()})

    def run(self, image: RgbImage) -> None:
        """Runs the workflow on an image."""
        self.workflow.run_on(array=image)


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows."""
    image, state = context.encoded
    runner = TaskRunner(context, input_point=[int(value) for value in get_click_xy(image)])
    runner.run(image)
    workflow, package, engine = time_in_turns(
        range(context.repeats),
        lambda _: runner.run(image),
        lambda _: context.click_by_package(image, state),
        lambda _: context.engine.segment(image, make_click(image)),
    )
    yield Row(
        f"click through the workflow, image encoded before, {PHOTO}", workflow, "ms",
        package, "sam3 without Ikomia", excess_at_most=30,
        note=f"the engine alone {engine:.0f} ms",
    )  # fmt: skip
    for count in OBJECT_COUNTS:
        runner = TaskRunner(context, input_point=_spread_points(count, image.shape[:2]))
        runner.run(image)
        run = functools.partial(runner.run, image)
        parts = [split_time(runner, run) for _ in range(min(context.repeats, 7))]
        plugin, ikomia, engine = (
            min(p[name] for p in parts) for name in ("plugin", "ikomia", "engine")
        )
        covered = (runner.task.get_output(1).get_mask() > 0).mean()
        yield Row(
            f"the plugin's own time, {count} objects, {PHOTO}", plugin * 1e3, "ms",
            at_most=5 + count, note=f"Ikomia {ikomia * 1e3:.0f} ms, engine {engine * 1e3:.0f} ms; "
            f"the masks cover {covered:.0%} of the image",
        )  # fmt: skip
    imported = min(float(run_python(["-c", _IMPORT]).splitlines()[-1]) for _ in range(3))
    yield Row("importing the plugin into a running Ikomia", imported, "s", at_most=0.5)


def split_time(runner: TaskRunner, call: Call) -> dict[str, float]:
    """Splits the seconds that a call of a workflow takes.

    Args:
        runner: The workflow and its task.
        call: Runs it.

    Returns:
        ``total``, and what of it ``engine``, ``ikomia`` (around the task's runs and in the
        calls they make of it) and ``plugin`` take.
    """
    from ikomia import dataprocess

    task = type(runner.task)
    ikomia_calls = [(task, name) for name in _TASK_CALLS]
    ikomia_calls += [
        (getattr(dataprocess, io), name) for io, names in _IO_CALLS.items() for name in names
    ]
    with (
        watch_calls((task, "run")) as run,
        watch_calls((Engine, "segment")) as engine,
        watch_calls(*ikomia_calls) as ikomia,
    ):
        total = time_call(call)
    return {
        "total": total,
        "engine": engine.seconds,
        "ikomia": ikomia.seconds + total - run.seconds,
        "plugin": run.seconds - engine.seconds - ikomia.seconds,
    }


def _spread_points(count: int, hw: tuple[int, ...]) -> list[list[list[int]]]:
    columns = -(-count // 10)
    return [
        [[(i % columns + 1) * hw[1] // (columns + 1), (i // columns + 1) * hw[0] // 12]]
        for i in range(count)
    ]
