"""Writes the generated parts of the documentation: parameters, command line, held-out scores.

python -m infer_segment_anything_3.tools.readme
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..adapter.parameters.settings import GROUPS, PARAMETERS

NAME = "infer_segment_anything_3"
ROOT = Path(__file__).parents[1]
CARD = ROOT / "engine" / "weights" / "tiny_shapes.json"

SCORES = {
    "concepts": {
        "concept_f1": "text: F1 at IoU 0.5",
        "concept_mean_iou": "text: mean IoU of what is matched",
        "absent_found": "text: share of absent concepts that give an instance",
    },
    "same_kind": {
        "same_kind_f1": "3 to 8 of a kind: F1",
    },
    "exemplars": {
        "exemplar_f1": "an exemplar box: F1 at IoU 0.5",
        "negative_exemplar_f1": "text with a negative box: F1 at IoU 0.5",
    },
    "references": {
        "reference_f1": "an exemplar box in another picture: F1 at IoU 0.5",
        "reference_text_f1": "the same with its name (red circle): F1 at IoU 0.5",
        "reference_negative_f1": "text with a negative box in another picture: F1",
        "side_by_side_f1": "an exemplar box, both pictures side by side in one: F1 at IoU 0.5",
        "own_box_f1": "for comparison, a box in the searched picture itself: F1 at IoU 0.5",
        "reference_lookalikes_f1": "an exemplar box in another picture, among look-alikes: F1",
        "own_box_lookalikes_f1": "a box in the searched picture itself, among look-alikes: F1",
    },
    "overlap": {
        "overlap_best_claimed_once": "`overlap` `best`: shapes claimed by one concept of three",
    },
    "clicks_and_boxes": {
        "click_mean_iou": "one click anywhere inside a shape: mean IoU",
        "box_mean_iou": "a box: mean IoU",
    },
    "background_clicks": {
        "background_obeyed": "a background click leaves the other shape out",
    },
    "refinement": {
        "three_clicks_plain_iou": "three clicks: mean IoU",
        "three_clicks_refined_iou": "three clicks, each refining the last mask: mean IoU",
    },
    "everything": {
        "everything_recall": "everything: shapes found at IoU 0.7",
        "everything_no_shape": "everything: share of what is found that is no shape",
    },
    "tiles": {
        "tiles_recall": "tiles, 500 small shapes (a crowd per 100 scenes): recall at IoU 0.5",
        "tiles_repeated": "tiles, 500 small shapes: share found twice",
    },
    "video_concepts": {
        "video_hota": "video, text (a clip of 48 frames per 3 scenes): HOTA",
        "video_idf1": "video, text: IDF1",
        "video_id_switches": "video, text: identity switches",
        "video_unlike_hota": "video, text, clips in which no two shapes look the same: HOTA",
        "video_unlike_idf1": "video, text, clips in which no two shapes look the same: IDF1",
        "bytetrack_hota": "the same detections associated by ByteTrack: HOTA",
        "bytetrack_idf1": "the same detections associated by ByteTrack: IDF1",
        "bytetrack_id_switches": "the same detections associated by ByteTrack: identity switches",
        "ocsort_hota": "the same detections associated by OC-SORT: HOTA",
        "ocsort_idf1": "the same detections associated by OC-SORT: IDF1",
        "ocsort_id_switches": "the same detections associated by OC-SORT: identity switches",
    },
    "video_exemplars": {
        "video_exemplar_recall": "video, an exemplar box: recall of like shapes that enter later",
    },
    "video_objects": {
        "video_click_j": "video, a click on the first frame: J",
        "video_click_f": "video, a click on the first frame: F",
        "video_box_j": "video, a box on the first frame: J",
        "video_box_f": "video, a box on the first frame: F",
        "video_found_again": "video, clicked or boxed shapes found again after 5 to 20 frames",
        "video_on_another": "video, clicked or boxed shapes: frames whose mask is of another one",
    },
}
"""What is measured and the names of its scores, in the order in which they are shown.

