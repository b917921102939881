"""Runs a labeling job from the first image to the exports."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..engine import validation
from ..engine.wording import count_things, list_first
from .exports.write import write_formats
from .job import (
    ERRORS_FILE,
    Plan,
    Totals,
    find_images,
    label_shards,
    prepare_job,
    stop_at_many_errors,
    write_errors,
)
from .options import JobOptions, Segmenter
from .output_folder import OutputFolder
from .ray_runner import label_with_ray
from .shard_files import LabeledImage

if TYPE_CHECKING:
    from ..engine import Engine

MAX_NAMED = 20
"""Failed or changed images that are named; all failed ones are in ``errors.jsonl``."""


class JobObserver:
    """Receives what a job reports; does nothing with it. For progress bars and messages."""

    def tell(self, sentence: str) -> None:
        """Receives a sentence about the job."""

    def start(self, images: int) -> None:
        """Receives the number of images to label, before the first."""

    def advance(self, images: int, instances: int, errors: int) -> None:
        """Receives images that are done, with what was found and how many of them failed."""

    def stop(self) -> None:
        """Called after the last image, also when an error ends the job."""


@dataclasses.dataclass(frozen=True)
class JobResult:
    """What a job left in its folder.

    Attributes:
        totals: Images, instances and errors.
        written: Addresses of the files of the exports.
    """

    totals: Totals
    written: tuple[str, ...]


def run_job(
    options: JobOptions,
    formats: Sequence[str] = (),
    val_share: float = 0.0,
    ray: str | None = None,
    ray_actors: int | None = None,
    observer: JobObserver | None = None,
    wrap_engine: Callable[[Engine], Segmenter] | None = None,
) -> JobResult:
    """Labels the images of a job that are not labeled yet, and writes the exports.

    Args:
        options: The job.
        formats: Formats besides COCO, see :data:`.exports.write.FORMATS`.
        val_share: Share of the val split, 0..1.
        ray: Address of a Ray cluster, ``here`` to start one on this machine; None for this
            process alone.
        ray_actors: How many actors; one a GPU by default.
        observer: Receives progress and messages.
        wrap_engine: Makes what segments from the loaded engine; in this process only.

    Returns:
        What the folder holds now.

    Raises:
        ValueError: If an option is wrong; the message begins with its name.
        WeightsError: If the weights are not there.
        StopJobError: If the segmenter of ``wrap_engine`` ends the job.
        TooManyBadImagesError: If more images failed than ``options.max_bad``.
        OSError: If the folder cannot be written.
    """
    observer = observer or JobObserver()
    if wrap_engine is not None and ray is not None:
        raise validation.value_error("ray", "none with a segmenter of your own", ray)
    if ray_actors is not None:
        validation.to_whole_number("ray_actors", ray_actors, 1, 10_000)
    out = OutputFolder(options.out)
    found = find_images(options, out)
    if found.ignored:
        files = count_things(found.ignored, "other file")
        observer.tell(f"{files} in the folder left out.")
    out.check_writable()
    with out.lock():
        plan = prepare_job(options, out, found)
        _tell_plan(observer, options, plan)
        if plan.todo:
            _label_images(options, plan, out, ray, ray_actors, observer, wrap_engine)
        return _write_results(out, formats, val_share, observer)


def _label_images(
    options: JobOptions,
    plan: Plan,
    out: OutputFolder,
    ray: str | None,
    ray_actors: int | None,
    observer: JobObserver,
    wrap_engine: Callable[[Engine], Segmenter] | None,
) -> None:
    images = sum(len(shard.names) for shard in plan.todo)
    observer.start(images)
    several: list[str] = []
    try:
        started = time.perf_counter()
        if ray is not None:
            address = None if ray == "here" else ray
            reports = label_with_ray(options, plan.todo, plan.fingerprint, address, ray_actors)
        else:
            loaded = options.model.load()
            engine: Segmenter = loaded if wrap_engine is None else wrap_engine(loaded)
            started = time.perf_counter()

            def advance(image: LabeledImage) -> None:
                if image.pictures > 1:
                    several.append(image.name)
                observer.advance(1, len(image.instances), int(image.error is not None))

            reports = label_shards(options, plan, out, engine, advance)
        with contextlib.closing(stop_at_many_errors(reports, options, plan)) as watched:
            for report in watched:
                if ray is not None:
                    observer.advance(report.images, report.instances, report.errors)
    finally:
        observer.stop()
    if several:
        files = count_things(len(several), "file")
        names = list_first(sorted(several), MAX_NAMED)
        observer.tell(f"{files} of several pictures; only the first of each was used: {names}.")
    seconds = time.perf_counter() - started
    speed = f"{images / seconds:.3g} images a second"
    observer.tell(f"{count_things(images, 'image')} in {seconds:.0f} s: {speed}.")


def _write_results(
    out: OutputFolder, formats: Sequence[str], val_share: float, observer: JobObserver
) -> JobResult:
    failed: list[LabeledImage] = []

    def remember(image: LabeledImage) -> None:
        if len(failed) < MAX_NAMED:
            failed.append(image)

    totals = write_errors(out, remember)
    written = write_formats(out, formats, val_share)
    _tell_totals(observer, out, totals, failed)
    return JobResult(totals, written)


def _tell_plan(observer: JobObserver, options: JobOptions, plan: Plan) -> None:
    for sentence in (*options.prompts.notes, *plan.repairs):
        observer.tell(sentence)
    images = count_things(len(plan.manifest), "image")
    todo = sum(len(shard.names) for shard in plan.todo)
    observer.tell(f"{images}, {todo:,} to label, in shards of {options.shard_size}.")
    changed = [file.name for file in plan.changes.changed]
    if changed:
        what = "labeled again" if options.refresh else "kept as they were; see --refresh"
        files = count_things(len(changed), "file")
        observer.tell(f"{files} changed since: {list_first(changed, MAX_NAMED)} ({what}).")
    if plan.changes.missing:
        missing = plan.changes.missing
        files = count_things(len(missing), "missing file")
        observer.tell(f"{files}: {list_first(missing, MAX_NAMED)}. Their results are kept.")


def _tell_totals(
    observer: JobObserver, out: OutputFolder, totals: Totals, failed: Sequence[LabeledImage]
) -> None:
    observer.tell(
        f"{count_things(totals.images, 'image')}, {count_things(totals.instances, 'instance')}, "
        f"{count_things(totals.errors, 'error')}."
    )
    for image in failed:
        observer.tell(f"  {image.name}: {image.error}")
    if totals.errors > len(failed):
        observer.tell(f"  and {totals.errors - len(failed)} more.")
    if totals.errors:
        observer.tell(f"All errors: {out.get_path(ERRORS_FILE)}")
