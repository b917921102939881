"""Runs a job: brings the manifest up to date, labels the shards that are missing, sums up."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Generator, Iterator
from typing import Any

from .coco import Category
from .labeler import ImageCallback, ShardLabeler
from .manifest import Changes, Manifest, Shard, repair_manifest
from .options import JobOptions, MaxBad, Segmenter
from .output_folder import OutputFolder
from .settings import refuse_other_settings
from .shard_files import (
    BrokenFileError,
    LabeledImage,
    ShardReport,
    list_shards,
    put_broken_shards_aside,
    read_fingerprints,
    read_report,
    read_shard,
)
from .sources import ImageSource, SourceFile

JOB_FILE = "job.json"
ERRORS_FILE = "errors.jsonl"
FORMAT_VERSION = 1


class TooManyBadImagesError(RuntimeError):
    """More images failed than ``max_bad`` allows."""


@dataclasses.dataclass(frozen=True)
class FoundImages:
    """Lists the images of a source.

    Attributes:
        files: Its images, sorted by name.
        ignored: Other files of a folder.
    """

    files: list[SourceFile]
    ignored: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """Lists the work of one call of the job.

    Attributes:
        manifest: All images.
        todo: Shards that are not written yet.
        changes: What became of the source since the last call.
        fingerprint: Of the settings.
        past_errors: Images that failed in earlier calls.
        repairs: A sentence for each file of the folder that was broken.
    """

    manifest: Manifest
    todo: tuple[Shard, ...]
    changes: Changes
    fingerprint: str
    past_errors: int
    repairs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Totals:
    """Counts the images, instances and errors of a folder.

    Attributes:
        images: Images labeled or failed.
        errors: Images that failed.
        instances: Instances of all images.
    """

    images: int
    errors: int
    instances: int


def find_images(options: JobOptions, out: OutputFolder) -> FoundImages:
    """Lists the images of a job, without those in its own output folder.

    Raises:
        ValueError: If there are none.
    """
    leave_out = str(out.get_local_path().resolve()) if out.is_local else out.get_path()
    found = FoundImages(*ImageSource(options.images).list_files(leave_out))
    if not found.files:
        raise ValueError(
            f"images: expected at least one image, got none in {options.images!r}"
            + (f" ({found.ignored} other files)" if found.ignored else "")
        )
    return found


def prepare_job(options: JobOptions, out: OutputFolder, found: FoundImages) -> Plan:
    """Checks an output folder against the options, and brings its manifest up to date.

    Args:
        options: The job's options.
        out: The output folder, which can be written to.
        found: Its images.

    Returns:
        What there is to do.

    Raises:
        ValueError: If the folder was begun with other settings.
    """
    source = ImageSource(options.images)
    settings = options.describe_settings()
    repairs = _repair_job_file(out, settings)
    if out.exists(JOB_FILE):
        before = read_job_file(out)["settings"]
        refuse_other_settings(before, {"images": source.full_address, **settings}, out.address)
    repairs += put_broken_shards_aside(out)
    repairs += repair_manifest(out, found.files)
    manifest = Manifest(out)
    changes = manifest.compare(found.files)
    # The manifest first: a folder with settings always has one.
    manifest.add(changes.added, options.shard_size)
    if options.refresh:
        manifest.refresh(changes.changed)
    if not out.exists(JOB_FILE):
        _write_job_file(out, {"images": source.full_address, **settings}, options)
    done = set(list_shards(out))
    # Asks each shard, which takes time in a bucket.
    bounded = options.max_bad != MaxBad()
    return Plan(
        manifest=manifest,
        todo=tuple(shard for shard in manifest.iterate_shards() if shard.index not in done),
        changes=changes,
        fingerprint=hash_settings(settings),
        past_errors=sum(read_report(out, index).errors for index in done) if bounded else 0,
        repairs=tuple(repairs),
    )


def label_shards(
    options: JobOptions,
    plan: Plan,
    out: OutputFolder,
    engine: Segmenter,
    on_image: ImageCallback = lambda image: None,
) -> Iterator[ShardReport]:
    """Labels the missing shards with one engine in this process.

    Args:
        options: The job's options.
        plan: What there is to do.
        out: The output folder.
        engine: What segments.
        on_image: Called after each image, from another thread.

    Returns:
        A report of each shard once it is written.
    """
    labeler = ShardLabeler(
        engine,
        ImageSource(options.images),
        options.prompts,
        out,
        plan.fingerprint,
        options.input_size_percent,
        options.decoders,
        on_image,
    )
    return labeler.label(plan.todo)


def stop_at_many_errors(
    reports: Iterator[ShardReport], options: JobOptions, plan: Plan
) -> Generator[ShardReport, None, None]:
    """Yields reports until more images failed than allowed.

    Raises:
        TooManyBadImagesError: As soon as they have. What is written stays.
    """
    images, errors = len(plan.manifest), plan.past_errors
    for report in reports:
        errors += report.errors
        yield report
        if errors > options.max_bad.count_allowed(images):
            raise TooManyBadImagesError(
                f"max_bad: {errors} of {images} images could not be labeled, and at most "
                f"{options.max_bad} may fail; see {ERRORS_FILE} in {options.out}"
            )


def read_images(out: OutputFolder) -> Iterator[LabeledImage]:
    """Reads every image of a folder that was labeled or failed, in the manifest's order."""
    for index in list_shards(out):
        yield from read_shard(out, index)


