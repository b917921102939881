"""Measures the held-out scores of the bundled model, on scenes that training never saw.

Prints a table; ``--write`` records it beside the checkpoint, for the README.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from ...engine import AssociationSettings, Engine
from ...engine.video.checks import make_tracker
from .heldout import concepts, crowded_images, objects, references, videos
from .heldout.matching import HELD_OUT_SEED, Measure

CARD = Path(__file__).parents[2] / "engine" / "weights" / "tiny_shapes.json"
MEASURES: dict[str, Measure] = {
    measure.__name__.removeprefix("measure_"): measure
    for module in (concepts, references, objects, crowded_images, videos)
    for measure in module.MEASURES
}


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    parser.add_argument("--weights", type=Path, help="default: the bundled file")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backend", default="torch", help="torch (default) or openvino")
    parser.add_argument("--input-size", type=int, help="280 (default), 224 or 112")
    parser.add_argument(
        "--package-association",
        action="store_true",
        help="follow concepts with the settings of the sam3 package, not the model's own",
    )
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--write", action="store_true", help="record the scores")
    args = parser.parse_args()
    engine = Engine.load(
        "tiny_shapes",
        args.weights,
        args.device,
        args.precision,
        args.input_size or "auto",
        args.backend,
    )
    if args.package_association:
        make_tracker(engine).heads.association = AssociationSettings()
    scores: dict[str, float] = {}
    for name in args.only:
        started = time.perf_counter()
        found = MEASURES[name](engine, args.seed, args.scenes)
        print(f"{name} ({time.perf_counter() - started:.0f} s)")
        for score, value in found.items():
            print(f"  {score:28} {value:.4f}", flush=True)
        scores |= {score: round(value, 4) for score, value in found.items()}
    if args.write:
        card = json.loads(CARD.read_text())
        known = card.get("held_out", {})
        counts = {**known.get("scenes", {}), **dict.fromkeys(args.only, args.scenes)}
        card["held_out"] = {**known, **scores, "seed": args.seed, "scenes": counts}
        CARD.write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