Those that were not measured of the bundled weights are left out.
"""


README_PARAMETERS = 10
"""Parameters that the README shows: the first ones, which are used most."""


def make_short_parameter_table() -> str:
    """Makes the Markdown table of the parameters that are used most."""
    lines = make_parameter_table().splitlines()
    return "\n".join(lines[: 2 + README_PARAMETERS])


def make_command_pages() -> str:
    """Makes the options of every command of the command line, in Markdown."""
    from typer.main import get_command

    from ..cli.app import app

    return "\n".join(_describe_command(get_command(app), "infer-sam3")).rstrip()


def _describe_command(command: Any, name: str) -> Iterator[str]:
    own = getattr(command, "commands", {})
    if not own:
        yield f"## {name.removeprefix('infer-sam3 ')}\n"
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        words = " ".join(f"{p.name.upper()}{'...' if p.nargs == -1 else ''}" for p in arguments)
        yield f"{command.help}\n"
        yield f"```sh\n{f'{name} {words}'.rstrip()} [OPTIONS]\n```\n"
        yield from _describe_options(command)
    for key, child in own.items():
        yield from _describe_command(child, f"{name} {key}")


def _describe_options(command: Any) -> Iterator[str]:
    yield "| option | default | meaning |\n|---|---|---|"
    for param in command.params:
        if param.name == "help":
            continue
        names = "`, `".join((*param.opts, *param.secondary_opts)).replace(" ", "")
        if param.param_type_name == "argument":
            names = param.name.upper()
        default = param.default
        shown = "" if default in (None, "", False, True) or callable(default) else f"`{default}`"
        yield f"| `{names}` | {shown} | {(param.help or '').replace('|', chr(92) + '|')} |"
    yield ""


def make_parameter_table() -> str:
    """Makes the Markdown table of the parameters, in the order of the widget's sections."""
    rows = ["| name | default | meaning |", "|---|---|---|"]
    for group in GROUPS:
        for parameter in PARAMETERS.values():
            if parameter.group == group:
                default = f"`{parameter.default}`" if parameter.default else "empty"
                meaning = parameter.help.replace("|", "\\|")
                rows.append(f"| `{parameter.name}` | {default} | {meaning} |")
    return "\n".join(rows)


def make_score_table() -> str:
    """Makes the Markdown table of the bundled model's held-out scores."""
    held_out = json.loads(CARD.read_text())["held_out"]
    rows = ["| held-out score | | scenes |", "|---|---|---|"]
    for measure, scores in SCORES.items():
        rows += [
            f"| {text} | {_format_score(name, held_out[name])} | {held_out['scenes'][measure]} |"
            for name, text in scores.items()
            if name in held_out
        ]
    return "\n".join(rows)


def _format_score(name: str, value: float) -> str:
    return f"{value:.0f}" if name.endswith("_switches") else f"{value:.3f}"


TABLES = {
    ("README.md", "parameters"): make_short_parameter_table,
    ("docs/parameters.md", "parameters"): make_parameter_table,
    ("docs/cli.md", "commands"): make_command_pages,
    ("docs/bundled-model.md", "held-out"): make_score_table,
}
"""The file and the name of each table, and what makes it."""


def update_tables(name: str) -> str:
    """Updates the tables of a Markdown file.

    Args:
        name: The file, relative to the repository.

    Returns:
        Its text with whatever stands between the marks of each table replaced.

    Raises:
        ValueError: If a mark is missing.
    """
    text = (ROOT / name).read_text(encoding="utf-8")
    for (file, table), make in TABLES.items():
        if file == name:
            block = re.compile(rf"(<!-- {table}: [^>]*-->\n).*?(<!-- /{table} -->)", re.DOTALL)
            found = block.search(text)
            if not found:
                raise ValueError(f"{name} has no place for the table {table!r}")
            text = f"{text[: found.start()]}{found[1]}{make()}\n{found[2]}{text[found.end() :]}"
    return text


def main() -> None:
    """Updates the tables of all files."""
    for name in {file for file, _ in TABLES}:
        (ROOT / name).write_text(update_tables(name), encoding="utf-8")


if __name__ == "__main__":
    main()
