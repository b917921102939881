"""Writes scores as JSON and as a table."""

from __future__ import annotations

from typing import Any

from ...engine.wording import count_things

PUBLISHED_COCO_BOX_AP = 56.5
"""SAM 3 on COCO val2017 by category names, box AP.

Source: the table of the ``sam3`` package's own README (version 0.1.4), "Box Detection, COCO, AP".
"""


def make_table(scores: dict[str, Any]) -> str:
    """Makes a Markdown table of the scores.

    Args:
        scores: What ``scores.json`` holds.

    Returns:
        The table, with a note on what it may be compared with.
    """
    lines = [
        f"{count_things(scores['images'], 'image')}, {count_things(scores['objects'], 'object')}, "
        f"prompts: {scores['prompts']}, model {scores['model']}",
        "",
        *(f"- {note}" for note in scores["notes"]),
        *([""] if scores["notes"] else []),
        "| score | box | mask |",
        "|---|---|---|",
    ]
    for group in (scores["ap"], scores.get("cgf1", {"bbox": {}})):
        masks = group.get("segm", {})
        lines += [_make_row(name, box, masks.get(name)) for name, box in group["bbox"].items()]
    for name, value in scores.get("interactive", {}).items():
        lines.append(_make_row(name, None, value))
    if scores["prompts"] == "text":
        lines += [
            "",
            f"Published for SAM 3 on COCO val2017 by category names: box AP "
            f"{PUBLISHED_COCO_BOX_AP / 100:.3f} (README of the package sam3 0.1.4). "
            "Mask AP has no published counterpart. On another data set neither compares.",
        ]
    else:
        lines += ["", "The prompts come from the annotations, so AP measures masks, not finding."]
    return "\n".join(lines) + "\n"


def _make_row(name: str, box: float | None, mask: float | None) -> str:
    cells = ("-" if value is None else f"{value:.3f}" for value in (box, mask))
    return f"| {name} | " + " | ".join(cells) + " |"
