"""Records how a folder was begun, and refuses to go on with other settings."""

from __future__ import annotations

import json
from typing import Any

from ..engine.validation import value_error
from ..labeling.output_folder import OutputFolder
from ..labeling.settings import refuse_other_settings

JOB_FILE = "job.json"
FORMAT_VERSION = 1


def begin_or_continue(out: OutputFolder, settings: dict[str, Any]) -> dict[str, Any]:
    """Writes ``job.json``, or compares it with the settings.

    Returns:
        Its content.

    Raises:
        ValueError: If it was begun with other settings, or its file is broken.
    """
    if out.exists(JOB_FILE):
        job = read_job(out)
        refuse_other_settings(job["settings"], settings, out.address)
        return job
    job = {"format_version": FORMAT_VERSION, "settings": settings, "is_done": False}
    write_job(out, job)
    return job


def read_job(out: OutputFolder) -> dict[str, Any]:
    """Reads ``job.json``.

    Raises:
        ValueError: If it is broken.
    """
    try:
        content = dict(json.loads(out.read_bytes(JOB_FILE)))
        dict(content["settings"])
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        expected = f"a folder whose {JOB_FILE} can be read; remove it or take another out"
        raise value_error("out", expected, out.get_path(JOB_FILE)) from error
    return content


def write_job(out: OutputFolder, content: dict[str, Any]) -> None:
    """Writes ``job.json``."""
    out.write_bytes(JOB_FILE, json.dumps(content, indent=2, ensure_ascii=False).encode())
