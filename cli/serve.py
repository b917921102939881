"""The command ``serve``: the HTTP server and its page."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from .common import Exit, run_command

EXAMPLES = """
[bold]Examples[/bold]

infer-sam3 serve --model tiny_shapes

MAX_BODY_MB=40 SAM3_API_KEY=… infer-sam3 serve --host 0.0.0.0 --port 8000
"""


@run_command
def serve(
    model: Annotated[
        str | None,
        typer.Option(help="sam3, tiny_shapes or owner/name; by default sam3 if it can be had."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> Exit:
    """Serve Label Studio, Roboflow's clients and a page to click on.

    Other settings are environment variables, see docs/server.md.
    """
    given = {"MODEL": model, "HOST": host, "PORT": port}
    environment = os.environ | {name: str(value) for name, value in given.items() if value}
    from ..serving.start import serve as start

    return Exit(start(environment))
