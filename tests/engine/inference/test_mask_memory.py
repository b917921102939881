"""Masks of a large image are made within bounds, and those kept for later are bounded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from infer_segment_anything_3.benchmarks.memory import run_upscaling
from infer_segment_anything_3.benchmarks.timing import call_in_process
from infer_segment_anything_3.engine import ConceptPrompt, Engine
from infer_segment_anything_3.engine.inference import concept_output
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene

MIB = 1024**2


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's /proc")
def test_24_megapixels_take_little_more_than_the_masks_handed_out() -> None:
    measured = call_in_process(run_upscaling, 12)
    assert measured.instances == 12
    # One mask at a time in float32, its threshold and its crop; at once they are 1.2 GB.
    assert measured.added <= 350 * MIB


@pytest.fixture
def asked(tiny_engine: Engine, scene: Callable[..., Scene]) -> tuple[Engine, Scene, str]:
    drawn = scene(2)
    return Engine(tiny_engine.model, tiny_engine.image_size, "float32"), drawn, drawn.shapes[0].kind


def test_a_moved_threshold_makes_only_the_masks_that_are_new(
    asked: tuple[Engine, Scene, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, drawn, text = asked
    made: list[int] = []
    original = concept_output.upscale_probability_masks

    def counted(logits, *arguments):
        made.append(len(logits))
        return original(logits, *arguments)

    monkeypatch.setattr(concept_output, "upscale_probability_masks", counted)
    every = engine.segment(drawn.image, ConceptPrompt((text,), confidence_threshold=0.0)).instances
    middle = every[len(every) // 2].score
    engine.image_cache.clear()
    made.clear()
    for threshold in (middle, 0.99, middle, 0.0, middle):
        engine.segment(drawn.image, ConceptPrompt((text,), confidence_threshold=threshold))
    assert sum(made) == len(every)


def test_masks_of_answers_cannot_change_those_of_later_ones(
    asked: tuple[Engine, Scene, str],
) -> None:
    engine, drawn, text = asked
    prompt = ConceptPrompt((text,))
    first = engine.segment(drawn.image, prompt).instances[0].mask
    before = first.full()
    first.crop[:] = False
    again = engine.segment(drawn.image, prompt).instances[0].mask
    assert before.any()
    assert np.array_equal(again.full(), before)


def test_as_many_masks_are_kept_as_there_is_room_for(
    asked: tuple[Engine, Scene, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, drawn, _ = asked
    prompt = ConceptPrompt(("shape", "star"), confidence_threshold=0.0)
    sizes = [-(-i.mask.crop.size // 8) for i in engine.segment(drawn.image, prompt).instances]
    first_of_each_text = [sizes[0], sizes[25]]
    engine.image_cache.clear()
    monkeypatch.setattr(concept_output, "MAX_FINISHED_BYTES", 0)
    engine.segment(drawn.image, prompt)
    without = engine.image_cache.nbytes
    engine.image_cache.clear()
    monkeypatch.setattr(concept_output, "MAX_FINISHED_BYTES", max(first_of_each_text))
    engine.segment(drawn.image, prompt)
    kept = engine.image_cache.nbytes - without
    assert sum(first_of_each_text) <= kept <= 2 * max(first_of_each_text)


def test_masks_beyond_the_bound_are_not_kept(
    asked: tuple[Engine, Scene, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, drawn, text = asked
    monkeypatch.setattr(concept_output, "MAX_FINISHED_BYTES", 0)
    before = engine.image_cache.nbytes
    first = engine.segment(drawn.image, ConceptPrompt((text,)))
    without = engine.image_cache.nbytes
    monkeypatch.undo()
    second = engine.segment(drawn.image, ConceptPrompt((text,)))
    kept = sum(-(-instance.mask.crop.size // 8) for instance in first.instances)
    assert before < without == engine.image_cache.nbytes - kept
    for one, other in zip(first.instances, second.instances, strict=True):
        assert np.array_equal(one.mask.full(), other.mask.full())
