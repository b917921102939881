"""Writes the scores before and after side by side, the loss curve and the contact sheet."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..labeling.output_folder import OutputFolder
from .data import TrainingData
from .options import TrainingOptions

SCORES, TABLE, CURVE, LOG = "scores.json", "scores.md", "loss_curve.png", "log.json"

_GROUPS = {
    "new": "new concepts, by text",
    "exemplars": "new concepts, by one exemplar box",
    "known": "known before, by text",
    "absent": "absent phrases",
    "clicks": "clicks",
}


def write_results(
    out: OutputFolder,
    data: TrainingData,
    options: TrainingOptions,
    scores: dict[str, Any],
    log: Sequence[Mapping[str, Any]],
) -> None:
    """Writes all that shows what the training did.

    Args:
        out: The folder.
        data: What was learned.
        options: How.
        scores: ``before`` and ``after``.
        log: Losses and scores by step.
    """
    out.write_bytes(LOG, json.dumps(list(log)).encode())
    out.write_bytes(CURVE, draw_curve(log))
    from .pictures import write_contact_sheet

    write_contact_sheet(out, data, options)
    out.write_bytes(TABLE, make_table(scores, data, options).encode())
    out.write_bytes(SCORES, json.dumps(scores, indent=2).encode())


def make_table(scores: Mapping[str, Any], data: TrainingData, options: TrainingOptions) -> str:
    """Makes a Markdown table of the scores, before and after side by side."""
    known = (
        "a data set of their own"
        if options.known_coco
        else "the base model's own sure answers on the held-out images, which it gives by "
        "definition before"
    )
    lines = [
        *data.describe(),
        "",
        f"Known before: {known}.",
        "",
        "| score | before | after |",
        "|---|---|---|",
    ]
    for group, title in _GROUPS.items():
        before, after = scores["before"].get(group, {}), scores["after"].get(group, {})
        for name in before:
            shown = [_show(group, name, values.get(name)) for values in (before, after)]
            lines.append(f"| {title}: {name.replace('_', ' ')} | {shown[0]} | {shown[1]} |")
    return "\n".join(lines) + "\n"


def _show(group: str, name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if group == "absent" and name != "share":
        return str(value)
    return f"{value:.3f}"


def draw_curve(log: Sequence[Mapping[str, Any]]) -> bytes:
    """Draws the loss and the held-out cgF1 over the steps, as a PNG.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, color in (("loss", "tab:blue"), ("eval_cgf1", "tab:orange")):
        rows = [(row["step"], row[name]) for row in log if name in row]
        target = axes if name == "loss" else axes.twinx()
        target.plot([r[0] for r in rows], [r[1] for r in rows], color=color)
        target.set_ylabel({"loss": "loss", "eval_cgf1": "held-out cgF1"}[name], color=color)
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
