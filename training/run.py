"""Fine-tunes a model on a COCO file: the one function that all doors call."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..engine.model_options import ModelOptions
from ..engine.validation import value_error
from ..labeling.output_folder import OutputFolder
from .data import read_data
from .isolation import keep_process_state
from .job_file import begin_or_continue, write_job
from .observer import TrainingObserver
from .options import TrainingOptions
from .report import SCORES, write_results
from .requirements import PACKAGES, require

ADAPTER = "adapter"


@dataclasses.dataclass(frozen=True)
class FinetuneResult:
    """Says what a fine-tuning made.

    Attributes:
        adapter: peft's folder; ``base + adapter`` as a weight file loads it.
        scores: ``before`` and ``after``, by group, see :func:`.scoring.score_model`.
        unreadable: File name and reason of each image that was left out.
        out: The folder with everything.
    """

    adapter: Path
    scores: dict[str, Any]
    unreadable: tuple[tuple[str, str], ...]
    out: Path


def finetune(
    coco: str | os.PathLike[str],
    images: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: ModelOptions | str = "sam3",
    observer: TrainingObserver | None = None,
    rename: Mapping[str, str] | None = None,
    not_exhaustive: Sequence[str] = (),
    **options: Any,
) -> FinetuneResult:
    """Fine-tunes a model on a COCO file; the same call goes on after a stop or a crash.

    Args:
        coco: A COCO file with what is to be learned.
        images: Folder of its images.
        out: Folder for ``adapter/``, ``scores.md``, ``scores.json``, ``loss_curve.png``,
            ``contact_sheet.png`` and ``job.json``.
        model: Name or options of the model.
        observer: Told of the progress, and asked whether to stop.
        rename: Phrase for each category's name; a blank one leaves the category out.
        not_exhaustive: Categories of which not all objects are labeled.
        options: Further fields of :class:`.options.TrainingOptions`.

    Returns:
        The adapter and its scores.

    Raises:
        ValueError: If an option or a file is wrong; the message names it.
        ImportError: If peft, transformers, accelerate or torchmetrics is not installed.
        StoppedByUserError: If the observer stopped it.
        OSError: If the disk is full; what is done is kept.
    """
    chosen = ModelOptions(model) if isinstance(model, str) else model
    checked = TrainingOptions(
        os.fspath(coco),
        os.fspath(images),
        os.fspath(out),
        chosen,
        rename=dict(rename or {}),
        not_exhaustive=tuple(not_exhaustive),
        **options,
    )
    require(*PACKAGES)
    folder = OutputFolder(checked.out)
    if not folder.is_local:
        raise value_error("out", "a folder of this machine", checked.out)
    with _hold(folder):
        return _run(checked, folder, observer or TrainingObserver())


def is_first_process() -> bool:
    """Tells whether this is the process that writes; of several only under ``torchrun``."""
    return int(os.environ.get("RANK", "0")) == 0


@contextlib.contextmanager
def _hold(out: OutputFolder) -> Iterator[None]:
    if is_first_process():
        out.check_writable()
        with out.lock():
            yield
    else:
        yield


def _run(options: TrainingOptions, out: OutputFolder, observer: TrainingObserver) -> FinetuneResult:
    data = read_data(options)
    for sentence in data.describe():
        observer.tell(sentence)
    settings = {**options.describe(), **data.hash_content()}
    job = begin_or_continue(out, settings) if is_first_process() else {}
    adapter = out.get_local_path(ADAPTER)
    if job.get("is_done"):
        observer.tell("This folder is done already; nothing is trained.")
        scores = json.loads(out.read_bytes(SCORES))
        return FinetuneResult(adapter, scores, data.unreadable, out.get_local_path())
    from .stages import Stages

    with keep_process_state():
        stages = Stages(options, out, observer, data)
        before = stages.score_before()
        log = stages.train()
        after = stages.score_after()
    scores = {"before": before, "after": after}
    if is_first_process():
        write_results(out, data, options, scores, log)
        write_job(out, {**job, "is_done": True})
    return FinetuneResult(adapter, scores, data.unreadable, out.get_local_path())
