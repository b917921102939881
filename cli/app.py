"""Puts the subcommands together, and turns what they raise into messages and exit codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from . import (
    demo,
    doctor,
    export,
    finetune,
    install,
    label,
    mcp,
    score,
    segment,
    serve,
    track,
    weights,
)
from .common import PROGRAM

EPILOG = """
Exit codes: 0 done. 1 stopped before the end, or nothing works. 2 an option is wrong, nothing was
done. 3 done, but some images failed. 130 Ctrl-C.
"""

app = typer.Typer(
    name=PROGRAM,
    help="Segment Anything Model 3: images, videos and data sets, by text, points, boxes and "
    "examples.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

IMAGES, DATA, MODEL, TRY = "Images and videos", "Data sets", "Model and server", "Try it"

app.command("segment", rich_help_panel=IMAGES, epilog=segment.EXAMPLES)(segment.segment)
app.command("track", rich_help_panel=IMAGES, epilog=track.EXAMPLES)(track.track)
app.command("label", rich_help_panel=DATA, epilog=label.EXAMPLES)(label.label)
app.command("export", rich_help_panel=DATA, epilog=export.EXAMPLES)(export.export)
app.command("score", rich_help_panel=DATA, epilog=score.EXAMPLES)(score.score)
app.command("finetune", rich_help_panel=DATA, epilog=finetune.EXAMPLES)(finetune.finetune)
app.command("serve", rich_help_panel=MODEL, epilog=serve.EXAMPLES)(serve.serve)
app.command("mcp", rich_help_panel=MODEL, epilog=mcp.EXAMPLES)(mcp.mcp)
app.add_typer(weights.app, name="weights", rich_help_panel=MODEL)
app.command("doctor", rich_help_panel=MODEL)(doctor.doctor)
app.command("install", rich_help_panel=MODEL)(install.install)
app.command("demo", rich_help_panel=TRY)(demo.demo)
app.command("demo-video", rich_help_panel=TRY)(demo.demo_video)
app.command("demo-agent", rich_help_panel=TRY)(demo.demo_agent)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from ..version import VERSION

        typer.echo(f"{PROGRAM} {VERSION}")
        raise typer.Exit


@app.callback()
def set_up(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    """Declares the options of the program itself; ``--help`` shows the text of the app."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Without the program's name; the process's own by default.

    Returns:
        The exit code, see :data:`EPILOG`.
    """
    try:
        app(args=None if arguments is None else list(arguments), prog_name=PROGRAM)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0
