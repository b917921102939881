"""Checks whether a prompt can be tracked through a video."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..checkpoints.loader import supports_video
from ..prompts import ConceptPrompt, ObjectPrompt, fit_to_image
from .trackers.buckets import BucketTracker
from .trackers.interface import Tracker
from .trackers.separate import SeparateTracker

if TYPE_CHECKING:
    from ..engine import Engine

P = TypeVar("P", bound=ConceptPrompt | ObjectPrompt)


def make_tracker(engine: Engine) -> Tracker:
    """Makes the tracker of one session, by what an engine's weights hold.

    Raises:
        ValueError: If its weights hold none, or its backend does not compute what it needs.
    """
    if not supports_video(engine.model):
        raise ValueError(
            "tracking: these weights hold no tracker with a memory, so they know images but not "
            "videos; use the whole file of SAM 3.1 (sam3.1_multiplex.pt of facebook/sam3.1), or "
            "sam3.pt of facebook/sam3"
        )
    heads = engine.model.inst_interactive_predictor.model
    if engine.model.multiplex is not None:
        if engine.model.backbone.vision_backbone.propagation_convs is None:
            raise ValueError("backend: openvino does not run SAM 3.1's tracker; use torch")
        return BucketTracker(heads, engine.model.multiplex)
    return SeparateTracker(heads)


def check_prompt(prompt: ConceptPrompt | ObjectPrompt, max_objects: int) -> None:
    """Checks that a prompt can be tracked.

    Raises:
        TypeError: If it is no such prompt.
        ValueError: If it asks for boxes alone, for tiles or for too many objects.
    """
    if isinstance(prompt, ConceptPrompt):
        if not prompt.masks:
            raise ValueError("masks: expected True, because tracks are matched by their masks")
        if prompt.tiles != 1:
            raise ValueError(f"tiles: expected 1 (off) while tracking, got {prompt.tiles}")
    elif isinstance(prompt, ObjectPrompt):
        check_count(len(prompt.objects), max_objects)
    else:
        raise TypeError(
            f"prompt: expected a ConceptPrompt or an ObjectPrompt, got {type(prompt).__name__}"
        )


def check_count(count: int, max_objects: int) -> None:
    """Checks that the number of objects is within the limit.

    Raises:
        ValueError: If they are too many.
    """
    if count > max_objects:
        raise ValueError(f"objects: expected at most {max_objects} (max_objects), got {count}")


def check_frame_size(hw: tuple[int, int], expected_hw: tuple[int, int]) -> None:
    """Checks that a frame has the size of the frames before it, both (height, width) in pixels.

    Raises:
        ValueError: If it has another size.
    """
    if hw != expected_hw:
        raise ValueError(
            f"image: expected {expected_hw[1]}x{expected_hw[0]} pixels as the frames before, got "
            f"{hw[1]}x{hw[0]}; call reset() before another video"
        )


def clip_to_frame(prompt: P, image_hw: tuple[int, int]) -> P:
    """Checks a prompt against an image, and clips its boxes to it.

    Raises:
        ValueError: If a point is outside the image, or a box wholly so.
    """
    fitted = fit_to_image(prompt, image_hw)
    assert isinstance(fitted, type(prompt))
    return fitted
