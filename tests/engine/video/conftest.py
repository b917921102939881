"""An engine for behavior on videos."""

from __future__ import annotations

import pytest
import torch

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.engine.checkpoints.loader import load_model
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights
from infer_segment_anything_3.tests.multiplex_file import write_multiplex_file


@pytest.fixture(scope="session")
def sure_engine() -> Engine:
    """The bundled model whose tracker is sure that each object is there, whatever it learned."""
    model = load_model("tiny_shapes", find_weights("tiny_shapes"), "cpu")
    head = model.inst_interactive_predictor.model.sam_mask_decoder.pred_obj_score_head
    with torch.no_grad():
        head.layers[-1].bias.fill_(6.0)
    return Engine(model, model.inst_interactive_predictor.model.image_size, "float32")


@pytest.fixture(scope="session")
def multiplex_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The bundled model with SAM 3.1's tracker, whose weights are random.

    Its masks are no objects; what sessions promise holds for any mask.
    """
    path = write_multiplex_file(tmp_path_factory.mktemp("multiplex"), with_tracker=True)
    return Engine.load("tiny_shapes", path, "cpu", "float32")
