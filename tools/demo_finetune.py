"""Teaches the bundled model two shapes that it does not know, and shows what that cost.

    python -m infer_segment_anything_3.tools.demo_finetune --out output/finetune

Training takes about ten minutes of one CPU core; the same command goes on after a stop.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..cli.app import main as run_cli
from .tiny_shapes.new_shapes import draw_new_data

STEPS = 600


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("output/finetune"))
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    files = draw_new_data(args.out / "data", test=0, known=30)
    folders = {name: str(file.parent) for name, file in files.items()}
    print(f"Drawn: {args.out / 'data'}. Training {args.steps} steps; Ctrl-C stops, and it goes on.")
    code = run_cli(
        [
            "finetune",
            str(files["train"]),
            folders["train"],
            "--out",
            str(args.out / "result"),
            *("--val-coco", str(files["val"]), "--val-images", folders["val"]),
            *("--known-coco", str(files["known"]), "--known-images", folders["known"]),
            *("--model", "tiny_shapes", "--device", "cpu"),
            *("--steps", str(args.steps), "--score-every", str(max(1, args.steps // 4))),
        ]
    )
    if code == 0:
        print(f"Labels, before and after: {args.out / 'result' / 'contact_sheet.png'}")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
