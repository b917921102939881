"""Measures the time that Ikomia and the plugin add to the engine, and their import."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

from ..engine import Engine
from ..examples.ikomia_home import PLUGIN
from .context import PHOTO, BenchmarkContext, click, get_click_xy
from .table import Row
from .timing import call_in_process, time_call, time_in_turns, time_plugin_import, watch_calls

_IKOMIA_CALLS = {
    "CImageIO": "get_image set_image set_overlay_mask clear_data is_data_available",
    "CSemanticSegmentationIO": "set_class_names set_class_colors set_mask clear_data",
    "CInstanceSegmentationIO": "init add_object clear_data",
    "CGraphicsInput": "get_items",
}
_TASK_CALLS = (
    "begin_task_run end_task_run get_input get_output get_outputs get_output_count "
    "add_output remove_output get_param_object"
)


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows."""
    image, state = context.encoded
    workflow, _ = make_workflow(context, input_point=[int(value) for value in get_click_xy(image)])
    workflow.run_on(array=image)
    through_workflow, package, engine = time_in_turns(
        range(context.repeats),
        lambda _: workflow.run_on(array=image),
        lambda _: context.click_by_package(image, state),
        lambda _: click(context.engine, image),
    )
    yield Row(
        f"click through the workflow, image encoded before, {PHOTO}", through_workflow, "ms",
        package, "sam3 without Ikomia", excess_at_most=30,
        note=f"the engine alone {engine:.0f} ms",
    )  # fmt: skip
    for count in (1, 10, 100):
        workflow, task = make_workflow(context, input_point=_spread_points(count, image.shape))
        run = functools.partial(workflow.run_on, array=image)
        run()
        parts = [split_time(task, run) for _ in range(min(context.repeats, 7))]
        ms = {name: min(part[name] for part in parts) * 1e3 for name in parts[0]}
        covered = (task.get_output(1).get_mask() > 0).mean()
        yield Row(
            f"the plugin's own time, {count} objects, {PHOTO}", ms["plugin"], "ms",
            at_most=5 + count, note=f"Ikomia {ms['ikomia']:.0f} ms, engine {ms['engine']:.0f} ms; "
            f"the masks cover {covered:.0%} of the image",
        )  # fmt: skip
    imported = min(call_in_process(time_plugin_import) for _ in range(3))
    yield Row("importing the plugin into a running Ikomia", imported, "s", at_most=0.5)


def make_workflow(context: BenchmarkContext, **parameters: Any) -> tuple[Any, Any]:
    """Creates a workflow with this plugin's task; returns the workflow and the task."""
    from ikomia.dataprocess.workflow import Workflow

    logging.getLogger("ikomia").setLevel(logging.WARNING)
    workflow = Workflow("benchmark")
    task = workflow.add_task(name=PLUGIN, auto_connect=True, public_hub=False)
    values = {
        "model_name": context.model_name,
        "model_weight_file": context.weight_file or "",
        "cuda": context.device == "cuda",
        "precision": context.precision,
        **parameters,
    }
    task.set_parameters({name: str(value) for name, value in values.items()})
    return workflow, task


def split_time(task: Any, run: Callable[[], object]) -> dict[str, float]:
    """Measures a run of a workflow, and how its time divides into parts.

    Args:
        task: The workflow's task.
        run: Runs the workflow.

    Returns:
        Seconds: ``total``, and what of it ``engine``, ``ikomia`` (around the task's runs and in the
        calls they make of it) and ``plugin`` take.
    """
    from ikomia import dataprocess

    calls = [(type(task), name) for name in _TASK_CALLS.split()]
    for owner, names in _IKOMIA_CALLS.items():
        calls += [(getattr(dataprocess, owner), name) for name in names.split()]
    with (
        watch_calls((type(task), "run")) as runs,
        watch_calls((Engine, "segment")) as engine,
        watch_calls(*calls) as ikomia,
    ):
        total = time_call(run)
    return {
        "total": total,
        "engine": sum(engine),
        "ikomia": sum(ikomia) + total - sum(runs),
        "plugin": sum(runs) - sum(engine) - sum(ikomia),
    }


def _spread_points(count: int, hw: tuple[int, ...]) -> list[list[list[int]]]:
    columns = -(-count // 10)
    return [
        [[(i % columns + 1) * hw[1] // (columns + 1), (i // columns + 1) * hw[0] // 12]]
        for i in range(count)
    ]
