"""Fine-tunes the bundled model on drawn data and scores it on images that it never saw.

    python -m infer_segment_anything_3.benchmarks.concepts --out runs/concepts

A run takes about ten minutes of a CPU core; those that are done are not repeated. With the
limits: the mean of three seeds on 40 images, with masks and with boxes alone; then 20 and 10.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

from ..engine import Engine
from ..labeling.scoring.ground_truth import GroundTruth
from ..tools.tiny_shapes.new_shapes import draw_new_data
from ..training.run import finetune
from ..training.scoring import ScoreSets, score_model

STEPS = 600


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A training.

    Attributes:
        images: Training images.
        seed: Of all random choices.
        has_masks: Whether the files have masks, or boxes alone.
    """

    images: int = 40
    seed: int = 0
    has_masks: bool = True

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.images}-{'masks' if self.has_masks else 'boxes'}-{self.seed}"


EXPERIMENTS = (
    *(Experiment(seed=seed) for seed in range(3)),
    *(Experiment(seed=seed, has_masks=False) for seed in range(3)),
    *(Experiment(images=images) for images in (20, 10)),
)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/concepts"))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--only", default="", help="names of experiments, as in 40-masks-0,...")
    args = parser.parse_args()
    if not (args.out / "data" / "known").exists():
        draw_new_data(args.out / "data")
    before = args.out / "before.json"
    if not before.exists():
        before.write_text(json.dumps(_score(args.out, None)))
    names = [n for n in args.only.split(",") if n] or [e.name for e in EXPERIMENTS]
    print(_make_line("before", json.loads(before.read_text())))
    for experiment in EXPERIMENTS:
        if experiment.name in names:
            print(_make_line(experiment.name, _run(experiment, args.out, args.steps)), flush=True)


def _run(experiment: Experiment, out: Path, steps: int) -> dict[str, Any]:
    folder, data = out / experiment.name, out / "data"
    done = folder / "test.json"
    if done.exists():
        found: dict[str, Any] = json.loads(done.read_text())
        return found
    files = {side: _write_part(experiment, data, out, side) for side in ("train", "val")}
    began = time.process_time()
    finetune(
        files["train"],
        data / "train",
        folder,
        model="tiny_shapes",
        val_coco=str(files["val"]),
        val_images=str(data / "val"),
        known_coco=str(data / "val" / "annotations.json"),
        known_images=str(data / "val"),
        features=str(out / "features"),
        seed=experiment.seed,
        steps=steps,
        score_every=max(1, steps // 4),
    )
    minutes = (time.process_time() - began) / 60
    scores = {**_score(out, f"+ {folder / 'adapter'}"), "minutes": minutes}
    done.write_text(json.dumps(scores))
    return scores


def _write_part(experiment: Experiment, data: Path, out: Path, side: str) -> Path:
    content = json.loads((data / side / "annotations.json").read_text())
    if side == "train":
        content["images"] = content["images"][: experiment.images]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    if not experiment.has_masks:
        for annotation in content["annotations"]:
            annotation["segmentation"] = []
    path = out / f"{experiment.name}-{side}.json"
    path.write_text(json.dumps(content))
    return path


def _score(out: Path, weights: str | None) -> dict[str, Any]:
    new, known = (
        GroundTruth(str(out / "data" / name / "annotations.json"), str(out / "data" / name))
        for name in ("test", "known")
    )
    engine = Engine.load("tiny_shapes", weights, "cpu", "float32")
    return score_model(engine, ScoreSets(new, known=known))


def _make_line(name: str, scores: dict[str, Any]) -> str:
    new, known = scores["new"], scores["known"]
    cells = [
        *(new["mask_AP50"], new["box_AP50"], new["mask_cgF1"], scores["exemplars"]["mask_AP50"]),
        *(known["mask_AP50"], known["mask_F1"], scores["absent"]["share"], scores["clicks"]["J@1"]),
    ]
    shown = " | ".join(f"{value:.3f}" for value in cells)
    return f"| {name} | {shown} | {scores.get('minutes', 0):.1f} |"


if __name__ == "__main__":
    main()
