"""Exemplars in another picture find what is like them in the one that is searched."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from infer_segment_anything_3.engine import ConceptPrompt, Engine, ReferenceImage, VideoSession
from infer_segment_anything_3.engine.checkpoints.loader import load_model
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights
from infer_segment_anything_3.engine.export.coco import to_coco
from infer_segment_anything_3.engine.runtime.memory import BatchLimits
from infer_segment_anything_3.tests.helpers import compute_iou
from infer_segment_anything_3.tools.tiny_shapes.scenes import EXTENT_RANGE, Canvas, Scene, Shape

HW = (300, 360)
GOOD_IOU = 0.7


def draw(seed: int, *looks: str) -> Scene:
    """A scene with one shape of each look, such as ``red circle``."""
    canvas = Canvas(np.random.default_rng(seed), HW)
    for look in looks:
        color, kind = look.split()
        pixels = canvas.find_free_place(kind, (EXTENT_RANGE[0] + 0.06, 0.3))
        assert pixels is not None
        canvas.add(color, kind, pixels)
    return canvas.scene()


def get_box(shape: Shape) -> tuple[float, float, float, float]:
    left, top, right, bottom = shape.xyxy.tolist()
    return left, top, right, bottom


def find(engine: Engine, scene: Scene, prompt: ConceptPrompt, **options: Any) -> list[int]:
    """Index of the shape that each instance covers, sorted; -1 for none."""
    found = []
    for instance in engine.segment(scene.image, prompt, **options).instances:
        ious = [compute_iou(instance.mask.full(), shape.mask) for shape in scene.shapes]
        found.append(int(np.argmax(ious)) if max(ious) >= GOOD_IOU else -1)
    return sorted(found)


REFERENCE = draw(1, "red circle", "blue square", "green star")
TARGET = draw(2, "red circle", "blue square", "red circle", "yellow triangle")
CIRCLE, SQUARE = (get_box(shape) for shape in REFERENCE.shapes[:2])
CIRCLES = ConceptPrompt(exemplars_xyxy=(CIRCLE,), reference=ReferenceImage(REFERENCE.image))
SQUARES = dataclasses.replace(CIRCLES, exemplars_xyxy=(SQUARE,))


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine of its own: nothing is in its caches."""
    yield Engine(load_model("tiny_shapes", find_weights("tiny_shapes"), "cpu"), 280, "float32")


@pytest.mark.parametrize(
    ("texts", "exemplars", "labels"),
    [
        pytest.param((), (CIRCLE,), (), id="one exemplar"),
        pytest.param((), (CIRCLE, SQUARE), (1, 0), id="positive and negative"),
        pytest.param(("circle", "star", "red shape"), (CIRCLE,), (), id="texts and exemplar"),
        pytest.param(("circle",), (SQUARE,), (0,), id="text and negative"),
    ],
)
@pytest.mark.parametrize("size_percent", [100, 60])
def test_on_the_same_image_every_bit_is_that_of_plain_exemplars(
    engine: Engine,
    texts: tuple[str, ...],
    exemplars: tuple[Any, ...],
    labels: tuple[int, ...],
    size_percent: int,
) -> None:
    plain = ConceptPrompt(texts, (), exemplars, labels, confidence_threshold=0.2)
    same = dataclasses.replace(plain, reference=ReferenceImage(REFERENCE.image))
    expected = engine.segment(REFERENCE.image, plain, size_percent)
    found = engine.segment(REFERENCE.image, same, size_percent)
    assert found.instances == expected.instances
    assert len(found.instances) > 0
    assert engine.encodings == 1


def test_another_picture_finds_the_like_and_not_the_others(tiny_engine: Engine) -> None:
    assert find(tiny_engine, TARGET, CIRCLES) == [0, 2]
    # The same boxes mean something else in another picture.
    assert find(tiny_engine, TARGET, SQUARES) == [1]
    assert find(tiny_engine, draw(3, "green star", "yellow triangle"), CIRCLES) == []


def test_with_text_and_boxes_of_what_is_not_meant(tiny_engine: Engine) -> None:
    scene = draw(4, "red circle", "blue circle", "red square")
    named = dataclasses.replace(CIRCLES, texts=("red circle",))
    assert find(tiny_engine, scene, named) == [0]
    all_circles = ConceptPrompt(("circle",))
    assert find(tiny_engine, scene, all_circles) == [0, 1]
    negative = dataclasses.replace(CIRCLES, texts=("circle",), exemplar_labels=(0,))
    assert find(tiny_engine, scene, negative) == [1]


