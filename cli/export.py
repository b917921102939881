"""The command ``export``: other formats from a labeled folder."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import run_command, tell
from .label import Formats, ValShare

EXAMPLES = """
[bold]Example[/bold]

infer-sam3 export labels --formats "yolo png" --val 0.2
"""


@run_command
def export(
    out: Annotated[str, typer.Argument(help="The folder of a labeling job.")],
    formats: Formats = "",
    val: ValShare = 0.0,
) -> None:
    """Write other formats from a labeled folder."""
    from ..labeling.exports.write import parse_formats, write_formats
    from ..labeling.output_folder import OutputFolder

    written = write_formats(OutputFolder(out), parse_formats(formats), val)
    tell("Written: " + ", ".join(written))
