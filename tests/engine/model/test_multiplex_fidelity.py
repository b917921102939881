"""SAM 3.1's tracker gives what an independent port of it gives.

``multiplex_mlx.npz`` was made by :mod:`tools.multiplex_reference` from the port of ``mlx-vlm``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from infer_segment_anything_3.engine.model.multiplex.buckets import Buckets, BucketState
from infer_segment_anything_3.engine.model.multiplex.interactive import decode_points, encode_masks
from infer_segment_anything_3.engine.model.multiplex.tracker import FrameMaps
from infer_segment_anything_3.engine.model.patched_modules import SinePositions
from infer_segment_anything_3.tools.multiplex_scenario import (
    ARCHITECTURE,
    BIRTH_FRAME,
    CLICKS_XY,
    FRAMES,
    REMOVALS,
    STARTED,
    Scenario,
    make_scenario,
)

REFERENCE = np.load(Path(__file__).with_name("multiplex_mlx.npz"))
TOLERANCE = 1e-4
GIVEN_LOGITS = 10.0
"""The port's logits of given masks, where Meta's pipeline gives low-resolution ones."""


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return make_scenario()


def prepare(scenario: Scenario, t: int) -> tuple[list[torch.Tensor], FrameMaps]:
    heads = scenario.heads
    finest, finer, coarse = scenario.interactive[t]
    decoder = heads.sam_mask_decoder
    maps = [decoder.conv_s0(finest), decoder.conv_s1(finer), coarse]
    positions = SinePositions(ARCHITECTURE.width)(coarse)
    return maps, scenario.tracker.prepare(t, scenario.propagation[t], positions)


def resize(logits: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(logits, (side, side), mode="bilinear", align_corners=False)


def check(state: BucketState, name: str) -> None:
    """Compares the current masks: visible cells within the tolerance, and the same are visible."""
    assert state.current is not None
    logits, scores = REFERENCE[f"logits_{name}"], REFERENCE[f"scores_{name}"]
    np.testing.assert_allclose(state.current.logits[:, 0], logits, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(state.current.scores[:, 0], scores, rtol=0, atol=TOLERANCE)


@torch.inference_mode()
def test_twelve_frames_with_births_removals_and_a_second_bucket(scenario: Scenario) -> None:
    tracker, heads = scenario.tracker, scenario.heads
    state = BucketState(Buckets().add(range(STARTED)), {}, {})
    side = scenario.masks.shape[-1]
    for t in range(FRAMES):
        maps, frame = prepare(scenario, t)
        if t == 0:
            state.current = encode_masks(tracker, heads, maps, scenario.masks)
            given = (2 * scenario.masks[:, None].float() - 1) * GIVEN_LOGITS
            memory = tracker.encode(
                state.buckets, frame, state.current, given, state.current.scores
            )
            state.prompted[t] = memory
            assert state.buckets.count == 2
            continue
        state.current = found = tracker.propagate(state, frame)
        check(state, f"{t}")
        masks = resize(found.logits, ARCHITECTURE.image_size)
        if t == BIRTH_FRAME:
            born = encode_masks(tracker, heads, maps, scenario.born)
            state.buckets = state.buckets.add(range(STARTED, STARTED + len(scenario.born)))
            state.current = found.append(born)
            given = (2 * scenario.born[:, None].float() - 1) * GIVEN_LOGITS
            masks = torch.cat([resize(masks, side), given])
        current = state.current
        state.tracked[t] = tracker.encode(state.buckets, frame, current, masks, current.scores)
        if t in REMOVALS:
            state.remove(set(REMOVALS[t]))
        tracker.prune(state, t)
    assert (len(state.buckets.ids), state.buckets.count) == (14, 1)


@torch.inference_mode()
def test_objects_that_are_clicked(scenario: Scenario) -> None:
    tracker = scenario.tracker
    state = BucketState(Buckets().add(range(len(CLICKS_XY))), {}, {})
    for t in range(5):
        maps, frame = prepare(scenario, t)
        if t == 0:
            points = torch.tensor(CLICKS_XY)[:, None]
            labels = torch.ones(len(points), 1, dtype=torch.int32)
            found = decode_points(tracker, scenario.heads, maps, points, labels, None)
        else:
            found = tracker.propagate(state, frame)
        state.current = found
        check(state, f"clicks_{t}")
        masks = resize(found.logits, ARCHITECTURE.image_size)
        memories = state.prompted if t == 0 else state.tracked
        memories[t] = tracker.encode(state.buckets, frame, found, masks, found.scores)


def test_the_scenario_is_one_that_could_differ() -> None:
    """Masks have pixels and differ between objects; some objects are not visible, none just so."""
    scores = np.concatenate([REFERENCE[f"scores_{t}"] for t in range(1, FRAMES)])
    assert 0.7 < (scores > 0).mean() < 0.9
    assert np.abs(scores).min() > 5 * TOLERANCE
    visible = [REFERENCE[f"logits_{t}"][REFERENCE[f"scores_{t}"] > 0] for t in range(1, FRAMES)]
    logits = np.concatenate(visible)
    assert 0.2 < (logits > 0).mean() < 0.8
    assert np.ptp(visible[0], axis=0).max() > 0.1
