"""Runs the commands, prints what they did, and returns their exit codes."""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import time
from collections.abc import Sequence

from ..engine import validation
from ..engine.checkpoints.errors import WeightsError
from .arguments import make_parser, read_formats, read_job_options
from .exports.coco import export_coco
from .exports.contact_sheet import draw_contact_sheet
from .exports.data_set import LabeledDataSet
from .exports.label_studio import export_label_studio
from .exports.png import export_png
from .exports.yolo import export_yolo
from .job import (
    ERRORS_FILE,
    Plan,
    TooManyBadImagesError,
    Totals,
    find_images,
    label_shards,
    prepare_job,
    read_job_file,
    stop_at_many_errors,
    write_errors,
)
from .options import JobOptions
from .output_folder import OutputFolder
from .progress import Progress
from .ray_runner import label_with_ray
from .scoring.command import run_score
from .shard_files import LabeledImage

EXIT_DONE, EXIT_STOPPED, EXIT_BAD_OPTION, EXIT_BAD_IMAGES, EXIT_INTERRUPTED = 0, 1, 2, 3, 130

EXPORTS = {"yolo": export_yolo, "labelstudio": export_label_studio, "png": export_png}
"""Function that writes each format of :data:`.arguments.FORMATS`."""

MAX_NAMED = 20
"""Failed or changed images that are printed; all failed ones are in ``errors.jsonl``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that the command line names.

    Args:
        arguments: Command line; the process's own by default.

    Returns:
        0: done. 1: stopped before the end, the same command goes on. 2: an option is wrong,
        nothing was done. 3: done, but images could not be labeled. 130: Ctrl-C.
    """
    parsed = make_parser().parse_args(arguments)
    logging.getLogger("infer_segment_anything_3").setLevel(logging.WARNING)
    try:
        return {"label": _label, "export": _export, "score": _score}[parsed.command](parsed)
    except WeightsError as error:
        _print_line(f"weights: {error}")
        return EXIT_BAD_OPTION
    except (ValueError, ImportError) as error:
        _print_line(str(error))
        return EXIT_BAD_OPTION
    except KeyboardInterrupt:
        _print_line("Interrupted. What is finished is kept: the same command continues from there.")
        return EXIT_INTERRUPTED
    except (OSError, MemoryError, TooManyBadImagesError) as error:
        _print_line(f"Stopped: {error}")
        _print_line("What is finished is kept: the same command continues from there.")
        return EXIT_STOPPED


def _label(parsed: argparse.Namespace) -> int:
    options = read_job_options(parsed)
    formats = read_formats(parsed)
    if parsed.ray_actors is not None:
        validation.to_whole_number("ray_actors", parsed.ray_actors, 1, 10_000)
    out = OutputFolder(options.out)
    found = find_images(options, out)
    if found.ignored:
        _print_line(f"{found.ignored} other files in the folder are left out.")
    out.check_writable()
    with out.lock():
        plan = prepare_job(options, out, found)
        _print_plan(options, plan)
        if plan.todo:
            _label_images(options, plan, out, parsed)
        return _write_results(out, formats, parsed.val)


def _label_images(
    options: JobOptions, plan: Plan, out: OutputFolder, parsed: argparse.Namespace
) -> None:
    images = sum(len(shard.names) for shard in plan.todo)
    with Progress(images) as progress:
        started = time.perf_counter()
        if parsed.ray is not None:
            address = None if parsed.ray == "here" else parsed.ray
            reports = label_with_ray(
                options, plan.todo, plan.fingerprint, address, parsed.ray_actors
            )
        else:
            engine = options.model.load()
            started = time.perf_counter()
            reports = label_shards(options, plan, out, engine, progress.count_image)
        with contextlib.closing(stop_at_many_errors(reports, options, plan)) as watched:
            for report in watched:
                if parsed.ray is not None:
                    progress.count(report.images, report.instances, report.errors)
    seconds = time.perf_counter() - started
    _print_line(f"{images} images in {seconds:.0f} s: {images / seconds:.3g} images a second.")


def _write_results(out: OutputFolder, formats: Sequence[str], val_share: float) -> int:
    failed: list[LabeledImage] = []

    def remember(image: LabeledImage) -> None:
        if len(failed) < MAX_NAMED:
            failed.append(image)

    totals = write_errors(out, remember)
    written = _write_formats(out, formats, val_share)
    _print_totals(out, totals, failed)
    _print_line("Written: " + ", ".join(out.get_path(name) for name in written))
    return EXIT_BAD_IMAGES if totals.errors else EXIT_DONE


def _export(parsed: argparse.Namespace) -> int:
    formats = read_formats(parsed)
    out = OutputFolder(parsed.out)
    if formats and read_job_file(out)["settings"].get("masks") is False:
        raise validation.value_error("formats", "none: the folder holds no masks", formats[0])
    written = _write_formats(out, formats, parsed.val)
    _print_line("Written: " + ", ".join(out.get_path(name) for name in written))
    return EXIT_DONE


def _score(parsed: argparse.Namespace) -> int:
    run_score(parsed)
    return EXIT_DONE


def _write_formats(out: OutputFolder, formats: Sequence[str], val_share: float) -> list[str]:
    data_set = LabeledDataSet(out, val_share)
    writers = (export_coco, draw_contact_sheet, *(EXPORTS[name] for name in formats))
    return [name for write in writers for name in write(data_set)]


def _print_plan(options: JobOptions, plan: Plan) -> None:
    images = len(plan.manifest)
    todo = sum(len(shard.names) for shard in plan.todo)
    _print_line(f"{images} images, {todo} to label, in shards of {options.shard_size}.")
    changed = [file.name for file in plan.changes.changed]
    if changed:
        what = "labeled again" if options.refresh else "kept as they were; see --refresh"
        _print_line(f"{len(changed)} files changed since: {_shorten(changed)} ({what}).")
    if plan.changes.missing:
        missing = plan.changes.missing
        _print_line(f"{len(missing)} files are gone: {_shorten(missing)}. Their results are kept.")


def _print_totals(out: OutputFolder, totals: Totals, failed: Sequence[LabeledImage]) -> None:
    _print_line(f"{totals.images} images, {totals.instances} instances, {totals.errors} errors.")
    for image in failed:
        _print_line(f"  {image.name}: {image.error}")
    if totals.errors > len(failed):
        _print_line(f"  and {totals.errors - len(failed)} more.")
    if totals.errors:
        _print_line(f"All errors: {out.get_path(ERRORS_FILE)}")


def _shorten(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def _print_line(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")
