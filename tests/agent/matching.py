"""Compares what was chosen with the shapes that were drawn."""

from __future__ import annotations

from infer_segment_anything_3.agent import AgentResult
from infer_segment_anything_3.tests.helpers import compute_iou
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene, Shape


def match(result: AgentResult, scene: Scene) -> list[Shape]:
    """The drawn shapes that the chosen instances are, sorted from left to right."""
    matched = []
    for instance in result.result.instances:
        mask = instance.mask.full()
        shape = max(scene.shapes, key=lambda s: compute_iou(mask, s.mask))
        assert compute_iou(mask, shape.mask) > 0.8
        matched.append(shape)
    return sorted(matched, key=lambda s: s.xyxy[0])
