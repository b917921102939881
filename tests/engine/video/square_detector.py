"""A detector that finds what it is told, to test which detections start tracks."""

from __future__ import annotations

import pytest
import torch

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.engine.video.detections import ConceptDetector

SIDE = 8
"""Cells along a side of the grid on which a crowd stands."""


class SquareDetector:
    """Finds squares that it is told of, in place of the model: it finds 25 of a concept at most.

    Attributes:
        scores: Score of each, by its cell of the grid.
    """

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scores: dict[int, float] = {}
        self._grid = 4 * engine.model.inst_interactive_predictor.model.sam_image_embedding_size
        monkeypatch.setattr(ConceptDetector, "detect", lambda *_: ([self._detect()], [None], ()))

    def _detect(self) -> dict[str, torch.Tensor]:
        count = len(self.scores)
        masks = torch.full((count, self._grid, self._grid), -10.0)
        cell = self._grid // SIDE
        for mask, place in zip(masks, self.scores, strict=True):
            top, left = (cell * k + 1 for k in divmod(place, SIDE))
            mask[top : top + cell - 2, left : left + cell - 2] = 10
        scores = torch.tensor(list(self.scores.values()))
        return {"scores": scores, "bbox": self._make_boxes(), "mask": masks}

    def _make_boxes(self) -> torch.Tensor:
        corners = [(place % SIDE, place // SIDE) for place in self.scores]
        boxes = [(x, y, x + 1, y + 1) for x, y in corners]
        return torch.tensor(boxes, dtype=torch.float32).view(-1, 4) / SIDE
