"""Files that must be refused with the reason, and never run."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from infer_segment_anything_3.engine.checkpoints import errors as weight_errors
from infer_segment_anything_3.engine.checkpoints.reader import read_tensors

State = dict[str, Tensor]


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _pt(saved: Any, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(saved, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def _safetensors(state: State, path: Path) -> bytes:
    save_file(state, path)
    return path.read_bytes()


def _wrong_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("document.xml", "<xml/>")
    return buffer.getvalue()


SMALL = {"detector.x": torch.zeros(300)}
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"
HUGE_HEADER = struct.pack("<Q", 50_000_000) + b'{"a": 1'
BAD_HEADER = struct.pack("<Q", 8) + b'{"a": 1}'


@pytest.mark.parametrize(
    ("make", "error", "advice"),
    [
        (lambda tmp: b"", weight_errors.TruncatedFileError, "Download or copy"),
        (lambda tmp: _cut(_pt(SMALL)), weight_errors.TruncatedFileError, "Download or copy"),
        (
            lambda tmp: _cut(_safetensors(SMALL, tmp / "whole")),
            weight_errors.TruncatedFileError,
            "Download or copy",
        ),
        (lambda tmp: HUGE_HEADER, weight_errors.TruncatedFileError, "Download or copy"),
        (lambda tmp: _cut(_pt(SMALL, False)), weight_errors.WeightFileError, "Download or copy"),
        (lambda tmp: BAD_HEADER, weight_errors.NotACheckpointError, "Download or copy"),
        (lambda tmp: b"hello", weight_errors.NotACheckpointError, "safetensors"),
        (lambda tmp: b"<!DOCTYPE html>" * 9, weight_errors.NotACheckpointError, "safetensors"),
        (lambda tmp: LFS, weight_errors.NotACheckpointError, "git lfs pull"),
        (lambda tmp: _wrong_zip(), weight_errors.NotACheckpointError, "Download or copy"),
        (lambda tmp: _pt([1, 2]), weight_errors.NotACheckpointError, "state_dict"),
        (lambda tmp: _pt({"epoch": 3}), weight_errors.NotACheckpointError, "state_dict"),
        (lambda tmp: _pt(torch.zeros(3)), weight_errors.NotACheckpointError, "state_dict"),
    ],
)
def test_files_that_are_no_checkpoint(
    tmp_path: Path, make: Callable[[Path], bytes], error: type[Exception], advice: str
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(make(tmp_path))
    assert_refused(path, error, advice)


def assert_refused(path: Path, error: type[Exception], advice: str) -> None:
    with pytest.raises(weight_errors.WeightFileError) as caught:
        read_tensors(path)
    assert isinstance(caught.value, error)
    assert advice in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


class _RunsCode:
    """Pickles as a call that would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (f"open({str(self.target)!r}, 'w').close()",))


@pytest.mark.parametrize("how", ["zip", "legacy", "bare pickle"])
def test_a_file_that_runs_code_is_refused_and_does_not_run(tmp_path: Path, how: str) -> None:
    target = tmp_path / "it ran"
    saved = {"model": SMALL, "config": _RunsCode(target)}
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(saved) if how == "bare pickle" else _pt(saved, how == "zip"))
    assert_refused(path, weight_errors.UnsafeCheckpointError, "torch.save(model.state_dict(), ...)")
    assert not target.exists()


def test_a_zip_that_says_it_has_several_parts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "parts.pt"
    torch.save({"weight": torch.zeros(2)}, path)
    data = path.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 2)
    path.write_bytes(data[:end] + locator + data[end:])
    with pytest.raises(weight_errors.TruncatedFileError):
        read_tensors(path)
