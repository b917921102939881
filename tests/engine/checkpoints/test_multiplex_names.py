"""Every tensor of Meta's ``sam3.1_multiplex.pt`` has its place in the model.

``sam3.1_names.txt`` lists its 1,623 names and shapes; ``{4}`` stands for 0, 1, 2 and 3.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.engine.checkpoints import errors as weight_errors
from infer_segment_anything_3.engine.checkpoints import loader
from infer_segment_anything_3.engine.checkpoints.layouts import (
    convert_to_model_names,
    recognize_layout,
)
from infer_segment_anything_3.engine.checkpoints.zoo import MODELS, find_weights
from infer_segment_anything_3.engine.model.build import build_model_without_weights
from infer_segment_anything_3.engine.model.config import SAM3, TINY_SHAPES
from infer_segment_anything_3.tests.multiplex_file import make_random_tracker, write_multiplex_file

NAMES = Path(__file__).with_name("sam3.1_names.txt")


def read_shapes() -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of the file."""
    rows = (line.split() for line in NAMES.read_text().splitlines())
    return {name: tuple(map(int, shape)) for row, *shape in rows for name in expand(row)}


def expand(name: str) -> list[str]:
    found = re.search(r"\{(\d+)\}", name)
    if found is None:
        return [name]
    return [n for k in range(int(found[1])) for n in expand(name.replace(found[0], str(k), 1))]


def test_every_tensor_of_the_file_finds_its_place() -> None:
    shapes = read_shapes()
    assert len(shapes) == 1623
    layout = recognize_layout(shapes, Path("sam3.1_multiplex.pt"))
    given = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    state = convert_to_model_names(given, layout)
    assert len(state) == len(shapes), "no tensor is left over"
    model = build_model_without_weights(dataclasses.replace(SAM3, **layout.architecture_changes))
    loader._remove_missing_parts(model, state, "the file")
    needed = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert {name: tensor.shape for name, tensor in state.items()} == needed


def test_a_file_with_half_of_the_tracker_is_refused(tmp_path: Path) -> None:
    path = write_multiplex_file(tmp_path, with_tracker=True)
    tensors = loader.read_tensors(path)
    del tensors["tracker.model.output_valid_embed"]
    path = tmp_path / "half.pt"
    torch.save({"model": tensors}, path)
    with pytest.raises(weight_errors.MissingKeysError, match=r"multiplex\.output_valid_embed"):
        loader.load_model("tiny_shapes", path, "cpu")


def test_a_loaded_tracker_has_the_files_weights(tmp_path: Path) -> None:
    path = write_multiplex_file(tmp_path, with_tracker=True)
    engine = Engine.load("tiny_shapes", path, "cpu", "float32")
    own = engine.model.multiplex.state_dict()
    for name, tensor in make_random_tracker().items():
        assert torch.equal(own[name.removeprefix("tracker.model.")], tensor)
    convs = engine.model.backbone.vision_backbone
    for one, two in zip(convs.propagation_convs, convs.sam2_convs, strict=True):
        torch.testing.assert_close(one.conv_3x3.bias, two.conv_3x3.bias + 0.01, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("model_name", "is_multiplex", "said"),
    [
        ("sam3", False, ""),
        ("sam3.1", True, ""),
        ("sam3", True, "sam3 was asked for, and .* is a file of SAM 3.1; it is used as what it is"),
        ("sam3.1", False, "sam3.1 was asked for, and .* is a file of SAM 3; "),
        ("tiny_shapes", True, ""),
    ],
)
def test_a_name_that_is_not_the_files_is_told_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    model_name: str,
    is_multiplex: bool,
    said: str,
) -> None:
    spec = dataclasses.replace(MODELS[model_name], architecture=TINY_SHAPES, input_sizes=(280,))
    monkeypatch.setitem(MODELS, model_name, spec)
    path = find_weights("tiny_shapes")
    if is_multiplex:
        path = write_multiplex_file(tmp_path, with_tracker=True)
    engines = [Engine.load(model_name, path, "cpu", "float32") for _ in range(2)]
    assert engines[0] is engines[1]
    assert (engines[0].model.multiplex is not None) == is_multiplex
    assert loader.supports_video(engines[0].model)
    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(told) == bool(said)
    assert all(re.search(f"model_name: {said}", text) for text in told)
