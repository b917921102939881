"""Writes the bundled checkpoint from a snapshot of the training.

    python -m infer_segment_anything_3.tools.tiny_shapes.export \
        --snapshot runs/tiny_shapes/snapshot.pt --out engine/weights/tiny_shapes.safetensors

A description of the model (sizes, vocabulary, seed, license) is written beside it as JSON.
Scores that were recorded there for the very same weights are kept, others are dropped.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import torch

from ...engine.checkpoints.writer import save_weights
from ...engine.model.config import TINY_SHAPES
from .scenes import COLORS, KINDS
from .training_model import HEADS

logger = logging.getLogger("infer_segment_anything_3")


def export(snapshot: Path, out: Path, seed: int) -> None:
    """Writes the averaged weights of a snapshot and their description.

    Args:
        snapshot: A file that the training wrote.
        out: The safetensors file to write; its JSON gets the same stem.
        seed: The seed of the training, for the record.
    """
    saved = torch.load(snapshot, map_location="cpu", weights_only=True)
    weights = {name: t for name, t in saved["average"].items() if not name.startswith(HEADS)}
    save_weights(weights, out)
    sha256 = hashlib.sha256(out.read_bytes()).hexdigest()
    description = out.with_suffix(".json")
    text = json.dumps(
        {
            **_read_held_out_scores(description, sha256),
            "model": "tiny_shapes",
            "sha256": sha256,
            "stored_as": "float16",
            "license": "Apache-2.0",
            "seed": seed,
            "training": {"stage": saved["stage"], "step": saved["step"]},
            "vocabulary": {"colors": COLORS, "shapes": KINDS},
            "architecture": dataclasses.asdict(TINY_SHAPES),
        },
        indent=2,
    )
    description.write_text(text + "\n", encoding="utf-8")
    size_mib = out.stat().st_size / 2**20
    logger.info("%s: %.1f MiB, stage %s step %s", out, size_mib, saved["stage"], saved["step"])


def _read_held_out_scores(description: Path, sha256: str) -> dict[str, Any]:
    """Reads the scores that were measured of the same weights before."""
    if not description.is_file():
        return {}
    before = json.loads(description.read_text(encoding="utf-8"))
    if before.get("sha256") != sha256 or "held_out" not in before:
        return {}
    return {"held_out": before["held_out"]}


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snapshot", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="the seed that the training had")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    export(args.snapshot, args.out, args.seed)


if __name__ == "__main__":
    main()
