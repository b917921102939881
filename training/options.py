"""Declares the options of a fine-tuning, checked before anything is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..engine import validation
from ..engine.model_options import ModelOptions
from ..engine.validation import value_error

PART_NAMES = ("detector", "fusion", "detector+image")
"""What can be trained; :mod:`parts` knows the modules of each."""

LOGS = ("", "tensorboard")
IMAGES_A_STEP = 4
MAX_STEPS = 10**6
MAX_PROMPTS = 64
MAX_EACH = 8
MAX_RANK = 256
LORA_SCALE = 2


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Holds what is right for one model.

    Attributes:
        rank: Of the LoRA factors.
        learning_rate: Highest one.
        prompts: Most prompts of a forward pass.
    """

    rank: int
    learning_rate: float
    prompts: int


RECIPES = {"tiny_shapes": Recipe(8, 1e-3, 20), "sam3": Recipe(16, 2e-4, 4)}
"""Measured for ``tiny_shapes``; an estimate for ``sam3``, whose weights were never trained here."""


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Holds all options of a fine-tuning.

    Attributes:
        coco: A COCO file with what is to be learned.
        images: Folder of its images.
        out: Folder for the adapter, the scores and all that is needed to go on.
        model: Which model is trained.
        val: Share of the images that are held out, by the hash of their content; not with
            ``val_coco``.
        val_coco: A COCO file with held-out images; blank for none.
        val_images: Folder of those; blank for ``images``.
        known_coco: A COCO file with concepts that the model knew before, to score what it
            forgets; blank to take its own sure answers to the words on the held-out images.
        known_images: Folder of those.
        rename: Phrase for each category's name; a blank one leaves it out.
        not_exhaustive: Categories of which not all objects are labeled.
        parts: ``detector``, ``fusion`` (7 times fewer parameters) or ``detector+image``.
        steps: Steps of training, 4 images each.
        learning_rate: Highest one; 0 for that of the model's recipe.
        rank: Of the LoRA factors; 0 for that of the recipe.
        prompts: Most prompts of a forward pass, which bounds memory; 0 for the recipe's.
        negatives: Absent phrases for each image and step.
        anchors: Phrases that the base model knows, for each image and step.
        words: Text file with a phrase a line to take both from; blank for the list that ships.
        mirror: Whether images come mirrored, too; not for what has a left and a right.
        score_every: Steps between two scores of the held-out images; 0 for ten scores.
        patience: Scores without a better one after which training stops; 0 for never.
        seed: Of all random choices.
        features: Folder for encoded images, which jobs may share; blank for one in ``out``.
        log: ``tensorboard``, or blank.
    """

    coco: str
    images: str
    out: str
    model: ModelOptions = dataclasses.field(default_factory=ModelOptions)
    val: float = 0.2
    val_coco: str = ""
    val_images: str = ""
    known_coco: str = ""
    known_images: str = ""
    rename: Mapping[str, str] = dataclasses.field(default_factory=dict)
    not_exhaustive: tuple[str, ...] = ()
    parts: str = "detector"
    steps: int = 1000
    learning_rate: float = 0
    rank: int = 0
    prompts: int = 0
    negatives: int = 1
    anchors: int = 2
    words: str = ""
    mirror: bool = True
    score_every: int = 0
    patience: int = 0
    seed: int = 0
    features: str = ""
    log: str = ""

    def __post_init__(self) -> None:
        validation.to_number("val", self.val, 0.001, 0.999)
        validation.check_choice("parts", self.parts, PART_NAMES)
        validation.check_choice("log", self.log, LOGS)
        validation.to_number("learning_rate", self.learning_rate, 0, 1)
        validation.to_whole_number("steps", self.steps, 1, MAX_STEPS)
        validation.to_whole_number("rank", self.rank, 0, MAX_RANK)
        validation.to_whole_number("prompts", self.prompts, 0, MAX_PROMPTS)
        validation.to_whole_number("negatives", self.negatives, 0, MAX_EACH)
        validation.to_whole_number("anchors", self.anchors, 0, MAX_EACH)
        validation.to_whole_number("score_every", self.score_every, 0, MAX_STEPS)
        validation.to_whole_number("patience", self.patience, 0, MAX_STEPS)
        validation.to_whole_number("seed", self.seed, 0, 2**31 - 1)
        if self.known_coco and not self.known_images:
            raise value_error("known_images", "the folder of known_coco's images", "")

    @property
    def recipe(self) -> Recipe:
        """The recipe, with what the user chose."""
        own = RECIPES.get(self.model.model_name, RECIPES["sam3"])
        return Recipe(
            self.rank or own.rank,
            self.learning_rate or own.learning_rate,
            self.prompts or own.prompts,
        )

    @property
    def interval(self) -> int:
        """Steps between two scores."""
        return self.score_every or max(1, self.steps // 10)

    def describe(self) -> dict[str, Any]:
        """Describes all that the adapter depends on, as plain data by option."""
        own = dataclasses.asdict(self)
        left_out = ("out", "model", "features", "log", "learning_rate", "rank", "prompts")
        for name in left_out:
            del own[name]
        return {
            **own,
            **self.model.describe(),
            **dataclasses.asdict(self.recipe),
            "not_exhaustive": list(self.not_exhaustive),
            "rename": dict(self.rename),
        }


def parse_rename(text: str) -> dict[str, str]:
    """Reads ``"old=new phrase, other=phrase"``; else ValueError."""
    renames = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, sign, phrase = part.partition("=")
        if not sign or not name.strip():
            raise value_error("rename", '"category=phrase, other=phrase"', text)
        renames[name.strip()] = phrase.strip()
    return renames
