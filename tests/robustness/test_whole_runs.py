"""Generated parameters through whole runs: each runs, or is refused by name."""

from __future__ import annotations

import importlib
import json
import re
import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("ikomia")

from infer_segment_anything_3.adapter.parameters.settings import PARAMETERS

from .asking import BASE, ask, check_is_empty, check_is_right

SETS = 200
CPU_S = 2.0
"""What one of them may take, in CPU seconds: other programs on the machine do not count.

On a busy machine OpenMP's threads wait for each other by spinning, which does count. What takes
too long is therefore run once more: what hangs takes too long both times.
"""

coordinates = st.integers(0, 190) | st.floats(0, 190, allow_subnormal=False)
points = st.tuples(coordinates, coordinates)
corners = st.tuples(
    *(st.integers(0, 90), st.integers(0, 90), st.integers(95, 260)), *[st.just(150)]
)
labels = st.integers(0, 1)
phrases = st.sampled_from(["circle", "red square", "étoile 🌟", "star:0.2", "x" * 200, "%s %n"])
# Ikomia's OpenCV flushes subnormal numbers to zero, which Hypothesis will not have.
floats = st.floats(allow_subnormal=False)
numbers = (
    st.integers(-300, 600) | floats | st.just(-0.0) | st.builds(pow, st.just(10), st.just(400))
)
nested = st.recursive(
    numbers | st.none() | st.booleans() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)
POISON = (
    "[1e999, 2]",
    "[[NaN, 1]]",
    "[Infinity, -Infinity]",
    "\x00",
    "a\tb\x1b[31m",
    "\ud800",
    "[1, 2",
    "{}",
    "null",
    "__import__('os').abort()",
    "[[[[[[[[1]]]]]]]]",
    "\u202egnp.exe",
    "~nobody/at/all.pt",
    " ",
)
HUGE = (("[", 5000), ("9", 6000), ("circle,", 150), ("y", 200_001), ("[1, 2], ", 20_000))

as_json = st.builds(json.dumps, nested)
repeated = st.sampled_from(HUGE).map(lambda pair: pair[0] * pair[1])
rubbish = st.sampled_from(POISON) | repeated | st.text(max_size=30) | as_json

GOOD = {
    "input_text": st.lists(phrases, min_size=1, max_size=3).map(", ".join),
    "prompt_mode": st.sampled_from(["auto", "object", "concept", "everything"]),
    "input_point": st.builds(
        json.dumps, points | st.lists(points, max_size=4) | st.lists(st.lists(points, min_size=1))
    ),
    "input_point_label": st.builds(json.dumps, labels | st.lists(labels, max_size=4)),
    "input_box": st.builds(json.dumps, corners | st.lists(corners, max_size=4)),
    "input_box_label": st.builds(json.dumps, st.lists(labels, max_size=4)),
    "multimask_output": st.sampled_from(["True", "False", "1", "no"]),
    "refine": st.sampled_from(["True", "False"]),
    "confidence_threshold": st.floats(0, 1, allow_subnormal=False).map(str),
    "overlap": st.sampled_from(["keep", "best"]),
    "min_area": st.integers(0, 10**9).map(str),
    "tiles": st.sampled_from(["off", "auto", "2"]),
    "points_per_side": st.integers(1, 6).map(str),
    "masks": st.sampled_from(["True", "False"]),
    "segmentation_format": st.sampled_from(["rle", "polygon", "none"]),
    "input_size_percent": st.integers(1, 100).map(str),
}
"""Values that are good by themselves. They leave the model as it is: loading takes longer."""

good_sets = st.fixed_dictionaries({}, optional=GOOD)
spoilt_sets = st.tuples(
    good_sets, st.dictionaries(st.sampled_from(list(PARAMETERS)), rubbish, min_size=1, max_size=2)
).map(lambda parts: {**parts[0], **parts[1], "model_name": "tiny_shapes"})


def test_generated_parameters_run_or_are_refused(make_algo, shown):
    wf, algo = make_algo()
    expected = ask(wf, algo, shown)
    check_is_right(algo, shown)
    counts = Counter()

    def tried(values):
        algo.set_parameters(BASE)
        before = algo.get_parameters()
        try:
            algo.set_parameters(values)
        except ValueError as error:
            assert str(error).startswith(tuple(values))
            assert "\n" not in str(error)
            assert algo.get_parameters() == before
            return "refused at once"
        asked = algo.get_parameters()
        try:
            wf.run_on(array=shown.image)
        except RuntimeError as error:
            kind, message = re.match(r"<class '([\w.]+)'>: (.*)", str(error)).groups()
            module, _, name = kind.rpartition(".")
            assert issubclass(
                getattr(importlib.import_module(module or "builtins"), name), ValueError
            )
            assert any(name in message for name in PARAMETERS)
            check_is_empty(algo)
            return "refused by the run"
        finally:
            assert algo.get_parameters() == asked
        assert algo.get_output_count() in (4, 6)
        return "ran"

    def time_run(values):
        started_s = time.process_time()
        outcome = tried(values)
        return outcome, time.process_time() - started_s

    @settings(
        max_examples=SETS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(good_sets | good_sets | spoilt_sets)
    def each(values):
        outcome, spent_s = time_run(values)
        if spent_s >= CPU_S:
            outcome, spent_s = time_run(values)
        assert spent_s < CPU_S
        counts[outcome] += 1
        assert ask(wf, algo, shown) == expected

    each()
    assert sum(counts.values()) >= SETS
    assert min(counts["ran"], counts["refused at once"]) > SETS / 10
    assert counts["refused by the run"] > SETS / 40


def test_what_was_taken_of_a_run_stays_when_the_next_begins(make_algo, shown, others):
    wf, algo = make_algo()
    first = ask(wf, algo, shown)
    found = algo.get_output(2).get_objects()
    masks = [one.mask for one in found]
    kept = [mask.copy() for mask in masks]
    count = len(first["data"]["annotations"])
    ask(wf, algo, others[0])
    assert len(first["data"]["annotations"]) == count == len(shown.shapes)
    assert [(one == other).all() for one, other in zip(masks, kept, strict=True)] == [True] * count
