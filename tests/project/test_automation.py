"""What runs on every push is what developers run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for pattern in (".github/**/*.y*ml", ".pre-commit-config.yaml")
    for path in CHECKOUT.glob(pattern)
)


def read(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_files_are_yaml(name: str) -> None:
    assert isinstance(yaml.safe_load(read(name)), dict)


@pytest.mark.parametrize("name", FILES)
def test_make_targets_exist(name: str) -> None:
    for target in re.findall(r"(?:entry:|run:|`)\s*make ([a-z-]+)", read(name)):
        assert re.search(rf"^{target}:", read("Makefile"), re.MULTILINE), target


def test_every_push_runs_ci_run() -> None:
    jobs = yaml.safe_load(read(".github/workflows/check.yaml"))["jobs"]
    assert ".ci/run" in [step.get("run") for step in jobs["check"]["steps"]]


def test_pre_commit_checks_what_lint_checks() -> None:
    [repository] = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert {hook["id"] for hook in repository["hooks"]} == {
        "ruff-check",
        "ruff-format",
        "mypy",
        "import-contracts",
    }
