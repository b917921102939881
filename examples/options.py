"""Makes the command line that both demos have."""

from __future__ import annotations

import argparse
from pathlib import Path


def make_parser(
    description: str | None, source: str, text_help: str, out: Path, out_help: str
) -> argparse.ArgumentParser:
    """Makes a parser with the options of both demos.

    Args:
        description: The demo's docstring; its first line describes the command.
        source: Name of the option for the file to segment: ``image`` or ``video``.
        text_help: Help of ``--text``.
        out: Default of ``--out``.
        out_help: Help of ``--out``.

    Returns:
        A parser with ``--image`` or ``--video``, ``--text``, ``--model`` and ``--out``.
    """
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument(f"--{source}", type=Path, help=f"{source} file; default: drawn shapes")
    parser.add_argument("--text", help=f"{text_help}, for instance 'person, red car'")
    parser.add_argument("--model", choices=("sam3", "tiny_shapes"), default="tiny_shapes")
    parser.add_argument("--out", type=Path, default=out, help=out_help)
    return parser
