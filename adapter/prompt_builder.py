"""Builds the engine's prompt from the parameters and the drawing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from ..engine import validation
from ..engine.concept_text import find_decimal_commas
from ..engine.drawing.palette import RgbColor
from ..engine.prompts import ConceptPrompt, EverythingPrompt, ObjectPrompt, Prompt, PromptedObject
from ..engine.reference_image import ReferenceImage
from ..engine.results import Result
from .inputs.graphics import Drawing
from .labeled_inputs import (
    LabeledBox,
    clip_detections,
    read_boxes,
    read_drawn_boxes,
    read_points,
)
from .object_builder import add_previous_masks, build_objects
from .parameters.settings import Settings

Mode = Literal["object", "concept", "everything", "describe"]

_NO_PROMPT = "no prompt: set input_text, input_point or input_box, or draw on the image"
_NO_DETECTIONS = "no prompt: the earlier task found nothing"


@dataclasses.dataclass(frozen=True)
class PromptReading:
    """The prompt read from the parameters and the drawing, with its warnings.

    Attributes:
        prompt: The engine's prompt; None for a run without a prompt, which is valid. For
            ``describe`` that of a phrase, with the description in its place.
        mode: The prompt mode, with ``auto`` resolved.
        class_colors: Colors of the classes of an earlier task's detections.
        warnings: One line for each value that was left out or is doubtful.
        infos: One line for each choice made for the user.
        drawn_used: Number of drawn or detected points and boxes that the prompt uses.
        drawn_count: Number of drawn or detected points and boxes.
    """

    prompt: Prompt | None
    mode: Mode
    class_colors: Mapping[str, RgbColor] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    drawn_used: int = 0
    drawn_count: int = 0


def build_prompt(
    settings: Settings,
    drawing: Drawing,
    image_hw: tuple[int, int],
    previous: tuple[ObjectPrompt, Result] | None = None,
    reference: ReferenceImage | None = None,
) -> PromptReading:
    """Builds the prompt of a run.

    Args:
        settings: The parameters.
        drawing: Points and boxes that were drawn, or detected by an earlier task.
        image_hw: Height and width of the image, in pixels.
        previous: Object prompt and result of the last run on the same image and model,
            for ``refine``.
        reference: The picture of ``reference_image``, in which a concept's boxes lie.

    Returns:
        The prompt and its warnings.

    Raises:
        ValueError: If the number of labels differs from the number of points or boxes, a point
            or a whole box is outside its image, all exemplars are negative without a text,
            masks are switched off and needed, or a reference has no box or is not for the mode.
    """
    mode = resolve_mode(settings)
    if mode == "everything":
        reading = _read_everything(settings, drawing)
    elif mode == "describe":
        reading = _read_description(settings, drawing)
    elif mode == "concept":
        _check_boxes_only(settings)
        reading = _read_concepts(settings, drawing, image_hw, reference)
    elif settings.reference_image:
        raise validation.value_error(
            "reference_image",
            "none with prompt_mode object, whose boxes lie in the image itself",
            settings.reference_image,
        )
    else:
        reading = _read_objects(settings, drawing, image_hw, previous)
    if reading.prompt is not None and mode != "concept" and not settings.masks:
        raise validation.value_error(
            "masks", f"True with prompt_mode {mode}, which answers with masks only", "False"
        )
    warnings, infos = reading.warnings, _describe_auto_mode(settings, drawing)
    if drawing.ignored_shapes:
        shapes = ", ".join(sorted(set(drawing.ignored_shapes)))
        warnings += (f"drawn items: only points and rectangles are prompts, left out: {shapes}",)
    if reading.prompt is None:
        if drawing.is_from_task:
            infos += (_NO_DETECTIONS,)
        else:
            warnings += (_NO_PROMPT,)
    return dataclasses.replace(reading, warnings=warnings, infos=infos, drawn_count=len(drawing))


def resolve_mode(settings: Settings) -> Mode:
    """Resolves ``auto``: ``concept`` with a text or a reference image, else ``object``."""
    if settings.prompt_mode != "auto":
        return settings.prompt_mode
    return "concept" if settings.input_text or settings.reference_image else "object"


def _check_boxes_only(settings: Settings) -> None:
    """Refuses parameters that need masks while ``masks`` is False."""
    if settings.masks:
        return
    for name, unset in (("min_area", 0), ("tiles", 1), ("refine", False)):
        value = getattr(settings, name)
        if value != unset:
            raise validation.value_error(name, "its default with masks False", str(value))


def _describe_auto_mode(settings: Settings, drawing: Drawing) -> tuple[str, ...]:
    if settings.prompt_mode != "auto" or settings.reference_image or not settings.input_text:
        return ()
    if not (settings.input_point or settings.input_box or drawing.points_xy or drawing.boxes_xyxy):
        return ()
    return ("prompt_mode auto: read as a concept, boxes are exemplars of the text",)


def _read_everything(settings: Settings, drawing: Drawing) -> PromptReading:
    prompt = EverythingPrompt(settings.points_per_side, settings.min_area)
    values = settings.input_text, settings.input_point, settings.input_box, settings.reference_image
    given = any(values) or len(drawing) > 0
    warning = "prompt_mode everything: texts, points and boxes are left out"
    return PromptReading(prompt, "everything", warnings=(warning,) if given else ())


def _read_description(settings: Settings, drawing: Drawing) -> PromptReading:
    given = settings.input_point, settings.input_box, settings.reference_image, len(drawing)
    warnings = ("prompt_mode describe: points, boxes and reference_image are left out",)
    prompt = None
    if settings.input_text:
        prompt = ConceptPrompt(
            (settings.input_text[0].text,),
            confidence_threshold=settings.confidence_threshold,
            overlap=settings.overlap,
            min_area_px=settings.min_area,
            tiles=settings.tiles,
        )
    return PromptReading(prompt, "describe", warnings=warnings if any(given) else ())


def _read_concepts(
    settings: Settings,
    drawing: Drawing,
    image_hw: tuple[int, int],
    reference: ReferenceImage | None,
) -> PromptReading:
    warnings: list[str] = []
    point_count = sum(map(len, settings.input_point)) + len(drawing.points_xy)
    if point_count:
        warnings.append(f"input_point: a concept takes no points, {point_count} left out")
    if reference is None:
        own = read_boxes(settings, image_hw, warnings)
    else:
        drawing = _leave_out_boxes(drawing, warnings)
        own = read_boxes(settings, reference.hw, warnings, "reference image")
        if not own:
            raise ValueError("input_box: expected a box in reference_image, got none")
    drawn = read_drawn_boxes(drawing, image_hw, warnings)
    if settings.prompt_mode == "auto" and drawing.detections:
        # Two of these tasks in series: each runs its own text.
        found = []
        warnings.append(
            f"input_text: {len(drawing.detections)} boxes of the earlier task left out, because "
            "this task has a text of its own; set prompt_mode to object to segment them"
        )
    else:
        found = clip_detections(drawing.detections, image_hw, warnings)
    exemplars = own + drawn + [(detection.box_xyxy, 1) for detection in found]
    texts = settings.input_text
    warnings += [f"input_text: {line}" for line in find_decimal_commas(texts)]
    if not texts and not exemplars:
        return PromptReading(None, "concept", warnings=tuple(warnings))
    if not texts and not any(label for _, label in exemplars):
        raise ValueError(
            "input_text: expected a text beside boxes that are all negative exemplars, got ''"
        )
    thresholds = tuple(concept.threshold for concept in texts)
    prompt = ConceptPrompt(
        texts=tuple(concept.text for concept in texts),
        thresholds=thresholds if any(t is not None for t in thresholds) else (),
        exemplars_xyxy=tuple(box for box, _ in exemplars),
        exemplar_labels=tuple(label for _, label in exemplars),
        confidence_threshold=settings.confidence_threshold,
        overlap=settings.overlap,
        min_area_px=settings.min_area,
        tiles=settings.tiles,
        masks=settings.masks,
        reference=reference,
    )
    used = len(drawn) + len(found)
    return PromptReading(prompt, "concept", warnings=tuple(warnings), drawn_used=used)


def _read_objects(
    settings: Settings,
    drawing: Drawing,
    image_hw: tuple[int, int],
    previous: tuple[ObjectPrompt, Result] | None,
) -> PromptReading:
    warnings: list[str] = []
    groups = read_points(settings, image_hw, warnings)
    validation.check_inside("drawn points", drawing.points_xy, image_hw)
    own = read_boxes(settings, image_hw, warnings)
    drawn = read_drawn_boxes(drawing, image_hw, warnings)
    boxes = [box for box, label in own + drawn if label]
    negative_count = len(own) + len(drawn) - len(boxes)
    if negative_count:
        warnings.append(f"input_box_label: objects take no negative box, {negative_count} left out")
    found = clip_detections(drawing.detections, image_hw, warnings)
    objects, stray_count = build_objects(settings, groups, boxes, drawing, found)
    if stray_count:
        warnings.append(f"input_point: {stray_count} inside none of the boxes, left out")
    if any(1 not in o.point_labels and o.box_xyxy is None for o in objects):
        warnings.append("input_point_label: an object of background points only is a guess")
    if settings.refine:
        objects = add_previous_masks(objects, previous)
    return PromptReading(
        ObjectPrompt(objects, settings.multimask_output, settings.refine) if objects else None,
        "object",
        class_colors={d.class_name: d.color for d in reversed(found) if d.class_name},
        warnings=tuple(warnings),
        drawn_used=_count_drawn_used(drawing, drawn, objects) + len(found),
    )


def _leave_out_boxes(drawing: Drawing, warnings: list[str]) -> Drawing:
    """Removes the boxes drawn here, because all exemplars lie in the reference image."""
    count = len(drawing.boxes_xyxy) + len(drawing.detections)
    if count:
        warnings.append(f"reference_image: its boxes are the exemplars, {count} here left out")
    return dataclasses.replace(drawing, boxes_xyxy=(), box_labels=(), detections=())


def _count_drawn_used(
    drawing: Drawing, drawn: list[LabeledBox], objects: tuple[PromptedObject, ...]
) -> int:
    used = {pair for o in objects for pair in zip(o.points_xy, o.point_labels, strict=True)}
    points = zip(drawing.points_xy, drawing.point_labels, strict=True)
    return sum(pair in used for pair in points) + sum(label for _, label in drawn)
