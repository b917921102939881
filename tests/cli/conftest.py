from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infer_segment_anything_3.cli.app import main
from infer_segment_anything_3.examples import SCENE

MODEL = ("--model", "tiny_shapes", "--device", "cpu", "--precision", "float32")


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], tiny_engine: object
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process with the bundled model: exit code, output, messages."""

    def call(*arguments: str | Path, model: bool = True) -> tuple[int, str, str]:
        code = main([*map(str, arguments), *(MODEL if model else ())])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def scene_path() -> Path:
    """The drawn scene: four red and two yellow circles, two squares, stars and triangles."""
    return SCENE


def read_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]
