"""The engine: what it computes again, what it shares, what it refuses."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from infer_segment_anything_3.engine import (
    ConceptPrompt,
    Engine,
    ObjectPrompt,
    PromptedObject,
    Result,
)
from infer_segment_anything_3.engine.postprocess.masks import (
    upscale_logit_masks,
    upscale_probability_masks,
)
from infer_segment_anything_3.engine.runtime.memory import BatchLimits
from infer_segment_anything_3.tests.helpers import count_forward_passes
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene, draw_scene

DrawScene = Callable[..., Scene]


@pytest.fixture
def fresh_engine(tiny_engine: Engine) -> Engine:
    """An engine of its own around the shared model, with empty caches and counters."""
    return Engine(tiny_engine.model, tiny_engine.image_size, "float32")


def click(x: float, y: float) -> ObjectPrompt:
    return ObjectPrompt((PromptedObject(points_xy=((x, y),)),))


def same(one: Result, other: Result) -> bool:
    return [(i.class_index, i.score, i.box_xyxy) for i in one.instances] == [
        (i.class_index, i.score, i.box_xyxy) for i in other.instances
    ] and all(
        np.array_equal(a.mask.full(), b.mask.full())
        for a, b in zip(one.instances, other.instances, strict=True)
    )


def test_an_image_is_encoded_once_for_every_kind_of_prompt(
    fresh_engine: Engine, scene: DrawScene
) -> None:
    image = scene(1).image
    prompts: list[Any] = [
        ConceptPrompt(("circle",)),
        ConceptPrompt(("circle", "star"), confidence_threshold=0.1),
        ConceptPrompt(exemplars_xyxy=((10.0, 10.0, 60.0, 60.0),)),
        click(20, 30),
        ObjectPrompt((PromptedObject(box_xyxy=(5.0, 5.0, 90.0, 90.0)),), multimask=True),
    ]
    results = [fresh_engine.segment(image.copy(), prompt) for prompt in prompts]
    assert fresh_engine.encodings == 1
    assert [r.image_was_cached for r in results] == [False, True, True, True, True]


def test_a_changed_pixel_is_another_image(fresh_engine: Engine, scene: DrawScene) -> None:
    image = scene(1).image
    fresh_engine.segment(image, click(5, 5))
    image[0, 0, 0] ^= 1
    fresh_engine.segment(image, click(5, 5))
    assert fresh_engine.encodings == 2


def test_a_text_is_encoded_once_for_every_image(fresh_engine: Engine, scene: DrawScene) -> None:
    for seed in range(3):
        fresh_engine.segment(scene(seed).image, ConceptPrompt(("circle", "star")))
    assert (fresh_engine.encodings, fresh_engine.text_encodings) == (3, 2)


@pytest.fixture
def calls(fresh_engine: Engine) -> Iterator[Counter[str]]:
    with count_forward_passes(fresh_engine.model) as counts:
        yield counts


def test_another_threshold_runs_no_network(
    fresh_engine: Engine, scene: DrawScene, calls: Counter[str]
) -> None:
    drawn = scene(2)
    text = drawn.shapes[0].kind
    first = fresh_engine.segment(drawn.image, ConceptPrompt((text,), confidence_threshold=0.5))
    assert first.instances
    calls.clear()
    for threshold in (0.1, 0.3, 0.7, 0.95):
        result = fresh_engine.segment(
            drawn.image, ConceptPrompt((text,), confidence_threshold=threshold)
        )
        assert all(i.score > threshold for i in result.instances)
    assert calls == {}


@pytest.mark.parametrize("first", [0.999, 0.5])
def test_a_threshold_runs_at_most_the_mask_head(
    fresh_engine: Engine, scene: DrawScene, calls: Counter[str], first: float
) -> None:
    drawn = scene(2)
    text = drawn.shapes[0].kind
    fresh_engine.segment(drawn.image, ConceptPrompt((text,), confidence_threshold=first))
    calls.clear()
    for threshold in (0.5, 0.001, 0.3):
        fresh_engine.segment(drawn.image, ConceptPrompt((text,), confidence_threshold=threshold))
    assert set(calls) == {"mask head"}


def test_an_absent_concept_skips_the_mask_head(
    fresh_engine: Engine, scene: DrawScene, calls: Counter[str]
) -> None:
    result = fresh_engine.segment(scene(3).image, ConceptPrompt(("zebra",)))
    assert result.instances == ()
    assert calls == {"image encoder": 1, "text encoder": 1, "decoder": 1}


def test_a_lower_threshold_than_ever_gives_the_same_as_at_once(
    fresh_engine: Engine, scene: DrawScene
) -> None:
    drawn = scene(4)
    low = ConceptPrompt((drawn.shapes[0].kind,), confidence_threshold=0.001)
    at_once = fresh_engine.segment(drawn.image, low)
    fresh_engine.image_cache.clear()
    fresh_engine.segment(drawn.image, ConceptPrompt((drawn.shapes[0].kind,)))
    assert same(fresh_engine.segment(drawn.image, low), at_once)


def test_the_cache_is_bounded_in_images_and_in_bytes(
    fresh_engine: Engine, scene: DrawScene
) -> None:
    cache = fresh_engine.image_cache
    cache.max_items = 3
    for seed in range(5):
        fresh_engine.segment(scene(seed).image, click(5, 5))
    assert len(cache) == 3
    cache.max_bytes = cache.nbytes // 2
    fresh_engine.segment(scene(9).image, click(5, 5))
    assert len(cache) < 3
    assert cache.nbytes <= cache.max_bytes


def test_engines_are_shared_and_freed_with_their_last_holder(tmp_path: Any) -> None:
    from infer_segment_anything_3.engine.checkpoints.zoo import MODELS

    copy = tmp_path / "copy of tiny shapes.safetensors"
    bundled = MODELS["tiny_shapes"].bundled_path
    assert bundled is not None
    copy.write_bytes(bundled.read_bytes())
    first = Engine.load("tiny_shapes", copy, device="cpu", precision="float32")
    second = Engine.load("tiny_shapes", str(copy), device="cpu", precision="float32")
    assert first is second
    assert Engine.load("tiny_shapes", copy, device="cpu", precision="bfloat16") is not first
    model = weakref.ref(first.model)
    del first
    gc.collect()
    assert model() is not None
    del second
    gc.collect()
    assert model() is None


def test_threads_get_the_answers_they_would_get_alone(fresh_engine: Engine) -> None:
    scenes = [draw_scene(np.random.default_rng(i), (200, 260)) for i in range(4)]

    def ask(drawn: Scene) -> list[Result]:
        left, top, right, bottom = (float(v) for v in drawn.shapes[0].xyxy)
        box = PromptedObject(box_xyxy=(left, top, right, bottom))
        return [
            fresh_engine.segment(drawn.image, ConceptPrompt((drawn.shapes[0].kind,))),
            fresh_engine.segment(drawn.image, click((left + right) / 2, (top + bottom) / 2)),
            fresh_engine.segment(drawn.image, ObjectPrompt((box,), multimask=True)),
        ]

    alone = [ask(drawn) for drawn in scenes]
    wrong: list[int] = []

    def check(index: int) -> None:
        for _ in range(5):
            answers = ask(scenes[index])
            if not all(same(a, b) for a, b in zip(answers, alone[index], strict=True)):
                wrong.append(index)

    threads = [threading.Thread(target=check, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("percent", [10, 35, 100])
def test_a_shrunk_input_keeps_size_and_coordinates(tiny_engine: Engine, percent: int) -> None:
    drawn = draw_scene(np.random.default_rng(5), (700, 900), count_range=(3, 3))
    shape = drawn.shapes[0]
    left, top, right, bottom = (float(v) for v in shape.xyxy)
    prompt = ObjectPrompt((PromptedObject(box_xyxy=(left, top, right, bottom)),))
    (found,) = tiny_engine.segment(drawn.image, prompt, input_size_percent=percent).instances
    mask = found.mask.full()
    assert mask.shape == drawn.image.shape[:2]
    overlap = np.count_nonzero(mask & shape.mask) / np.count_nonzero(mask | shape.mask)
    assert overlap > (0.6 if percent == 10 else 0.8)


@pytest.mark.parametrize("when", ["encode", "objects", "concept: circle"])
def test_a_run_ended_by_its_callback_leaves_the_engine_usable(
    fresh_engine: Engine, scene: DrawScene, when: str
) -> None:
    image = scene(6).image
    prompt = click(9, 9) if when == "objects" else ConceptPrompt(("circle", "star"))
    expected = fresh_engine.segment(image, prompt)

    def end(step: str) -> None:
        if step == when:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fresh_engine.segment(image, prompt, on_step=end)
    assert same(fresh_engine.segment(image, prompt), expected)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        [[0]],
    ],
)
def test_what_is_no_rgb_image_is_refused(tiny_engine: Engine, image: Any) -> None:
    with pytest.raises(TypeError, match=r"^image: expected"):
        tiny_engine.segment(image, click(0, 0))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"model_name": "sam4"}, "model_name"), ({"precision": "float8"}, "precision")],
)
def test_unknown_names_are_refused(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        Engine.load(**{"model_name": "tiny_shapes", **arguments})


def test_inputs_are_never_written_to(tiny_engine: Engine, scene: DrawScene) -> None:
    image = scene(7).image
    image.flags.writeable = False
    before = image.copy()
    tiny_engine.segment(image, ConceptPrompt(("circle",)))
    tiny_engine.segment(np.asfortranarray(image), click(3, 3))
    assert np.array_equal(image, before)


@pytest.mark.parametrize("height", [5, 24])
def test_candidates_of_one_object_are_upscaled_as_the_package_does(height: int) -> None:
    logits = torch.randn(3, height, height, generator=torch.Generator().manual_seed(1)) * 1e-6
    theirs = torch.nn.functional.interpolate(logits[None], (301, 203), mode="bilinear")[0] > 0
    ours = list(upscale_logit_masks(logits, (301, 203), of_one_object=True))
    assert all(np.array_equal(m.full(), t.numpy()) for m, t in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    "make",
    [
        upscale_logit_masks,
        functools.partial(upscale_logit_masks, of_one_object=True),
        upscale_probability_masks,
    ],
)
def test_chunks_do_not_change_masks(make: Any) -> None:
    import torch

    logits = torch.randn(7, 24, 24, generator=torch.Generator().manual_seed(0))
    at_once = list(make(logits, (301, 203)))
    in_chunks = list(make(logits, (301, 203), chunk_bytes=1))
    for one, other in zip(at_once, in_chunks, strict=True):
        assert np.array_equal(one.full(), other.full())


@pytest.mark.parametrize(
    ("part", "prompt", "what"),
    [
        ("dot_prod_scoring.prompt_proj.bias", ConceptPrompt(("circle",)), "scores"),
        (
            "segmentation_head.instance_seg_head.bias",
            ConceptPrompt(("circle",), confidence_threshold=0.0),
            "mask logits",
        ),
        (
            "inst_interactive_predictor.model.sam_mask_decoder.iou_token.weight",
            click(20, 30),
            "masks and scores",
        ),
    ],
)
def test_weights_that_are_not_numbers_end_the_run_with_their_name(
    tmp_path: Any, scene: DrawScene, part: str, prompt: Any, what: str
) -> None:
    from infer_segment_anything_3.engine.checkpoints.errors import NonFiniteOutputError
    from infer_segment_anything_3.engine.checkpoints.writer import save_weights

    path = tmp_path / "broken.safetensors"
    save_weights(Engine.load("tiny_shapes", device="cpu").model.state_dict(), path)
    engine = Engine.load("tiny_shapes", path, device="cpu", precision="float32")
    parameter = dict(engine.model.named_parameters())[part]
    parameter.data = torch.full_like(parameter, float("nan"))
    with pytest.raises(NonFiniteOutputError, match=rf"broken\.safetensors: the model's {what} "):
        engine.segment(scene(1).image, prompt)


def test_concepts_of_one_forward_are_counted_and_freed_one_by_one(
    tiny_engine: Engine, scene: DrawScene
) -> None:
    texts = ("circle", "star", "square", "triangle")
    image = scene(2).image
    sizes = []
    for concepts in (1, 4):
        engine = Engine(tiny_engine.model, tiny_engine.image_size, "float32")
        engine.limits = BatchLimits(concepts=concepts)
        engine.segment(image, ConceptPrompt(texts))
        sizes.append(engine.image_cache.nbytes)
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)
