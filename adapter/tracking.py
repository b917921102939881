"""Tracks objects from one run of the task to the next, where the runs are frames of a video."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..engine.drawing.trails import Trails
from ..engine.prompts import ConceptPrompt, ObjectPrompt, PromptedObject
from ..engine.results import Instance, Result
from ..engine.validation import BoxXyxy, PointXy
from .frame_order import FrameOrder, Relation
from .inputs.graphics import Drawing
from .inputs.video import VideoPosition
from .parameters.settings import Settings
from .progress import WarnOnce
from .prompt_builder import PromptReading

if TYPE_CHECKING:
    from ..engine import Engine, VideoSession

logger = logging.getLogger("infer_segment_anything_3")

SAME_OBJECT_IOU = 0.1
"""A later detection starts an object unless its box overlaps that of a track by more."""

MAX_OBJECTS = 64
"""Most objects followed, unless a prompt names more."""

_FREE_TO_CHANGE = ("segmentation_format", "refine", "tracking")
"""Parameters that may change within a video without ending its tracks."""


class VideoTracking:
    """Tracks the objects of the video that one task runs on.

    Attributes:
        trails: Centroids of each track in view on the frames before and this one.
        started: How many videos were begun so far, one at a time.
    """

    def __init__(self) -> None:
        self.trails = Trails()
        self.started = 0
        self._session: VideoSession | None = None
        self._key: Any = None
        self._order = FrameOrder()
        self._drawn: set[Any] = set()
        self._result: Result | None = None
        self._warnings = WarnOnce()

    @property
    def is_following(self) -> bool:
        """Whether a video is being followed."""
        return self._session is not None

    @property
    def frame_index(self) -> int:
        """Index of the newest frame in its video."""
        return self._order.frame_index

    def start_over(self) -> None:
        """Drops the state of the video: the next frame is the first one."""
        self._order = FrameOrder()
        self._forget()

    def _forget(self) -> None:
        """Deletes the session, the trails and the warnings of the video so far."""
        if self._session is not None:
            logger.info("tracking: another video, size or prompt; starting over")
        self.trails.clear()
        self._session = self._key = self._result = None
        self._drawn = set()
        self._warnings.reset()

    def step(
        self,
        engine: Engine,
        settings: Settings,
        reading: PromptReading,
        drawing: Drawing,
        image: Any,
        position: VideoPosition | None,
        on_step: Callable[[str], None],
    ) -> Result:
        """Follows the video to the next frame, or starts a new one.

        Args:
            engine: The engine.
            settings: The parameters.
            reading: The prompt that was read on this frame.
            drawing: Points and boxes of the graphics input on this frame.
            image: (H, W, 3) uint8, RGB.
            position: Of the frame; None where frames come one by one.
            on_step: Called after each step; what it raises ends the run.

        Returns:
            The instances, each with its track id. None before there is a prompt.

        Raises:
            ValueError: If the prompt does not fit the frame, or cannot be followed.
        """
        key = _make_key(engine, settings, drawing, reading, image.shape[:2])
        if key != self._key:
            self.start_over()
        relation = self._order.add(image, position)
        if relation is Relation.OTHER:
            self._forget()
        if self._session is None:
            if reading.prompt is None:
                return Result((image.shape[0], image.shape[1]), (), ())
            self._start(engine, settings, reading, drawing, key)
        session = self._session
        assert session is not None
        shown = self._result if relation is Relation.SAME else None
        # Should the step fail, there is no result of this frame to show again.
        self._result = None
        result = self._result = session.step(image, on_step) if shown is None else shown
        self._result = self._apply_new_drawing(session, result, settings, drawing)
        if self._result is not shown:
            self.trails.add(self._result)
        return self._result

    def _start(
        self,
        engine: Engine,
        settings: Settings,
        reading: PromptReading,
        drawing: Drawing,
        key: Any,
    ) -> None:
        from ..engine import VideoSession

        prompt = reading.prompt
        count = len(prompt.objects) if isinstance(prompt, ObjectPrompt) else 0
        self._session = VideoSession(
            engine,
            prompt,  # type: ignore[arg-type]  # it refuses what it cannot follow
            max_objects=max(MAX_OBJECTS, count),
            input_size_percent=settings.input_size_percent,
        )
        self.started += 1
        self._key = key
        self._drawn = {item for item, _ in _list_drawn_items(drawing)}

    def _apply_new_drawing(
        self, session: VideoSession, result: Result, settings: Settings, drawing: Drawing
    ) -> Result:
        """Corrects tracks with the items drawn since the last frame, or starts tracks there."""
        if isinstance(session.prompt, ConceptPrompt):
            return result
        items = _list_drawn_items(drawing)
        new = [(item, label) for item, label in items if item not in self._drawn]
        self._drawn = {item for item, _ in items}
        if session.frame_index == 0 and result.frame_index == 0 and not new:
            return result
        boxes = [item for item, _ in new if len(item) == 4]
        points = [(item, label) for item, label in new if len(item) == 2]
        started = [PromptedObject(box_xyxy=box) for box in boxes]
        for track_id, own in _assign_points(points, result, settings.refine).items():
            prompted = PromptedObject(tuple(xy for xy, _ in own), tuple(label for _, label in own))
            if track_id is None:
                started.append(prompted)
            else:
                result = session.correct(track_id, prompted)
        if session.frame_index > 0:
            found = _find_new_detections(drawing, result)
            room = max(0, session.max_objects - len(session.track_ids) - len(started))
            if len(found) > room:
                self._warnings.warn([f"tracking: {session.max_objects} objects are followed, so "
                                     "further boxes of the earlier task start none"])  # fmt: skip
            started += found[:room]
        return session.add_objects(ObjectPrompt(tuple(started))) if started else result


def should_track(
    settings: Settings, mode: str, position: VideoPosition | None, source: str
) -> tuple[bool, str]:
    """Decides whether a run is a frame of a video.

    Args:
        settings: The parameters.
        mode: The prompt mode, with ``auto`` resolved.
        position: Of the frame; None where the input is no video.
        source: Path of the input, or empty.

    Returns:
        Whether to track, and a warning where ``auto`` would have but cannot.

    Raises:
        ValueError: If ``tracking`` is ``on`` and the run cannot be tracked.
    """
    if settings.tracking == "off" or (settings.tracking == "auto" and position is None):
        return False, ""
    reason = ""
    if mode == "describe":
        reason = "prompt_mode: descriptions are for images, not for the frames of a video"
    elif mode == "everything":
        reason = "prompt_mode: everything has no objects to follow"
    elif mode == "concept" and settings.tiles != 1:
        reason = "tiles: objects are not followed through tiles"
    if settings.tracking == "auto":
        return not reason, f"{reason}; tracking is off for this video" if reason else ""
    if not reason and position is None and source:
        reason = (
            "tracking on: expected a video or frames given as arrays, got the image file "
            f"{source[-60:]!r} (a folder is read unsorted)"
        )
    if reason:
        raise ValueError(reason if reason.startswith("tracking") else f"{reason} (tracking is on)")
    return True, ""


def _make_key(
    engine: Engine, settings: Settings, drawing: Drawing, reading: PromptReading, hw: Any
) -> Any:
    """Makes the key of a video's tracks: a run with another key starts new tracks."""
    values = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    prompt = tuple(v for name, v in values.items() if name not in _FREE_TO_CHANGE)
    exemplars = (drawing.boxes_xyxy, drawing.box_labels) if reading.mode == "concept" else ()
    return id(engine), prompt, exemplars, reading.mode, hw


