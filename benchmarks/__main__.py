"""Measures time and memory and prints tables; writes them to a file where that is asked for.

    python -m infer_segment_anything_3.benchmarks [--model tiny_shapes] [--only speed,memory]
    python -m infer_segment_anything_3.benchmarks --write      # into benchmarks/RESULTS.md
    python -m infer_segment_anything_3.benchmarks --device cuda --out gpu.md

``sam3`` has seeded random weights unless ``--weights`` names a checkpoint; on two CPU cores all
of it takes about half an hour. Groups that need Ikomia are left out where it is not installed.

To add a row, yield a ``Row`` from ``measure(context)`` of a module in this folder, usually by
``compare(name, inputs, ours, theirs, limit)``; to add a module, name it in ``GROUPS``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from .table import Row, format_table, write_section
from .timing import describe_machine

GROUPS = (
    "loading", "speed", "input_size", "video", "multiplex", "precision", "memory", "overhead",
    "folders", "outputs", "serving", "labeling", "finetuning", "gpu",
)  # fmt: skip
"""Modules of this folder, in the order in which they run."""

DEFAULT_GROUPS = {
    "cpu": tuple(group for group in GROUPS if group != "gpu"),
    "cuda": ("speed", "input_size", "video", "multiplex", "precision", "finetuning", "gpu"),
}
"""Those that run where none are named: what they measure depends on the device."""

NEED_IKOMIA = {"overhead", "folders", "outputs"}
RESULTS = Path(__file__).with_name("RESULTS.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the number of groups that failed.

    A limit that is missed is no failure: the table shows it.
    """
    options = _parse(arguments)
    failures = 0
    with contextlib.ExitStack() as stack:
        if NEED_IKOMIA.intersection(options.only):
            from ..examples.ikomia_home import ikomia_home

            # Ikomia reads its folders when it is first imported, and its OpenCV must come first.
            stack.enter_context(ikomia_home())
        from .context import BenchmarkContext

        if options.model == "sam3" and options.weights is None:
            from ..tools.random_weights import write_random_weights

            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-"))
            options.weights = write_random_weights(Path(folder) / "sam3.pt")
        context = BenchmarkContext(
            options.model, options.weights, options.device, options.precision, options.repeats
        )
        for group in options.only:
            machine = describe_machine()
            rows: list[Row] = []
            try:
                for row in importlib.import_module(f"{__package__}.{group}").measure(context):
                    print(" | ".join(cell for cell in row.format_cells() if cell), flush=True)
                    rows.append(row)
            except Exception:
                traceback.print_exc()
                failures += 1
            if not rows:
                continue
            table = format_table(rows)
            print(f"\n{table}\n", flush=True)
            if options.out:
                title = group.replace("_", " ").capitalize()
                heading = f"{title}, {options.model} on {options.device}"
                body = f"{machine}; {context.engine.precision} unless a row says otherwise."
                write_section(options.out, heading, f"{body}\n\n{table}")
    return failures


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", choices=("sam3", "tiny_shapes"), default="sam3")
    parser.add_argument("--weights", type=Path, help="a checkpoint of sam3; default: random")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--repeats", type=int, default=11, help="rounds of what takes little")
    parser.add_argument("--only", help=f"some of {','.join(GROUPS)}")
    parser.add_argument("--out", type=Path, help="a Markdown file to update with the tables")
    parser.add_argument(
        "--write", dest="out", action="store_const", const=RESULTS, help=f"the same: {RESULTS.name}"
    )
    options = parser.parse_args(arguments)
    options.only = (options.only or ",".join(DEFAULT_GROUPS[options.device])).split(",")
    if unknown := [group for group in options.only if group not in GROUPS]:
        parser.error(f"--only: expected some of {', '.join(GROUPS)}, got {', '.join(unknown)}")
    if importlib.util.find_spec("ikomia") is None:
        options.only = [group for group in options.only if group not in NEED_IKOMIA]
    return options


if __name__ == "__main__":
    sys.exit(main())
