"""Held-out scores of the bundled model, on scenes that training never saw.

    python -m infer_segment_anything_3.tools.tiny_shapes.evaluate [--scenes 300] [--write]

Prints a table; ``--write`` records it beside the checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from ...engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from ...engine.results import Mask
from .scenes import Scene, Shape, draw_scene, phrases

HELD_OUT_SEED = 20_260_000
"""Training draws from small seeds and their hashes; this one is the held-out scenes' own."""

BoolImage = npt.NDArray[np.bool_]


@dataclasses.dataclass
class ConceptTally:
    """Counts over concept prompts."""

    matched_ious: list[float] = dataclasses.field(default_factory=list)
    found: int = 0
    wanted: int = 0
    absent_asked: int = 0
    absent_found: int = 0

    def scores(self) -> dict[str, float]:
        """F1 at IoU 0.5, mean IoU of the matched, share of absent concepts found."""
        hits = sum(iou >= 0.5 for iou in self.matched_ious)
        good = [iou for iou in self.matched_ious if iou >= 0.5]
        return {
            "concept_f1": 2 * hits / max(1, self.found + self.wanted),
            "concept_precision": hits / max(1, self.found),
            "concept_recall": hits / max(1, self.wanted),
            "concept_mean_iou": float(np.mean(good)) if good else 0.0,
            "absent_found": self.absent_found / max(1, self.absent_asked),
        }


def held_out_scenes(count: int, seed: int = HELD_OUT_SEED) -> Iterator[tuple[int, Scene]]:
    """Scenes of 200 to 2000 px with their index; each has a seed of its own.

    Args:
        count: How many.
        seed: Seed of the first; scene ``i`` depends on ``(seed, i)`` alone.

    Yields:
        Index and scene.
    """
    for index in range(count):
        yield index, draw_scene(np.random.default_rng((seed, index)))


def iou(one: BoolImage, other: BoolImage) -> float:
    """Intersection over union of two (H, W) masks; 0 when both are empty."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 0.0


def matched_ious(found: list[BoolImage], wanted: list[BoolImage]) -> list[float]:
    """IoUs of the best one-to-one matching.

    Args:
        found: N masks.
        wanted: M masks.

    Returns:
        ``min(N, M)`` numbers.
    """
    table = np.array([[iou(f, w) for w in wanted] for f in found]).reshape(len(found), len(wanted))
    rows, columns = linear_sum_assignment(-table)
    return [float(v) for v in table[rows, columns]]


def ask_concepts(
    engine: Engine, scene: Scene, rng: np.random.Generator, tally: ConceptTally
) -> None:
    """Asks for what is on a scene, one phrase of each form, and for something absent."""
    model = scene.shapes[int(rng.integers(len(scene.shapes)))]
    pairs = {f"{s.colour} {s.kind}" for s in scene.shapes}
    present = [*sorted(pairs), model.kind, f"{model.colour} shape"]
    absent = str(rng.choice([p for p in phrases() if not scene.matching(p)]))
    result = engine.segment(scene.image, ConceptPrompt(texts=(*present, absent)))
    for index, phrase in enumerate(present):
        found = [i.mask.full() for i in result.instances if i.class_index == index]
        wanted = [s.mask for s in scene.matching(phrase)]
        tally.found += len(found)
        tally.wanted += len(wanted)
        tally.matched_ious += matched_ious(found, wanted)
    tally.absent_asked += 1
    tally.absent_found += any(i.class_index == len(present) for i in result.instances)


def point_inside(mask: BoolImage, rng: np.random.Generator) -> tuple[float, float]:
    """A random pixel of a mask, as xy in pixels."""
    y, x = divmod(int(rng.choice(np.flatnonzero(mask))), mask.shape[1])
    return float(x), float(y)


def object_masks(engine: Engine, scene: Scene, objects: list[PromptedObject]) -> list[Mask]:
    """The single mask of each object."""
    return [i.mask for i in engine.segment(scene.image, ObjectPrompt(tuple(objects))).instances]


def click(shape: Shape, rng: np.random.Generator) -> PromptedObject:
    """One click inside a shape."""
    return PromptedObject(points_xy=(point_inside(shape.mask, rng),))


def boxed(shape: Shape) -> PromptedObject:
    """The box of a shape."""
    left, top, right, bottom = (float(v) for v in shape.xyxy)
    return PromptedObject(box_xyxy=(left, top, right, bottom))


def background_obeyed(engine: Engine, scene: Scene, rng: np.random.Generator) -> bool:
    """Whether a click on a second shape, labelled 0, leaves at least 95 % of it out."""
    first, second = (scene.shapes[int(i)] for i in rng.permutation(len(scene.shapes))[:2])
    prompted = PromptedObject(
        points_xy=(point_inside(first.mask, rng), point_inside(second.mask, rng)),
        point_labels=(1, 0),
    )
    mask = object_masks(engine, scene, [prompted])[0].full()
    return bool(np.count_nonzero(mask & second.mask) <= 0.05 * np.count_nonzero(second.mask))


def evaluate(engine: Engine, count: int, seed: int = HELD_OUT_SEED) -> dict[str, float]:
    """Scores of text, click and box prompts.

    Args:
        engine: A model that knows the vocabulary of the scenes.
        count: Number of scenes.
        seed: Seed of the scenes.

    Returns:
        Name and score; all between 0 and 1.
    """
    tally = ConceptTally()
    click_ious, box_ious, obeyed = [], [], []
    for index, scene in held_out_scenes(count, seed):
        rng = np.random.default_rng((seed, index, 1))
        ask_concepts(engine, scene, rng, tally)
        prompts = [*(click(s, rng) for s in scene.shapes), *(boxed(s) for s in scene.shapes)]
        truth = [*(s.mask for s in scene.shapes), *(s.mask for s in scene.shapes)]
        ious = [
            iou(mask.full(), wanted)
            for mask, wanted in zip(object_masks(engine, scene, prompts), truth, strict=True)
        ]
        click_ious += ious[: len(scene.shapes)]
        box_ious += ious[len(scene.shapes) :]
        if len(scene.shapes) > 1:
            obeyed.append(background_obeyed(engine, scene, rng))
    return tally.scores() | {
        "click_mean_iou": float(np.mean(click_ious)),
        "box_mean_iou": float(np.mean(box_ious)),
        "background_obeyed": float(np.mean(obeyed)),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--weights", type=Path, default=None, help="default: the bundled file")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", action="store_true", help="record the scores in the card")
    args = parser.parse_args()
    engine = Engine.load("tiny_shapes", args.weights, args.device, args.precision)
    scores = {name: round(v, 4) for name, v in evaluate(engine, args.scenes).items()}
    for name, value in scores.items():
        print(f"{name:22} {value:.4f}")
    if args.write:
        card_path = Path(__file__).parents[2] / "engine" / "weights" / "tiny_shapes.json"
        card = json.loads(card_path.read_text())
        card["held_out"] = {"scenes": args.scenes, "seed": HELD_OUT_SEED, **scores}
        card_path.write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