def _list_drawn_items(drawing: Drawing) -> list[tuple[Any, int]]:
    """Lists the drawn points and the boxes that have an area, each with its label."""
    boxes = zip(drawing.boxes_xyxy, drawing.box_labels, strict=True)
    return [
        *zip(drawing.points_xy, drawing.point_labels, strict=True),
        *((box, label) for box, label in boxes if label and box[0] < box[2] and box[1] < box[3]),
    ]


def _assign_points(
    points: Sequence[tuple[PointXy, int]], result: Result, refine: bool
) -> Mapping[int | None, list[tuple[PointXy, int]]]:
    """Finds the track that each new point corrects; None for those that start an object.

    With ``refine`` every point corrects the track it is nearest to. Without, foreground points
    start one object together, and points of background alone correct.
    """
    assigned: dict[int | None, list[tuple[PointXy, int]]] = {}
    starts = bool(points) and not refine and any(label for _, label in points)
    for xy, label in points:
        nearest = min(result.instances, key=lambda i: _measure_distance(xy, i), default=None)
        track_id = None if starts or nearest is None else nearest.track_id
        assigned.setdefault(track_id, []).append((xy, label))
    if not result.instances and not any(label for _, label in points):
        return {}
    return assigned


def _measure_distance(point_xy: PointXy, instance: Instance) -> tuple[float, int]:
    """Measures the squared distance to an instance's box, and the mask's area for equal ones."""
    (x, y), (left, top, right, bottom) = point_xy, instance.box_xyxy
    dx, dy = max(left - x, 0, x - right), max(top - y, 0, y - bottom)
    return dx * dx + dy * dy, instance.mask.area


def _find_new_detections(drawing: Drawing, result: Result) -> list[PromptedObject]:
    """Finds detections of an earlier task where no track is in view yet."""
    return [
        PromptedObject(box_xyxy=d.box_xyxy, class_name=d.class_name or "object")
        for d in drawing.detections
        if all(
            _compute_box_iou(d.box_xyxy, i.box_xyxy) <= SAME_OBJECT_IOU for i in result.instances
        )
    ]


def _compute_box_iou(one: BoxXyxy, other: BoxXyxy) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return shared / (sum(areas) - shared)
