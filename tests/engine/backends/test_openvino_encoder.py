"""OpenVINO's image encoder gives what PyTorch's gives."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from infer_segment_anything_3.cli.app import main
from infer_segment_anything_3.engine import (
    ConceptPrompt,
    Engine,
    ObjectPrompt,
    PromptedObject,
    VideoSession,
)
from infer_segment_anything_3.engine.backends import converted_files
from infer_segment_anything_3.engine.backends.choice import check_backend
from infer_segment_anything_3.engine.checkpoints.reader import read_tensors
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights
from infer_segment_anything_3.engine.model.precision import resolve_precision
from infer_segment_anything_3.tests.engine.video.clips import BLUE, Ball, draw_clip
from infer_segment_anything_3.tests.helpers import compute_iou
from infer_segment_anything_3.tests.multiplex_file import write_multiplex_file
from infer_segment_anything_3.tools.tiny_shapes.heldout import concepts, objects
from infer_segment_anything_3.tools.tiny_shapes.heldout.matching import HELD_OUT_SEED
from infer_segment_anything_3.tools.tiny_shapes.scenes import draw_scene

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("openvino")
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _use_cache(cache_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))


def load(precision: str = "float32", weight_file: Path | None = None, size: int = 280) -> Engine:
    return Engine.load("tiny_shapes", weight_file, "cpu", precision, size, "openvino")


def get_maps(engine: Engine, image: torch.Tensor) -> list[torch.Tensor]:
    with engine.execution.step():
        found = engine.model.backbone.forward_image(image)
    return [*found["backbone_fpn"], *found["sam2_backbone_out"]["backbone_fpn"]]


@pytest.mark.parametrize(("precision", "error"), [("float32", 1e-5), ("bfloat16", 0.01)])
def test_feature_maps(tiny_engine: Engine, precision: str, error: float) -> None:
    images = torch.randn(2, 3, 280, 280, generator=torch.Generator().manual_seed(0))
    for ours, theirs in zip(
        get_maps(load(precision), images), get_maps(tiny_engine, images), strict=True
    ):
        assert ours.shape == theirs.shape
        assert ours.dtype == getattr(torch, precision)
        assert (ours.float() - theirs).norm() / theirs.norm() < error


def test_results_are_those_of_pytorch(tiny_engine: Engine) -> None:
    engine = load()
    assert engine is load(), "the engine is shared"
    assert engine is not tiny_engine
    for seed in range(3):
        scene = draw_scene(np.random.default_rng(seed), (240, 300))
        for prompt in (
            ConceptPrompt(texts=("circle", "square", "triangle", "star")),
            ObjectPrompt((PromptedObject(box_xyxy=tuple(scene.shapes[0].xyxy)),)),
        ):
            ours, other = (e.segment(scene.image, prompt).instances for e in (tiny_engine, engine))
            assert len(ours) == len(other)
            for one, two in zip(ours, other, strict=True):
                assert one.score == pytest.approx(two.score, abs=1e-4)
                assert (one.mask.full() != two.mask.full()).sum() <= 2


def test_a_video_is_followed_as_by_pytorch(tiny_engine: Engine) -> None:
    frames = draw_clip([Ball((60, 70), (4, 2), 30), Ball((260, 150), (-4, -1), 26, BLUE)], 3)
    sessions = [
        VideoSession(engine, ConceptPrompt(("red circle", "blue circle")))
        for engine in (load(), tiny_engine)
    ]
    for frame in frames:
        converted, own = (session.step(frame) for session in sessions)
        assert [i.track_id for i in converted.instances] == [i.track_id for i in own.instances]
        for a, b in zip(converted.instances, own.instances, strict=True):
            assert compute_iou(a.mask.full(), b.mask.full()) > 0.97


def test_the_tracker_of_sam_3_1_is_refused(tmp_path: Path) -> None:
    engine = load(weight_file=write_multiplex_file(tmp_path, with_tracker=True))
    assert engine.segment(
        draw_scene(np.random.default_rng(0), (240, 300)).image, ConceptPrompt(("circle", "square"))
    ).best_scores
    with pytest.raises(ValueError, match=r"backend: openvino does not run SAM 3\.1's tracker"):
        VideoSession(engine, ConceptPrompt(("circle",)))


@pytest.mark.parametrize("size", [112])
def test_other_input_sizes(size: int) -> None:
    torch_engine = Engine.load("tiny_shapes", None, "cpu", "float32", size)
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    for ours, theirs in zip(
        get_maps(load(size=size), image), get_maps(torch_engine, image), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("kind", ["detector", "multiplex"])
def test_files_without_some_necks(tmp_path: Path, kind: str) -> None:
    if kind == "multiplex":
        path = write_multiplex_file(tmp_path)
    else:
        state = read_tensors(find_weights("tiny_shapes"))
        path = tmp_path / "detector.pt"
        torch.save({k: v for k, v in state.items() if k.startswith("detector.")}, path)
    prompt = ConceptPrompt(texts=("circle",))
    image = draw_scene(np.random.default_rng(0), (240, 300)).image
    scores = [
        [instance.score for instance in engine.segment(image, prompt).instances]
        for engine in (load(weight_file=path), Engine.load("tiny_shapes", path, "cpu", "float32"))
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_it_is_converted_once_for_both_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    load()
    before = {file.path for file in converted_files.list_converted()}
    monkeypatch.setattr(
        "infer_segment_anything_3.engine.backends.openvino_encoder.convert_encoder", None
    )
    load("bfloat16")
    assert {file.path for file in converted_files.list_converted()} == before


def test_nothing_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``openvino.convert_model`` would send events of its use, from another process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("openvino_telemetry.main.Telemetry.__init__", None)
    tracker = tmp_path / "tiny.pt"
    torch.save(dict(read_tensors(find_weights("tiny_shapes"))), tracker)
    load(weight_file=tracker)
    assert len(converted_files.list_converted()) == 1


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="backend: expected one of torch, openvino, got 'onnx'"):
        check_backend("onnx", CPU)
    with pytest.raises(ValueError, match="backend: openvino runs on a CPU only, not on cuda"):
        check_backend("openvino", torch.device("cuda"))
    with pytest.raises(ValueError, match="backend: expected torch to compile"):
        load().compile()
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r"pip install 'infer_segment_anything_3\[openvino\]'"):
        load()


def test_the_command_line_takes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkout: Path
) -> None:
    scene = checkout / "examples" / "scene.png"
    command = ["segment", str(scene), "--text", "star", "--model", "tiny_shapes", "--device", "cpu"]
    assert main([*command, "--backend", "openvino"]) == 0
    assert main([*command, "--backend", "tensorflow"]) == 2
    assert "backend: expected one of torch, openvino" in capsys.readouterr().err


@pytest.mark.slow
def test_held_out_scores() -> None:
    """Over 300 scenes: bfloat16 where the processor has it, float32 elsewhere."""
    scores = {}
    for backend, precision in (("torch", "float32"), ("openvino", resolve_precision("auto", CPU))):
        engine = Engine.load("tiny_shapes", None, "cpu", precision, "auto", backend)
        scores[backend] = concepts.measure_concepts(engine, HELD_OUT_SEED, 300)
        scores[backend] |= objects.measure_clicks_and_boxes(engine, HELD_OUT_SEED, 300)
    for name, score in scores["torch"].items():
        assert scores["openvino"][name] == pytest.approx(score, abs=0.003), name
