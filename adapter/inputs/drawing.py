"""What was drawn on an image, or found on it by an earlier task, as plain values."""

from __future__ import annotations

import dataclasses

from ...engine.validation import BoxXyxy, PointXy

RgbColor = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Detection:
    """A box that an earlier task of the workflow found.

    Attributes:
        box_xyxy: Pixels of the image.
        class_name: Its class, empty where the task names none.
        color: The colour that task shows it in.
    """

    box_xyxy: BoxXyxy
    class_name: str = ""
    color: RgbColor = (255, 0, 0)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Points and boxes of a graphics input, in pixels of the image.

    Attributes:
        points_xy: Points.
        point_labels: 1 or 0 for each of them.
        boxes_xyxy: Boxes a person drew; may have no area.
        box_labels: 1 or 0 for each of them.
        detections: Boxes an earlier task found.
        is_from_task: Whether the input is connected to an earlier task. It may have found
            nothing on this image.
    """

    points_xy: tuple[PointXy, ...] = ()
    point_labels: tuple[int, ...] = ()
    boxes_xyxy: tuple[BoxXyxy, ...] = ()
    box_labels: tuple[int, ...] = ()
    detections: tuple[Detection, ...] = ()
    is_from_task: bool = False

    def __len__(self) -> int:
        return len(self.points_xy) + len(self.boxes_xyxy) + len(self.detections)


NOTHING_DRAWN = Drawing()
