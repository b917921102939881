"""What the plugin's tests ask of a video."""

from __future__ import annotations

import cv2
import numpy as np

FRAMES = 5
HW = (200, 280)
RED_XY, BLUE_XY = (60, 70), (200, 130)
RADIUS_PX = 26
STEP_PX = 3
"""The red circle moves so far to the right with each frame."""


def draw_frames(count=FRAMES, hw=HW):
    """A red circle that moves to the right and a blue one that stays."""
    frames = []
    for t in range(count):
        image = np.full((*hw, 3), (120, 125, 118), np.uint8)
        cv2.circle(image, (RED_XY[0] + STEP_PX * t, RED_XY[1]), RADIUS_PX, (220, 40, 40), -1)
        cv2.circle(image, BLUE_XY, RADIUS_PX, (50, 70, 220), -1)
        frames.append(image)
    return frames


def write_film(path, frames):
    """Writes frames as a video whose every frame is a picture of its own."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def list_tracks(task):
    """Id, class and color of each instance of output 2."""
    return [(o.id, o.label, tuple(o.color)) for o in task.get_output(2).get_objects()]


def get_frame_index(task):
    """Index of the frame in its video, by output 3."""
    return task.get_output(3).data["image"].get("frame_index")


def read_answer(task):
    """All that the outputs say about a frame, as values that compare."""
    return {
        "image": task.get_output(0).get_image().tobytes(),
        "class map": task.get_output(1).get_mask().tobytes(),
        "instances": [
            (o.id, o.label, o.confidence, o.box, o.mask.tobytes())
            for o in task.get_output(2).get_objects()
        ],
        "annotations": task.get_output(3).data["annotations"],
    }