def test_two_references_with_the_same_boxes_are_two_prompts(tiny_engine: Engine) -> None:
    swapped = REFERENCE.image.copy()
    left, top, right, bottom = (int(value) for value in CIRCLE)
    # A yellow triangle in the place of the circle.
    yellow = draw(5, "yellow triangle")
    x1, y1, _, _ = (int(value) for value in yellow.shapes[0].xyxy)
    patch = yellow.image[y1 : y1 + bottom - top, x1 : x1 + right - left]
    swapped[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    other = dataclasses.replace(CIRCLES, reference=ReferenceImage(swapped))
    assert other != CIRCLES
    for _ in range(2):
        assert find(tiny_engine, TARGET, CIRCLES) == [0, 2]
        assert find(tiny_engine, TARGET, other) == [3]


def test_a_reference_is_encoded_once_for_many_images(engine: Engine) -> None:
    prompt = dataclasses.replace(CIRCLES, texts=("circle", "red shape"))
    images = [draw(seed, "red circle", "blue square").image for seed in range(10, 30)]
    for image in images:
        engine.segment(image, prompt)
    assert engine.encodings == 1 + len(images)
    # Other labels are other tokens, of a picture that the cache of 8 has let go by now.
    engine.segment(images[-1], dataclasses.replace(prompt, exemplar_labels=(0,)))
    assert engine.encodings == 2 + len(images)


def test_a_batch_gives_what_one_by_one_gives(engine: Engine, tiny_engine: Engine) -> None:
    engine.limits = BatchLimits(images=2)
    engine.image_cache.max_items = 2
    scenes = [draw(seed, "red circle", "blue square") for seed in range(6, 10)]
    results = engine.segment_batch([scene.image for scene in scenes], CIRCLES)
    assert engine.encodings == 1 + len(scenes)
    for scene, result in zip(scenes, results, strict=True):
        expected = tiny_engine.segment(scene.image, CIRCLES).instances
        assert len(result.instances) == len(expected) == 1
        assert result.instances[0].score == pytest.approx(expected[0].score, abs=1e-4)
        assert compute_iou(result.instances[0].mask.full(), expected[0].mask.full()) > 0.999
    assert engine.segment_batch([], CIRCLES) == []


def test_boxes_without_masks(tiny_engine: Engine) -> None:
    found = tiny_engine.segment(TARGET.image, CIRCLES, masks=False).instances
    expected = tiny_engine.segment(TARGET.image, CIRCLES).instances
    assert [(i.score, i.box_xyxy) for i in found] == [(i.score, i.box_xyxy) for i in expected]
    assert not any(i.mask.area for i in found)


def test_tiles_are_switched_off_or_refused(tiny_engine: Engine) -> None:
    auto = dataclasses.replace(CIRCLES, tiles="auto")
    scene = draw(2, "red circle", "blue square")
    large = np.kron(scene.image, np.ones((3, 3, 1), np.uint8))
    found = tiny_engine.segment(large, auto).instances
    assert found == tiny_engine.segment(large, CIRCLES).instances
    assert len(found) == 1
    with pytest.raises(ValueError, match="tiles: expected off or auto with exemplar boxes"):
        dataclasses.replace(CIRCLES, tiles=2)


def test_boxes_are_clipped_to_the_reference_and_not_to_the_image(tiny_engine: Engine) -> None:
    height, width = HW
    outside = ((width - 40.0, height - 50.0, width + 90.0, height + 5.0),)
    prompt = dataclasses.replace(CIRCLES, exemplars_xyxy=outside)
    assert prompt.exemplars_xyxy == ((width - 40.0, height - 50.0, width, height),)
    small = TARGET.image[:60, :60]
    assert tiny_engine.segment(small, prompt).image_hw == (60, 60)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exemplars_xyxy": (), "texts": ("circle",)}, "reference: expected exemplar boxes in it"),
        (
            {"exemplars_xyxy": ((400.0, 10.0, 420.0, 30.0),)},
            "exemplars_xyxy: expected boxes that reach into the reference image of 360 x 300",
        ),
        ({"exemplar_labels": (0,)}, "texts: expected a text or a positive exemplar"),
        ({"reference": "ref.jpg"}, "reference: expected an image of shape"),
        ({"reference": np.zeros((5, 5), np.uint8)}, "reference: expected an image of shape"),
        ({"reference": np.zeros((5, 5, 3))}, "reference: expected an image of shape"),
        ({"reference": np.zeros((0, 5, 3), np.uint8)}, "reference: expected an image of shape"),
    ],
)
def test_a_wrong_reference_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CIRCLES, **changes)


def test_a_reference_keeps_its_pixels() -> None:
    pixels = REFERENCE.image.copy()
    prompt = ConceptPrompt(exemplars_xyxy=(CIRCLE,), reference=pixels)  # type: ignore[arg-type]
    pixels[:] = 0
    assert prompt == CIRCLES
    assert hash(prompt) == hash(CIRCLES)
    assert prompt.reference is not None
    with pytest.raises(ValueError, match="read-only"):
        prompt.reference.pixels[0, 0] = 1
    # Ray's actors get it this way.
    copy = pickle.loads(pickle.dumps(prompt))
    assert copy == CIRCLES
    assert np.array_equal(copy.reference.pixels, REFERENCE.image)


def test_coco_output_names_the_reference_without_its_pixels(tiny_engine: Engine) -> None:
    result = tiny_engine.segment(TARGET.image, CIRCLES)
    assert CIRCLES.reference is not None
    assert to_coco(result, CIRCLES)["prompt"]["reference"] == {"sha256": CIRCLES.reference.sha256}


def test_a_video_is_searched_for_what_a_reference_shows(engine: Engine) -> None:
    session = VideoSession(engine, dataclasses.replace(CIRCLES, confidence_threshold=0.4))
    for _ in range(2):
        found = session.step(TARGET.image).instances
        ious = [[compute_iou(i.mask.full(), s.mask) for s in TARGET.shapes] for i in found]
        assert {int(np.argmax(row)) for row in ious if max(row) >= GOOD_IOU} == {0, 2}
    assert engine.encodings == 3
