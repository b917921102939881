"""Exemplar boxes: those of the first frame find what is like them on every frame."""

from __future__ import annotations

import numpy as np
import pytest

from infer_segment_anything_3.engine import ConceptPrompt, Engine, VideoSession
from infer_segment_anything_3.tools.sam3_video_package import PackageVideo

from .clips import BLUE, GREEN, RED, Ball, draw_clip

BOX = (34.0, 44.0, 86.0, 96.0)
HW = (240, 320)


def test_on_their_own_frame_they_are_the_packages(tiny_engine: Engine) -> None:
    frames = draw_clip([Ball((60, 70)), Ball((250, 170), color=BLUE)], 2)
    left, top, right, bottom = BOX
    xywh = (left / HW[1], top / HW[0], (right - left) / HW[1], (bottom - top) / HW[0])
    theirs = PackageVideo(tiny_engine, frames).prompt_box(xywh)
    session = VideoSession(tiny_engine, ConceptPrompt(exemplars_xyxy=(BOX,)))
    ours = session.step(frames[0])
    assert [i.track_id for i in ours.instances] == theirs["out_obj_ids"].tolist()
    assert ours.instances and ours.class_names == ("exemplar",)
    for row, instance in enumerate(ours.instances):
        assert np.array_equal(instance.mask.full(), theirs["out_binary_masks"][row])
        assert instance.score == pytest.approx(float(theirs["out_probs"][row]), abs=1e-4)


@pytest.mark.parametrize(
    ("exemplars", "labels"),
    [
        pytest.param((BOX,), (), id="one"),
        pytest.param((BOX, (224.0, 144.0, 276.0, 196.0)), (1, 0), id="one and one negative"),
    ],
)
def test_on_later_frames_they_find_what_enters(
    tiny_engine: Engine,
    exemplars: tuple[tuple[float, float, float, float], ...],
    labels: tuple[int, ...],
) -> None:
    entering = Ball((170, 60), radius=28, color=RED, frames=(2, 9))
    balls = [Ball((60, 70)), Ball((250, 170), color=GREEN), entering]
    prompt = ConceptPrompt(
        exemplars_xyxy=exemplars, exemplar_labels=labels, confidence_threshold=0.4
    )
    session = VideoSession(tiny_engine, prompt)
    for t, frame in enumerate(draw_clip(balls, 4)):
        found = [i.mask.full() for i in session.step(frame).instances]
        if t == 2:
            x, y = entering.start_xy
            assert any(mask[int(y), int(x)] for mask in found)
