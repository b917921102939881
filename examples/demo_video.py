"""Follows objects through a video by text, through a real Ikomia workflow.

The command ``demo-video``. Without a video it takes a drawn clip that the bundled model knows, so
it needs no account, GPU or download.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..engine.video_files import VideoReader
from . import CLIP
from .ikomia_home import PLUGIN, ikomia_home
from .panels import Panel, join_panels

CLIP_TEXT = "circle, square, triangle, star"
SHEET_FRAMES, SHEET_COLUMNS = 6, 3


def run_demo(video: str, text: str, model: str, out: Path) -> list[Path]:
    """Follows a text through a video; prints a table, writes the results.

    Args:
        video: Path of the video; empty for the drawn clip.
        text: What to follow; empty for a default.
        model: Name of the model.
        out: Folder for the results.

    Returns:
        Absolute paths of the video with the tracks, the tracks and a contact sheet.

    Raises:
        ValueError: If the video cannot be read.
    """
    # Before the home folder changes: relative paths and ~ are the user's.
    out = out.expanduser().resolve()
    path = (Path(video).expanduser() if video else CLIP).resolve()
    VideoReader(path)
    out.mkdir(parents=True, exist_ok=True)
    with ikomia_home():
        folder = follow(path, text or ("object" if video else CLIP_TEXT), model)
        names = f"{path.stem}_overlay.mp4", f"{path.stem}_tracks.json"
        film, table = (Path(shutil.copy(folder / name, out / name)) for name in names)
    print_table(json.loads(table.read_text(encoding="utf-8")))
    return [film, table, draw_sheet(film, out / f"{path.stem}_overlay.png")]


def follow(path: Path, text: str, model: str) -> Path:
    """Runs the plugin on a video, which saves its results.

    Args:
        path: The video.
        text: What to follow.
        model: Name of the model.

    Returns:
        The folder of the results.
    """
    from ikomia.dataprocess.workflow import Workflow

    workflow = Workflow("demo")
    task = workflow.add_task(name=PLUGIN, auto_connect=True, public_hub=False)
    task.set_parameters({"model_name": model, "input_text": text})
    workflow.set_auto_save(True)
    workflow.run_on(path=str(path))
    return Path(task.output_folder)


def draw_sheet(film: Path, path: Path) -> Path:
    """Draws some frames of a video, from the first to the last, and returns the picture's path."""
    frames = list(VideoReader(film))
    chosen = np.linspace(0, len(frames) - 1, min(SHEET_FRAMES, len(frames))).round().astype(int)
    panels = [Panel(f"Frame {index}", frames[index]) for index in chosen]
    Image.fromarray(join_panels(panels, SHEET_COLUMNS)).save(path, optimize=True)
    return path


def print_table(tracks: dict[str, Any]) -> None:
    """Prints a line for each track."""
    names = {category["id"]: category["name"] for category in tracks["categories"]}
    print(f"{'id':>4}  {'class':<20} {'frames':>6}  {'mean score':>10}")
    for track in tracks["annotations"]:
        seen = sum(area is not None for area in track["areas"])
        name = names[track["category_id"]][:20]
        print(f"{track['id']:>4}  {name:<20} {seen:>6}  {track['score']:>10.2f}")
    print()
