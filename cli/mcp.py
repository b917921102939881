"""The command ``mcp``: tools for an agent that somebody uses already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import (
    Device,
    Exit,
    InputSize,
    ModelName,
    PrecisionName,
    WeightFile,
    choose_model,
    run_command,
)

EXAMPLES = """
[bold]Example[/bold]: the entry of a client's configuration

{"mcpServers": {"sam3": {"command": "infer-sam3", "args": ["mcp", "--root", "/home/me/photos"]}}}
"""


@run_command
def mcp(
    root: Annotated[
        Path, typer.Option(help="The folder whose pictures may be read; by default this one.")
    ] = Path(),
    model: ModelName = "sam3",
    weights: WeightFile = None,
    device: Device = None,
    precision: PrecisionName = "auto",
    input_size: InputSize = "auto",
) -> Exit:
    """Serve tools to an agent by MCP on standard streams: it sees pictures and chooses."""
    from ..agent.mcp_server import SegmentationTools, make_server

    if not root.expanduser().is_dir():
        raise ValueError(f"root: expected a folder, got {str(root)!r}")
    options = choose_model(model, weights, device, precision, input_size, "torch")
    make_server(SegmentationTools(options.load, root.expanduser())).run("stdio")
    return Exit.DONE
