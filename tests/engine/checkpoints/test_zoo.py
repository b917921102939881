"""The first place that was named wins, and a named place without a file is an error."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infer_segment_anything_3.engine.checkpoints import errors as weight_errors
from infer_segment_anything_3.engine.checkpoints import zoo as checkpoints


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    names = ("argument with space", "variable-ünïcode", "other")
    files = {name: tmp_path / f"{name}.pt" for name in names}
    for file in files.values():
        file.write_bytes(b"x")
    return files


def test_argument_wins_over_variable(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = files["variable-ünïcode"]
    monkeypatch.setenv("SAM3_CHECKPOINT", str(variable))
    argument = files["argument with space"]
    assert checkpoints.find_weights("sam3", str(argument)) == argument
    assert checkpoints.find_weights("sam3", "") == variable
    assert checkpoints.find_weights("sam3") == checkpoints.find_weights("sam3.1") == variable
    assert checkpoints.find_weights("tiny_shapes").name == "tiny_shapes.safetensors"


def test_home_and_symlinks(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = files["other"].parent
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert checkpoints.find_weights("sam3", "~/other.pt") == files["other"]
    link = folder / "link.pt"
    with contextlib.suppress(OSError):
        link.symlink_to(files["other"])
        found = checkpoints.find_weights("sam3", link)
        identity = checkpoints.get_file_identity(found)
        assert identity == checkpoints.get_file_identity(files["other"])


@pytest.mark.parametrize(
    "named",
    ["/no/such/file.pt", "~nobody-of-that-name/x.pt", "a\0b", "x" * 5000, ".", "\u202e"],
)
def test_nothing_there(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    with pytest.raises(ValueError, match="model_weight_file") as caught:
        checkpoints.find_weights("sam3", named)
    assert isinstance(caught.value, weight_errors.WeightFileNotFoundError)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)
    if "\0" not in named:
        monkeypatch.setenv("SAM3_CHECKPOINT", named)
        with pytest.raises(weight_errors.WeightFileNotFoundError, match="SAM3_CHECKPOINT"):
            checkpoints.find_weights("sam3")


def test_unknown_model() -> None:
    with pytest.raises(ValueError, match=r"model_name must be one of sam3, sam3.1, tiny_shapes"):
        checkpoints.find_weights("sam2")


def test_cache_hit_makes_no_network_call_in_a_fresh_process(tmp_path: Path) -> None:
    commit = "a" * 40
    repository = tmp_path / "hub" / "models--facebook--sam3"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    blob = repository / "blobs" / "0"
    blob.parent.mkdir()
    blob.write_bytes(b"weights")
    (snapshot / "sam3.pt").symlink_to(blob)
    code = (
        "import json, sys\n"
        "calls = []\n"
        "def hook(event, args):\n"
        "    if event.startswith('socket.'): calls.append(event)\n"
        "sys.addaudithook(hook)\n"
        "from infer_segment_anything_3.engine.checkpoints.zoo import find_weights\n"
        "path = str(find_weights('sam3'))\n"
        "network = [c for c in calls if c in ('socket.connect', 'socket.getaddrinfo')]\n"
        "heavy = [m for m in ('torch', 'sam3') if m in sys.modules]\n"
        "print(json.dumps([path, network, heavy]))"
    )
    package_parent = str(Path(sys.modules[checkpoints.__name__].__file__ or "").parents[3])
    environment = {**os.environ, "HF_HOME": str(tmp_path), "PYTHONPATH": package_parent}
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "SAM3_CHECKPOINT"):
        environment.pop(name, None)
    output = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(output.stdout) == [str(snapshot / "sam3.pt"), [], []]
