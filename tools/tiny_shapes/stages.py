"""Lists the stages of the training of ``tiny_shapes``."""

from __future__ import annotations

import dataclasses

from ...engine.model.config import TINY_SHAPES
from .footage import CLIP_LIKE_SHARE
from .sample_pool import LIKE_SHARE
from .training_model import TRACKER, TRACKER_NECK

DETECTOR = (
    "backbone.language_backbone.",
    "geometry_encoder.",
    "transformer.",
    "segmentation_head.",
    "dot_prod_scoring.",
)
"""Prefixes of the detector's parameters, without those of the image encoder."""

TRACKER_PARTS = (TRACKER, TRACKER_NECK + "2.")
"""Prefixes of the tracker's parameters, with those of its coarsest map. Clicks need the finer
ones, which stay as they are."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """Describes one stage of the training: input size, steps, losses, trained parameters.

    Attributes:
        name: Name of the stage.
        side: Side of the model's input, in pixels.
        steps: Number of optimizer steps.
        batch: Images in each step.
        learning_rate: Highest learning rate, reached after ``warmup`` steps.
        last_rate: Last learning rate, as a share of the highest.
        concepts: Whether concept prompts are trained.
        objects: Whether object prompts are trained.
        looks: Clips of scattered shapes in each step whose looks the tracker's neck learns.
        scattered: Such clips whose shapes are followed, with the truth remembered.
        moving: Clips whose shapes are followed with what the tracker found before.
        frames: Frames of these.
        clip_like_share: Share of these with shapes that look the same.
        entering_share: Share of these in which such a shape enters later.
        trained: Prefixes of the parameters that are trained; the others are frozen.
        new_memory: Whether the tracker's memory starts from new random weights.
        known_rate: Factor on the learning rate of parameters outside the tracker's memory.
        neck_rate: Factor on that of the tracker's neck.
        like_share: Share of scenes with several shapes of one color and kind.
        exemplar_share: Share of the concepts with something to find that get exemplar boxes.
        elsewhere_share: Share of those whose boxes lie in another image of the batch.
        frame_share: Share of the images that are frames of clips.
        warmup: Steps in which the learning rate rises linearly.
        mixed_with: Earlier stages, each with its share of the final weights, which are the
            mean of theirs and of this stage's.
    """

    name: str
    side: int
    steps: int
    batch: int
    learning_rate: float
    last_rate: float
    concepts: bool
    objects: bool = True
    looks: int = 0
    scattered: int = 0
    moving: int = 0
    frames: int = 24
    clip_like_share: float = CLIP_LIKE_SHARE
    entering_share: float = 0.0
    trained: tuple[str, ...] = ("",)
    new_memory: bool = False
    known_rate: float = 1.0
    neck_rate: float = 1.0
    like_share: float = LIKE_SHARE
    exemplar_share: float = 0.3
    elsewhere_share: float = 0.0
    frame_share: float = 0.0
    warmup: int = 200
    mixed_with: tuple[tuple[str, float], ...] = ()


_MANY_ALIKE = Stage(
    name="many alike",
    side=TINY_SHAPES.image_size,
    steps=1300,
    batch=6,
    learning_rate=3e-4,
    last_rate=0.01,
    concepts=True,
    objects=False,
    trained=DETECTOR,
    like_share=0.55,
    warmup=100,
)

# Scenes have almost no overlap: what others hide is learned from frames of clips. Their
# exemplars are used on other frames, as in a video.
_FRAMES_OF_CLIPS = dataclasses.replace(
    _MANY_ALIKE,
    name="frames of clips",
    steps=1250,
    batch=8,
    learning_rate=4e-4,
    like_share=0.45,
    exemplar_share=0.5,
    elsewhere_share=0.4,
    frame_share=0.5,
    warmup=60,
)

_VIDEO = Stage(
    name="video",
    side=TINY_SHAPES.image_size,
    steps=1200,
    batch=5,
    learning_rate=7e-4,
    last_rate=0.03,
    concepts=False,
    scattered=1,
    moving=2,
    trained=TRACKER_PARTS,
    known_rate=0.12,
    neck_rate=0.12,
    warmup=40,
)

_VIDEO_ANNEALED = dataclasses.replace(
    _VIDEO,
    name="video, annealed",
    steps=420,
    batch=6,
    learning_rate=4e-4,
    last_rate=0.02,
    scattered=0,
    clip_like_share=0.9,
    known_rate=0.1,
    neck_rate=0.1,
)

STAGES = (
    # The interactive decoder stays on a plateau for a thousand steps before it learns;
    # alone and small, those steps are cheap.
    Stage("objects, small", 112, 1400, 16, 1e-3, 0.8, concepts=False),
    Stage("everything, small", 112, 2000, 16, 8e-4, 0.6, concepts=True),
    Stage("everything", 224, 1500, 8, 6e-4, 0.4, concepts=True),
    Stage("everything, annealed", 224, 3500, 8, 6e-4, 0.01, concepts=True),
    # A finer grid sharpens every mask at once; the rest has to get used to it.
    Stage("sharper", TINY_SHAPES.image_size, 3000, 6, 3.5e-4, 0.01, concepts=True, warmup=100),
    # The image encoder stays as it is from here on: what was learned with it stays right.
    _MANY_ALIKE,
    dataclasses.replace(
        _MANY_ALIKE,
        name="many alike, again",
        steps=900,
        learning_rate=2.5e-4,
        like_share=0.6,
        warmup=40,
    ),
    # Crowds alone make the detector forget what exemplars mean.
    dataclasses.replace(
        _MANY_ALIKE,
        name="many alike, with exemplars",
        steps=1100,
        learning_rate=2.5e-4,
        like_share=0.42,
        exemplar_share=0.6,
        warmup=40,
    ),
    # With fewer crowds, so that other scenes get back what they lost.
    dataclasses.replace(
        _MANY_ALIKE,
        name="many alike, annealed",
        steps=700,
        learning_rate=1.5e-4,
        like_share=0.3,
        exemplar_share=0.5,
        warmup=40,
        # The mean finds crowds as well as each, and exemplars and cut shapes better.
        mixed_with=(("sharper", 0.05), ("many alike, with exemplars", 0.475)),
    ),
    _FRAMES_OF_CLIPS,
    dataclasses.replace(
        _FRAMES_OF_CLIPS,
        name="frames of clips, annealed",
        steps=980,
        learning_rate=3e-4,
        warmup=40,
        mixed_with=(("many alike, annealed", 0.45), ("frames of clips", 0.275)),
    ),
    # Clicks teach the tracker's neck edges. To find a shape again, it must tell looks. That
    # disturbs clicks; with as many of them as here they get all of it back.
    Stage(
        name="looks",
        side=TINY_SHAPES.image_size,
        steps=900,
        batch=12,
        learning_rate=8e-4,
        last_rate=0.02,
        concepts=False,
        looks=2,
        trained=TRACKER_PARTS,
        known_rate=0.4,
        warmup=30,
    ),
    # Where shapes are is no help here: attention learns to compare looks within 100 steps.
    dataclasses.replace(
        _VIDEO,
        name="video, scattered",
        steps=250,
        batch=6,
        learning_rate=8e-4,
        last_rate=0.8,
        moving=0,
        new_memory=True,
        known_rate=0.15,
        neck_rate=0.15,
    ),
    _VIDEO,
    _VIDEO_ANNEALED,
    # A shape that enters beside one that looks the same must not become part of its mask.
    dataclasses.replace(
        _VIDEO_ANNEALED,
        name="video, look-alikes enter",
        steps=1000,
        learning_rate=5e-4,
        clip_like_share=0.85,
        entering_share=0.6,
    ),
)
