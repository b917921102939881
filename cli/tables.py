"""Prints results as tables for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..engine import Result
    from ..engine.video.clip import VideoTracks

MAX_ROWS = 40
"""Instances of an image that are listed."""
FILE_WIDTH = 1000
"""Characters a line may have where standard output is no terminal: nothing is wrapped there."""


def make_table(*columns: str) -> Table:
    """Makes an empty table; columns whose name begins with ``>`` are aligned right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(
            column.removeprefix(">"), justify="right" if column.startswith(">") else "left"
        )
    return table


def make_console() -> Console:
    """Makes the console of standard output: wide enough for any line where it is no terminal."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else FILE_WIDTH)


def print_table(table: Table, title: str = "") -> None:
    """Prints a table on standard output, without colors where it is no terminal.

    Args:
        table: The table.
        title: A line above it, which is never wrapped: it may have a long path.
    """
    console = make_console()
    if title:
        console.print(title, style="italic", markup=False, soft_wrap=True)
    console.print(table)


def print_instances(result: Result, name: str) -> None:
    """Prints the instances of an image.

    Args:
        result: What was found.
        name: What to call the image.
    """
    table = make_table("class", ">score", ">box (x1, y1, x2, y2)", ">area (px)")
    for instance in result.instances[:MAX_ROWS]:
        table.add_row(
            result.class_names[instance.class_index],
            f"{instance.score:.2f}",
            ", ".join(f"{value:.0f}" for value in instance.box_xyxy),
            f"{instance.mask.area:,}",
        )
    if len(result.instances) > MAX_ROWS:
        table.caption = f"and {len(result.instances) - MAX_ROWS} more"
    print_table(table, f"{name}: {describe_counts(result)}")


def describe_counts(result: Result) -> str:
    """Counts the instances of each class in words."""
    counts = result.count_by_class()
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"


def print_tracks(tracks: VideoTracks) -> None:
    """Prints a line for each track of a video."""
    data = tracks.to_youtube_vis()
    names = {category["id"]: category["name"] for category in data["categories"]}
    table = make_table(">id", "class", ">frames", ">mean score")
    for track in data["annotations"]:
        seen = sum(area is not None for area in track["areas"])
        name = names[track["category_id"]]
        table.add_row(str(track["id"]), name, str(seen), f"{track['score']:.2f}")
    print_table(table)
