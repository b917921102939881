"""Writes the tracks of a video: JSON rows by frame, MOTChallenge's text, YouTube-VIS's JSON."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..results import Instance, Result
from .coco import to_xywh
from .rle import mask_to_rle, rle_to_mask


def to_track_row(result: Result, frame_index: int | None = None) -> dict[str, Any]:
    """Converts one frame's result to a row of plain data.

    Args:
        result: Of a frame, with track ids.
        frame_index: Index of the frame in its video; the result's own by default.

    Returns:
        ``frame`` (from 0), ``width``, ``height``, ``removed`` (tracks that proved false starts
        on this frame) and ``instances``: ``track_id``, ``category``, ``score``, ``bbox`` as
        xywh in pixels, ``area`` in pixels, ``segmentation`` as compressed run lengths.
    """
    height, width = result.image_hw
    return {
        "frame": result.frame_index if frame_index is None else frame_index,
        "width": width,
        "height": height,
        "removed": list(result.removed_track_ids),
        "instances": [
            {
                "track_id": instance.track_id,
                "category": result.class_names[instance.class_index],
                "score": round(float(instance.score), 6),
                "bbox": to_xywh(instance.box_xyxy),
                "area": instance.mask.area,
                "segmentation": mask_to_rle(instance.mask),
            }
            for instance in result.instances
        ],
    }


def from_track_row(row: dict[str, Any], class_names: Sequence[str]) -> Result:
    """Makes the result of a frame from its row.

    Args:
        row: Of :func:`to_track_row`.
        class_names: Name of each class, in order.

    Returns:
        The result, its scores rounded as in the row.
    """
    index_by_name = {name: index for index, name in enumerate(class_names)}
    instances = []
    for item in row["instances"]:
        left, top, width, height = item["bbox"]
        instances.append(
            Instance(
                class_index=index_by_name[item["category"]],
                score=item["score"],
                box_xyxy=(left, top, left + width, top + height),
                mask=rle_to_mask(item["segmentation"]),
                track_id=item["track_id"],
            )
        )
    return Result(
        (row["height"], row["width"]),
        tuple(class_names),
        tuple(instances),
        frame_index=row["frame"],
        removed_track_ids=tuple(row["removed"]),
    )


def to_youtube_vis(rows: Iterable[dict[str, Any]], video_name: str = "") -> dict[str, Any]:
    """Converts the rows of a video to YouTube-VIS's format, COCO's for videos.

    Args:
        rows: Of :func:`to_track_row`, one for each frame, in any order.
        video_name: Where the frames came from.

    Returns:
        ``videos`` (one), ``categories`` and ``annotations``: one for each track, with
        ``segmentations``, ``bboxes`` and ``areas`` of as many entries as the video has frames,
        ``null`` where the track is not seen, and its mean ``score``. A track that proved a
        false start is left out.
    """
    ordered = sorted(rows, key=lambda row: row["frame"])
    false_starts = {i for row in ordered for i in row["removed"]}
    length = ordered[-1]["frame"] + 1 if ordered else 0
    names: dict[str, int] = {}
    tracks: dict[int, dict[str, Any]] = {}
    for row in ordered:
        for instance in row["instances"]:
            track_id = instance["track_id"]
            if track_id in false_starts:
                continue
            category = names.setdefault(instance["category"], len(names) + 1)
            track = tracks.setdefault(track_id, _make_track(track_id, category, length))
            track["segmentations"][row["frame"]] = instance["segmentation"]
            track["bboxes"][row["frame"]] = instance["bbox"]
            track["areas"][row["frame"]] = instance["area"]
            track["scores"].append(instance["score"])
    for track in tracks.values():
        scores = track.pop("scores")
        track["score"] = sum(scores) / len(scores)
    size = {name: ordered[-1][name] if ordered else 0 for name in ("width", "height")}
    return {
        "videos": [{"id": 1, "name": video_name, "length": length, **size}],
        "categories": [{"id": number, "name": name} for name, number in names.items()],
        "annotations": [tracks[track_id] for track_id in sorted(tracks)],
    }


class TrackWriter:
    """Appends the results of a video to files, a frame at a time.

    ``<stem>_tracks.jsonl`` has a row of :func:`to_track_row` for each frame, ``<stem>_mot.txt``
    MOTChallenge's line for each instance (frame from 1, id, left, top, width, height, score,
    -1, -1, -1). Each frame is written before the next: a video that breaks off leaves valid
    rows. :meth:`finish` makes ``<stem>_tracks.json`` of them.

    Attributes:
        stem: Begins the names of the files.
        rows_path: The rows.
        mot_path: MOTChallenge's text.
        json_path: YouTube-VIS's JSON.
    """

    def __init__(self, folder: Path, video_name: str) -> None:
        """Starts the files of a video.

        Files of the same name stay: a number is added to the names of the new ones.

        Args:
            folder: Where to write; made where it is missing.
            video_name: Path or name of the video; its stem begins the files' names.
        """
        self._video_name = video_name
        folder.mkdir(parents=True, exist_ok=True)
        stem = Path(video_name).stem or "stream"
        stems = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
        stem = next(s for s in stems if not (folder / f"{s}_tracks.jsonl").exists())
        self.stem = stem
        self.rows_path = folder / f"{stem}_tracks.jsonl"
        self.mot_path = folder / f"{stem}_mot.txt"
        self.json_path = folder / f"{stem}_tracks.json"
        self._last_frame: int | None = None
        self._last_starts = (0, 0)
        for path in (self.rows_path, self.mot_path):
            path.write_bytes(b"")

    def write(self, result: Result, frame_index: int | None = None) -> None:
        """Appends one frame, or writes the last one again.

        Args:
            result: Of a frame, with track ids.
            frame_index: Index of the frame in its video; the result's own by default.
        """
        row = to_track_row(result, frame_index)
        paths = self.rows_path, self.mot_path
        if row["frame"] != self._last_frame:
            self._last_frame = row["frame"]
            self._last_starts = self.rows_path.stat().st_size, self.mot_path.stat().st_size
        texts = json.dumps(row) + "\n", _format_mot_lines(row)
        for path, start, text in zip(paths, self._last_starts, texts, strict=True):
            with path.open("ab") as file:
                file.truncate(start)
                file.write(text.encode())

    def finish(self) -> Path:
        """Writes YouTube-VIS's JSON of the rows so far; more may follow.

        Returns:
            Its path.
        """
        data = to_youtube_vis(read_track_rows(self.rows_path), self._video_name)
        unfinished = self.json_path.with_name(self.json_path.name + ".unfinished")
        unfinished.write_text(json.dumps(data), encoding="utf-8")
        unfinished.replace(self.json_path)
        return self.json_path


def read_track_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Reads the rows that :class:`TrackWriter` wrote.

    Args:
        path: The ``_tracks.jsonl``.

    Yields:
        One row for each frame.
    """
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _make_track(track_id: int, category: int, length: int) -> dict[str, Any]:
    return {
        "id": track_id,
        "video_id": 1,
        "category_id": category,
        "iscrowd": 0,
        "segmentations": [None] * length,
        "bboxes": [None] * length,
        "areas": [None] * length,
        "scores": [],
    }


def _format_mot_lines(row: dict[str, Any]) -> str:
    """Formats a frame's instances as lines of MOTChallenge."""
    lines = []
    for instance in row["instances"]:
        box = ",".join(f"{value:.2f}" for value in instance["bbox"])
        track = f"{row['frame'] + 1},{instance['track_id']}"
        lines.append(f"{track},{box},{instance['score']:.4f},-1,-1,-1\n")
    return "".join(lines)
