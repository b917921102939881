"""Measures what the plugin promises of time and memory, and writes it to RESULTS.md.

    python -m infer_segment_anything_3.benchmarks [--model tiny_shapes] [--only start,text]

The full-size model has seeded random weights unless ``--weights`` names a checkpoint; on two
CPU cores all of it takes about a quarter of an hour. Counts are also held by the tests.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..examples.ikomia_home import ikomia_home
from .measuring import machine
from .rows import Row, missed, table, write_section

if TYPE_CHECKING:
    from .subjects import Subjects

GROUPS = {
    "start": False,
    "precision": False,
    "once": True,
    "text": False,
    "overhead": True,
    "memory": False,
    "folder": True,
    "formats": True,
}
"""Modules that measure, in order, and whether they need Ikomia."""

RESULTS = Path(__file__).with_name("RESULTS.md")
PREFACE = """
# Measured

Written by `make bench`, a section for each group of rows and model; each says when and on what
machine it was measured. *Package* is Meta's `sam3` called directly on the same model, in the same
precision and process and in turns; where a process can do it only once, each has its own. Times
are those of the fastest round. Ikomia's own calls have a column of their own and are not in *ours*.
The full-size model has seeded random weights.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints and writes.

    Args:
        arguments: Command line; the process's own by default.

    Returns:
        The exit status: 0 also where a bound is missed, which the table says.
    """
    options = _parser().parse_args(arguments)
    groups = options.only.split(",") if options.only else list(GROUPS)
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise SystemExit(f"--only: expected some of {', '.join(GROUPS)}, got {', '.join(unknown)}")
    with contextlib.ExitStack() as stack:
        if any(GROUPS[group] for group in groups):
            # Ikomia reads its folders when it is first imported: before anything else.
            stack.enter_context(ikomia_home())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-"))
        subjects = subjects_of(options, Path(folder))
        everything: list[Row] = []
        for group in groups:
            everything += _measured(group, subjects, options.write)
    print("\n" + table(everything))
    for row in missed(everything):
        print(f"missed: {row.target}, {row.what}")
    return 0


def subjects_of(options: argparse.Namespace, folder: Path) -> Subjects:
    """What the options name; random full-size weights are written into the folder."""
    # Not at the top: Ikomia, where it is used, brings an OpenCV that must come first.
    from .subjects import Subjects

    weights = options.weights
    if options.model == "sam3" and weights is None:
        weights = write_random_weights(folder / "sam3.pt")
    return Subjects(options.model, weights, options.device, options.precision, options.repeats)


def write_random_weights(path: Path) -> Path:
    """Writes a full-size checkpoint in Meta's layout, with seeded random weights."""
    import torch

    from ..engine.checkpoints.layouts import get_meta_name
    from ..engine.model.config import SAM3
    from ..tools.random_weights import random_model

    state = random_model(SAM3).state_dict()
    torch.save({get_meta_name(name): tensor for name, tensor in state.items()}, path)
    return path


def subject_parser(
    module: str, description: str | None, device: str, groups: Iterable[str]
) -> argparse.ArgumentParser:
    """A command line with the options that say what is measured."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", choices=("sam3", "tiny_shapes"), default="sam3")
    parser.add_argument("--weights", type=Path, help="a checkpoint of sam3; random without")
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--repeats", type=int, default=11, help="rounds of what takes little")
    parser.add_argument("--device", default=device, choices=("cpu", "cuda"))
    parser.add_argument("--only", help=f"some of {','.join(groups)}")
    return parser


def _measured(group: str, subjects: Subjects, write: bool) -> list[Row]:
    started = time.perf_counter()
    where = machine()
    rows = []
    module = importlib.import_module(f"{__package__}.{group}")
    for row in module.rows(subjects):
        print(" | ".join(cell for cell in row.cells() if cell), flush=True)
        rows.append(row)
    print(f"{group}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    if write:
        precision = subjects.engine.precision
        body = f"{where}; {precision} unless a row says otherwise.\n\n{table(rows)}"
        target = rows[0].target
        title = f"Target {target}" if target.isdigit() else target.capitalize()
        heading = f"{title}: {group}, {subjects.model_name}"
        write_section(RESULTS, PREFACE, heading, body)
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = subject_parser(str(__package__), __doc__, "cpu", GROUPS)
    parser.add_argument(
        "--no-write", dest="write", action="store_false", help="leave RESULTS.md as it is"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
