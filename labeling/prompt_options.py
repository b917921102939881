"""Reads the prompts of a job from the options of the command line, and checks them."""

from __future__ import annotations

import dataclasses
import io

from ..engine import ConceptPrompt, EverythingPrompt, ReferenceImage, parsing, validation
from ..engine.concept_text import parse_concepts
from ..engine.images import decode_image
from ..engine.validation import BoxXyxy, value_error
from .addresses import resolve_address
from .prompt_sources import BoxPrompts, DescriptionPrompt, PromptSource, SamePrompt


@dataclasses.dataclass(frozen=True)
class PromptOptions:
    """Says what a job looks for, in the words of the command line.

    Attributes:
        text: Concepts as ``person, red car:0.4``.
        describe: What to find, in words for a language model.
        agent_model: Name of that language model.
        agent_host: Where it is asked.
        max_requests: Most questions to it an image.
        everything: Whether to segment all there is.
        boxes: Address of a COCO file with boxes, or with a ``reference`` the exemplar boxes in it.
        boxes_as: ``objects`` or ``exemplars``.
        exemplars: Exemplar boxes at the same place in every image (a fixed camera).
        exemplar_labels: 1 or 0 for each exemplar.
        reference: Address of a picture that shows what to look for.
        threshold: Of concepts without one of their own.
        tiles: ``off``, ``auto`` or a number of tiles a side.
        min_area: Smallest mask kept, in pixels.
        overlap: ``keep`` or ``best``.
        masks: False for boxes alone.
        points_per_side: Points of the grid for ``everything``.
    """

    text: str = ""
    describe: str = ""
    agent_model: str = ""
    agent_host: str = ""
    max_requests: int = 0
    everything: bool = False
    boxes: str = ""
    boxes_as: str = "objects"
    exemplars: str = ""
    exemplar_labels: str = ""
    reference: str = ""
    threshold: float = 0.5
    tiles: str = "off"
    min_area: int = 0
    overlap: str = "keep"
    masks: bool = True
    points_per_side: int = 32


def choose_prompts(options: PromptOptions) -> PromptSource:
    """Reads and checks the prompts of a job.

    Args:
        options: What the user wrote.

    Returns:
        The prompts of each image.

    Raises:
        ValueError: If a value is wrong, or not exactly one kind of prompt is given.
    """
    boxes, reference = options.boxes.strip(), options.reference.strip()
    concepts = bool(options.text.strip() or options.exemplars.strip() or reference)
    described = bool(options.describe.strip())
    kinds = [concepts, described, options.everything, bool(boxes) and not reference]
    if sum(kinds) != 1:
        raise ValueError(
            "text: expected exactly one of text (or exemplars, or reference), describe, everything "
            f"and boxes, got {sum(kinds)} of them"
        )
    if described:
        return _choose_description(options)
    if concepts:
        return SamePrompt(_choose_concepts(options))
    if not options.masks:
        raise ValueError("no_masks: expected text, exemplars or reference, which alone know boxes")
    if options.everything:
        return SamePrompt(
            EverythingPrompt(
                validation.to_whole_number(
                    "points_per_side", options.points_per_side, 1, validation.MAX_POINTS_PER_SIDE
                ),
                _check_area(options.min_area),
            )
        )
    if boxes.startswith("["):
        raise value_error("boxes", "a COCO file (coordinates belong to a reference)", boxes)
    return BoxPrompts(boxes, options.boxes_as, options.threshold)  # type: ignore[arg-type]


def _choose_description(options: PromptOptions) -> DescriptionPrompt:
    if not options.masks:
        raise ValueError("no_masks: expected masks with describe, which chooses among them")
    description = validation.to_description("describe", options.describe)
    prompt = _choose_concepts(dataclasses.replace(options, text="object"))
    return DescriptionPrompt(
        dataclasses.replace(prompt, texts=(description,)),
        options.agent_model,
        options.max_requests,
        options.agent_host,
    )


def _choose_concepts(options: PromptOptions) -> ConceptPrompt:
    concepts = parse_concepts("text", options.text)
    name, boxes, reference = _read_exemplars(options)
    labels = parsing.parse_box_labels("exemplar_labels", options.exemplar_labels)
    validation.check_same_count("exemplar_labels", len(labels), len(boxes), name)
    if not concepts and labels and 1 not in labels:
        raise value_error("exemplar_labels", "a text beside boxes that are all 0", labels)
    area = _check_area(options.min_area)
    if area and not options.masks:
        raise value_error("min_area", "0 with no_masks", area)
    return ConceptPrompt(
        texts=tuple(concept.text for concept in concepts),
        thresholds=tuple(concept.threshold for concept in concepts),
        exemplars_xyxy=boxes,
        exemplar_labels=labels,
        confidence_threshold=validation.to_number("threshold", options.threshold, 0, 1),
        overlap=validation.check_choice("overlap", options.overlap, ("keep", "best")),  # type: ignore[arg-type]
        min_area_px=area,
        tiles=parsing.parse_tiles("tiles", options.tiles),
        masks=options.masks,
        reference=reference,
    )


def _read_exemplars(
    options: PromptOptions,
) -> tuple[str, tuple[BoxXyxy, ...], ReferenceImage | None]:
    """Reads the option's name, the boxes and the picture they lie in, if it is another one."""
    if not options.reference.strip():
        return "exemplars", parsing.parse_boxes("exemplars", options.exemplars), None
    if options.exemplars.strip():
        expected = "none beside a reference, whose boxes stand in boxes"
        raise value_error("exemplars", expected, options.exemplars)
    boxes = parsing.parse_boxes("boxes", options.boxes)
    if not boxes:
        raise value_error("boxes", "boxes [x1, y1, x2, y2] in the reference", options.boxes)
    reference = _read_reference(options.reference)
    return "boxes", validation.clip_boxes_xyxy("boxes", boxes, reference.hw, "reference"), reference


def _read_reference(address: str) -> ReferenceImage:
    fs, path = resolve_address("reference", address)
    try:
        return ReferenceImage(decode_image(io.BytesIO(fs.cat_file(path))))
    except (OSError, ValueError) as error:
        expected = f"an image that can be read ({error})"
        raise value_error("reference", expected, address) from error


def _check_area(area: int) -> int:
    return validation.to_whole_number("min_area", area, 0, validation.MAX_AREA_PX)
