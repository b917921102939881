"""On an image with a text, a click and a box the engine gives what the package gives.

``SAM3_CHECKPOINT=sam3.pt`` runs it with Meta's weights on a photograph (some minutes on a CPU);
the bundled model runs always.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from infer_segment_anything_3.engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from infer_segment_anything_3.tests.helpers import compute_iou
from infer_segment_anything_3.tools.sam3_package import Sam3Package
from infer_segment_anything_3.tools.tiny_shapes.scenes import draw_scene

THRESHOLD = 0.5


@dataclasses.dataclass(frozen=True)
class Case:
    engine: Engine
    package: Sam3Package
    image: npt.NDArray[np.uint8]
    text: str
    point_xy: tuple[float, float]
    box_xyxy: tuple[float, float, float, float]


def load_drawn_case() -> Case:
    engine = Engine.load("tiny_shapes", device="cpu", precision="float32")
    scene = draw_scene(np.random.default_rng(11), (300, 420), count_range=(1, 1))
    [shape] = scene.shapes
    left, top, right, bottom = (float(value) for value in shape.xyxy)
    center = (left + right) / 2, (top + bottom) / 2
    text = f"{shape.color} {shape.kind}"
    return Case(engine, Sam3Package(engine), scene.image, text, center, (left, top, right, bottom))


def load_photograph_case(checkpoint: str) -> Case:
    from skimage.data import chelsea

    engine = Engine.load("sam3", checkpoint, precision="float32")
    box = (20.0, 0.0, 400.0, 295.0)
    return Case(engine, Sam3Package(engine), chelsea(), "cat", (230.0, 120.0), box)


@pytest.fixture(
    scope="module",
    params=["tiny_shapes", pytest.param("sam3", marks=pytest.mark.real_weights)],
)
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "tiny_shapes":
        return load_drawn_case()
    checkpoint = request.getfixturevalue("user_env").get("SAM3_CHECKPOINT")
    if not checkpoint:
        pytest.skip("no SAM3_CHECKPOINT: nothing is compared on Meta's weights")
    return load_photograph_case(checkpoint)


def test_text(case: Case) -> None:
    theirs = case.package.segment_concept(case.package.encode(case.image), case.text, THRESHOLD)
    ours = case.engine.segment(
        case.image, ConceptPrompt((case.text,), confidence_threshold=THRESHOLD)
    ).instances
    order = theirs["scores"].argsort(descending=True, stable=True).tolist()
    assert len(ours) == len(order) >= 1
    for instance, index in zip(ours, order, strict=True):
        assert np.array_equal(instance.mask.full(), theirs["masks"][index, 0].numpy())
        assert instance.score == pytest.approx(float(theirs["scores"][index]), abs=1e-5)


@pytest.mark.parametrize("prompt", ["click", "box"])
def test_object(case: Case, prompt: str) -> None:
    if prompt == "click":
        arguments = {"point_coords": np.array([case.point_xy]), "point_labels": np.array([1])}
        prompted = PromptedObject(points_xy=(case.point_xy,))
    else:
        arguments = {"box": np.array(case.box_xyxy)}
        prompted = PromptedObject(box_xyxy=case.box_xyxy)
    state = case.package.encode(case.image)
    masks, scores, _ = case.package.segment_objects(state, multimask_output=False, **arguments)
    [ours] = case.engine.segment(case.image, ObjectPrompt((prompted,))).instances
    assert np.array_equal(ours.mask.full(), masks[0] > 0)
    assert ours.score == pytest.approx(float(scores[0]), abs=1e-5)


def test_box_and_text_mean_the_same_object(case: Case) -> None:
    by_text = case.engine.segment(case.image, ConceptPrompt((case.text,))).instances[0]
    prompt = ObjectPrompt((PromptedObject(box_xyxy=case.box_xyxy),))
    [by_box] = case.engine.segment(case.image, prompt).instances
    assert compute_iou(by_text.mask.full(), by_box.mask.full()) >= 0.7
