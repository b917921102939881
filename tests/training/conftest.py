"""A small drawn data set, and a training of a few steps on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")
pytest.importorskip("torchmetrics")
pytest.importorskip("transformers")

from infer_segment_anything_3.tools.tiny_shapes.data_set import draw_data_set
from infer_segment_anything_3.training.observer import TrainingObserver
from infer_segment_anything_3.training.run import FinetuneResult, finetune

STEPS = 4


class StopAfter(TrainingObserver):
    """Stops after a step, and keeps what it was told."""

    def __init__(self, step: int = 0) -> None:
        self.stop_at, self.sentences, self.steps = step, list[str](), list[Any]()

    def tell(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def step(self, progress: Any) -> None:
        self.steps.append(progress)

    def should_stop(self) -> bool:
        return bool(self.stop_at) and self.steps[-1].step == self.stop_at


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    draw_data_set(folder, 5, side_range_px=(200, 260))
    (folder / "words.txt").write_text("red shape\nzebra\nblue shape\n")
    return folder


Train = Callable[..., FinetuneResult]


@pytest.fixture(scope="session")
def train(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    features = tmp_path_factory.mktemp("features")

    def run(out: Path, **options: Any) -> FinetuneResult:
        chosen = {
            "model": "tiny_shapes",
            "steps": STEPS,
            "score_every": 2,
            "mirror": False,
            "prompts": 5,
            "words": str(scenes / "words.txt"),
            "features": str(features),
            "rename": {"star": "yellow thing"},
            **options,
        }
        return finetune(scenes / "annotations.json", scenes, out, **chosen)

    return run


@pytest.fixture(scope="session")
def trained(train: Train, tmp_path_factory: pytest.TempPathFactory) -> FinetuneResult:
    return train(tmp_path_factory.mktemp("trained") / "out")
