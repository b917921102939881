"""``weights show`` tells what a file is, ``weights convert`` converts it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from infer_segment_anything_3.cli.app import main
from infer_segment_anything_3.engine.checkpoints.reader import read_tensors
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights
from infer_segment_anything_3.tests.multiplex_file import write_multiplex_file


def test_the_bundled_file(capsys: pytest.CaptureFixture[str]) -> None:
    path = find_weights("tiny_shapes")
    assert main(["weights", "show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "layout: Meta's SAM 3" in shown
    assert "float16" in shown
    assert "works as model_name tiny_shapes: concepts yes, objects yes, video tracking yes" in shown


@pytest.mark.parametrize("with_tracker", [True, False])
def test_a_file_of_sam_3_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], with_tracker: bool
) -> None:
    path = write_multiplex_file(tmp_path, with_tracker)
    assert main(["weights", "show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "layout: SAM 3.1 (multiplex)" in shown
    assert f"objects yes, video tracking {'yes' if with_tracker else 'no'}" in shown
    assert main(["weights", "convert", str(path)]) == 2
    assert "SAM 3.1 (multiplex) has no equal in Meta's layout" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_converted_file_holds_the_same_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dtype: str
) -> None:
    state = read_tensors(find_weights("tiny_shapes"))
    part = {k.removeprefix("detector."): v for k, v in state.items() if k.startswith("detector.")}
    torch.save({"model": part}, tmp_path / "fine tuned.pt")
    out = tmp_path / "converted.safetensors"
    file = str(tmp_path / "fine tuned.pt")
    command = ["weights", "convert", file, "--to", dtype, "--out", str(out)]
    assert main(command) == 0
    assert "objects no" in capsys.readouterr().out
    written = load_file(out)
    names = {name for name in state if name.startswith("detector.") and "sam2_convs" not in name}
    assert written.keys() == names
    for name, tensor in written.items():
        expected = state[name].float()
        assert torch.equal(tensor.float(), expected.to(tensor.dtype).float()), name
        if dtype != "bfloat16":
            assert tensor.dtype == getattr(torch, dtype)
    assert main(["weights", "show", str(out)]) == 0
    kinds = {tensor.dtype for tensor in written.values()}
    assert (torch.float32 in kinds) == (dtype != "float16")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("detector.transformer.decoder.x", "lacks"),
        ("image_encoder.trunk.blocks.0.attn.qkv.weight", "SAM 2"),
    ],
)
def test_a_file_that_will_not_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, shown: str
) -> None:
    path = tmp_path / "other.safetensors"
    save_file({name: torch.zeros(3)}, path)
    assert main(["weights", "show", str(path)]) == 2
    assert shown in capsys.readouterr().err


def test_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "show", "/no/such.pt"]) == 2
    assert "/no/such.pt" in capsys.readouterr().err


def test_the_file_that_is_read_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(find_weights("tiny_shapes").read_bytes())
    before = path.read_bytes()
    assert main(["weights", "convert", str(path), "--out", str(path)]) == 2
    assert "is the file that is read" in capsys.readouterr().err
    assert path.read_bytes() == before
