"""Follows objects through a video by text, through a real Ikomia workflow.

The command ``demo-video``. Without a video it draws a clip that the bundled model knows, so it
needs no account, GPU or download.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..engine.export.tracks import to_youtube_vis
from ..engine.video_files import VideoReader, VideoWriter
from .ikomia_home import PLUGIN, ikomia_home

RgbImage = npt.NDArray[np.uint8]

CLIP_SEED = 6
CLIP_FRAMES = 48
CLIP_TEXT = "circle, square, triangle, star"
FRAMES_PER_SECOND = 12.0
SHEET_COLUMNS, SHEET_ROWS = 4, 2
SHEET_WIDTH_PX = 360


def run_demo(video: str, text: str, model: str, out: Path, frames: int) -> list[Path]:
    """Follows a text through a video; prints a table, writes the results.

    Args:
        video: Path of the video; empty for a drawn clip.
        text: What to follow; empty for a default.
        model: Name of the model.
        out: Folder for the results.
        frames: Frames of the drawn clip.

    Returns:
        Absolute paths of the video with the tracks, the tracks and a contact sheet.

    Raises:
        ValueError: If the video cannot be read.
    """
    # Before the home folder changes: relative paths and ~ are the user's.
    out = out.expanduser().resolve()
    source: Iterable[RgbImage] = draw_frames(frames)
    name, count, fps = "shapes", frames, FRAMES_PER_SECOND
    if video:
        source = reader = VideoReader(Path(video).expanduser().resolve())
        name, count, fps = reader.path.stem, reader.count, reader.fps
    text = text or ("object" if video else CLIP_TEXT)
    out.mkdir(parents=True, exist_ok=True)
    film, table, sheet = (out / f"{name}_tracks.{suffix}" for suffix in ("mp4", "json", "png"))
    with ikomia_home():
        rows, picture = follow(source, count, text, model, film, fps)
    tracks = to_youtube_vis(rows, name)
    table.write_text(json.dumps(tracks), encoding="utf-8")
    cv2.imwrite(str(sheet), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    print_table(tracks)
    return [film, table, sheet]


def draw_frames(count: int) -> Iterator[RgbImage]:
    """Draws the frames of a clip of moving shapes."""
    from ..tools.tiny_shapes.random_clips import draw_clip

    clip = draw_clip(np.random.default_rng(CLIP_SEED), (360, 640), like_share=0.0)
    return (clip.frame_at(t).image for t in range(count))


def follow(
    frames: Iterable[RgbImage], count: int, text: str, model: str, path: Path, fps: float
) -> tuple[list[dict[str, Any]], RgbImage]:
    """Follows a text and writes the overlay of each frame to a video.

    Args:
        frames: The frames.
        count: How many they are, for the progress bar; 0 if unknown.
        text: What to follow.
        model: Name of the model.
        path: The video to write.
        fps: Frames per second of it.

    Returns:
        A row for each frame, as of ``engine.export.tracks``, and a contact sheet.
    """
    from ikomia.dataprocess.workflow import Workflow
    from tqdm import tqdm

    workflow = Workflow("demo")
    task = workflow.add_task(name=PLUGIN, auto_connect=True, public_hub=False)
    task.set_parameters({"model_name": model, "input_text": text, "tracking": "on"})
    rows: list[dict[str, Any]] = []
    thumbnails: list[RgbImage] = []
    writer = VideoWriter(path, fps)
    for frame in tqdm(frames, total=count or None, unit="frame", desc="following"):
        workflow.run_on(array=frame)
        overlay = task.get_image_with_mask()
        writer.write(overlay)
        rows.append(make_row(task.get_output(3).data))
        thumbnails.append(shrink(overlay))
    writer.close()
    return rows, make_contact_sheet(thumbnails)


def make_row(data: dict[str, Any]) -> dict[str, Any]:
    """Makes the row of a frame from the task's output 3."""
    names = {category["id"]: category["name"] for category in data["categories"]}
    kept = ("track_id", "score", "bbox", "area", "segmentation")
    image = data["image"]
    return {
        "frame": image["frame_index"],
        "width": image["width"],
        "height": image["height"],
        "removed": image["removed_track_ids"],
        "instances": [
            {name: a[name] for name in kept} | {"category": names[a["category_id"]]}
            for a in data["annotations"]
        ],
    }


def shrink(image: RgbImage) -> RgbImage:
    """Shrinks an image to the width of the contact sheet's pictures."""
    height = max(1, round(image.shape[0] * SHEET_WIDTH_PX / image.shape[1]))
    shrunk = cv2.resize(image, (SHEET_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def make_contact_sheet(thumbnails: Sequence[RgbImage]) -> RgbImage:
    """Puts frames from the first to the last in a grid, each with its index."""
    cells = SHEET_COLUMNS * SHEET_ROWS
    chosen = np.linspace(0, len(thumbnails) - 1, min(cells, len(thumbnails))).round().astype(int)
    pictures = []
    for index in chosen:
        picture = thumbnails[index].copy()
        for ink, thickness_px in (((0, 0, 0), 4), ((255, 255, 255), 1)):
            place = (8, picture.shape[0] - 10)
            cv2.putText(
                picture, f"frame {index}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.55, ink,
                thickness_px, cv2.LINE_AA,
            )  # fmt: skip
        pictures.append(np.pad(picture, ((2, 2), (2, 2), (0, 0)), constant_values=255))
    pictures += [np.full_like(pictures[0], 255)] * (-len(pictures) % SHEET_COLUMNS)
    rows = [
        np.concatenate(pictures[start : start + SHEET_COLUMNS], axis=1)
        for start in range(0, len(pictures), SHEET_COLUMNS)
    ]
    return np.concatenate(rows)


def print_table(tracks: dict[str, Any]) -> None:
    """Prints a line for each track."""
    names = {category["id"]: category["name"] for category in tracks["categories"]}
    print(f"{'id':>4}  {'class':<20} {'frames':>6}  {'mean score':>10}")
    for track in tracks["annotations"]:
        seen = sum(area is not None for area in track["areas"])
        name = names[track["category_id"]][:20]
        print(f"{track['id']:>4}  {name:<20} {seen:>6}  {track['score']:>10.2f}")
    print()