def write_errors(
    out: OutputFolder, on_error: Callable[[LabeledImage], None] = lambda image: None
) -> Totals:
    """Writes ``errors.jsonl`` from the shards, one line an image that failed.

    Args:
        out: The output folder.
        on_error: Called with each of them.

    Returns:
        What the folder holds.
    """
    images = errors = instances = 0
    with out.open_to_replace(ERRORS_FILE) as file:
        for image in read_images(out):
            images += 1
            instances += len(image.instances)
            if image.error is not None:
                errors += 1
                on_error(image)
                line = {"path": image.name, "error": image.error, "size_bytes": image.size_bytes}
                file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
    return Totals(images, errors, instances)


def read_job_file(out: OutputFolder) -> dict[str, Any]:
    """Reads how a folder was labeled: ``settings`` by option, and ``categories``.

    Raises:
        ValueError: If the folder holds no job.
    """
    try:
        text = out.read_bytes(JOB_FILE)
    except OSError as error:
        raise ValueError(
            f"out: expected a folder of a labeling job (with {JOB_FILE}), got {out.address!r}"
        ) from error
    try:
        content = dict(json.loads(text))
        categories = [Category(int(c["id"]), str(c["name"])) for c in content["categories"]]
        is_whole = bool(categories) and {"images", "model"} <= set(dict(content["settings"]))
    except (ValueError, TypeError, LookupError, RecursionError):
        is_whole = False
    if not is_whole:
        raise BrokenFileError(
            f"out: {out.get_path(JOB_FILE)} was cut off or is broken; repeat the command `label` "
            "of this folder, which writes it again"
        )
    return content


def hash_settings(settings: dict[str, Any]) -> str:
    """Hashes settings to 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _repair_job_file(out: OutputFolder, settings: dict[str, Any]) -> list[str]:
    """Puts a broken ``job.json`` aside, if the shards were labeled with these settings."""
    if not out.exists(JOB_FILE):
        return []
    try:
        read_job_file(out)
        return []
    except BrokenFileError as error:
        if read_fingerprints(out) - {hash_settings(settings)}:
            raise ValueError(
                f"out: {out.get_path(JOB_FILE)} is broken, and the folder was begun with other "
                "settings than these; repeat its own, or take another out"
            ) from error
        kept = out.put_aside(JOB_FILE)
        return [f"{JOB_FILE}: was cut off or broken; put aside as {kept}, written again"]


def _write_job_file(out: OutputFolder, settings: dict[str, Any], options: JobOptions) -> None:
    categories = [dataclasses.asdict(category) for category in options.prompts.categories]
    content = {
        "format_version": FORMAT_VERSION,
        "settings": settings,
        "categories": categories,
    }
    out.write_bytes(JOB_FILE, json.dumps(content, indent=2, ensure_ascii=False).encode())
