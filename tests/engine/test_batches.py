"""Several images in one forward pass, and a text encoder that rests on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from infer_segment_anything_3.engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from infer_segment_anything_3.engine.checkpoints.loader import load_model
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights
from infer_segment_anything_3.engine.postprocess.nms import compute_mask_ious
from infer_segment_anything_3.engine.runtime.memory import BatchLimits
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene

CONCEPTS = ConceptPrompt(texts=("circle", "square", "triangle", "star"))
BOX = ObjectPrompt((PromptedObject(box_xyxy=(40.0, 40.0, 160.0, 160.0)),))


@pytest.fixture
def engine() -> Engine:
    """An engine of its own: nothing is in its cache."""
    return Engine(load_model("tiny_shapes", find_weights("tiny_shapes"), "cpu"), 280, "float32")


@pytest.mark.parametrize("prompt", [CONCEPTS, BOX], ids=["concepts", "box"])
def test_a_batch_gives_what_one_by_one_gives(
    engine: Engine,
    tiny_engine: Engine,
    scene: Callable[..., Scene],
    prompt: ConceptPrompt | ObjectPrompt,
) -> None:
    engine.limits = BatchLimits(images=2)
    images = [scene(seed, side_range_px=(240, 240 + 60 * seed)).image for seed in (1, 2, 3)]
    sizes: list[int] = []
    hook = engine.model.backbone.vision_backbone.trunk.register_forward_pre_hook(
        lambda _, inputs: sizes.append(len(inputs[0]))
    )
    results = engine.segment_batch(images, prompt)
    hook.remove()
    assert sizes == [2, 1]
    assert engine.encodings == 3
    for image, result in zip(images, results, strict=True):
        expected = tiny_engine.segment(image, prompt)
        assert result.image_hw == image.shape[:2]
        assert len(result.instances) == len(expected.instances) > 0
        for one, two in zip(result.instances, expected.instances, strict=True):
            assert one.score == pytest.approx(two.score, abs=1e-4)
            assert one.box_xyxy == pytest.approx(two.box_xyxy, abs=0.1)
            assert compute_mask_ious([one.mask, two.mask])[0, 1] > 0.999


def test_a_batch_uses_and_fills_the_cache(engine: Engine, scene: Callable[..., Scene]) -> None:
    engine.limits = BatchLimits(images=4)
    images = [scene(seed).image for seed in (1, 2)]
    engine.segment(images[0], CONCEPTS)
    results = engine.segment_batch([images[1], *images, images[1]], CONCEPTS)
    assert engine.encodings == 2
    assert [result.image_was_cached for result in results] == [False, True, True, True]
    engine.segment(images[1], BOX)
    assert engine.encodings == 2


def test_an_image_in_a_batch_is_refused_before_any_runs(engine: Engine) -> None:
    good = np.zeros((50, 50, 3), np.uint8)
    with pytest.raises(TypeError, match="image"):
        engine.segment_batch([good, good[..., 0]], CONCEPTS)
    assert engine.encodings == 0
    assert engine.segment_batch([], CONCEPTS) == []


def test_text_encoder_comes_back_for_new_phrases_only(
    engine: Engine, scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = engine.model.backbone.language_backbone
    moves: list[str] = []
    monkeypatch.setattr(encoder, "to", lambda device: moves.append(str(device)))
    engine.prepare_texts(["circle", "square"], rest_text_encoder=True)
    assert (moves, engine.text_encodings) == (["cpu"], 2)
    for seed in (1, 2):
        engine.segment(scene(seed).image, ConceptPrompt(texts=("square", "circle")))
    assert (moves, engine.text_encodings) == (["cpu"], 2)
    engine.segment(scene(1).image, ConceptPrompt(texts=("star",)))
    assert (moves, engine.text_encodings) == (["cpu", str(engine.device), "cpu"], 3)
