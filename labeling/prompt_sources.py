"""Makes the prompts of each image of a job: the same everywhere, or from a COCO file's boxes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from ..engine import (
    ConceptPrompt,
    EverythingPrompt,
    ObjectPrompt,
    Prompt,
    PromptedObject,
    validation,
)
from ..engine.export.coco import prompt_to_dict
from ..engine.prompts import EXEMPLAR_CLASS_NAME
from ..engine.validation import BoxXyxy, value_error
from .coco import Category, read_coco

BoxesAs = Literal["objects", "exemplars"]


@dataclasses.dataclass(frozen=True)
class CategorizedPrompt:
    """Holds the prompt of one call of the engine, and the category of each class.

    Attributes:
        prompt: The prompt.
        category_ids: COCO id of each class of the result, by class name.
    """

    prompt: Prompt
    category_ids: dict[str, int]


class PromptSource(Protocol):
    """Makes the prompts of each image."""

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes of the data set."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks about the prompts for the user, one sentence each."""

    def make_prompts(self, name: str) -> Sequence[CategorizedPrompt]:
        """Makes the prompts of one image, by its name."""

    def describe(self) -> dict[str, Any]:
        """Describes the prompts as plain data by option."""


@dataclasses.dataclass(frozen=True)
class SamePrompt:
    """Uses the same prompt for every image.

    Attributes:
        prompt: A concept prompt, or one for everything.
    """

    prompt: ConceptPrompt | EverythingPrompt

    @property
    def categories(self) -> tuple[Category, ...]:
        """One category a concept, in the order of the prompt."""
        return tuple(Category(k, name) for k, name in enumerate(self.prompt.class_names, start=1))

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing: a prompt is taken as it is or refused."""
        return ()

    def make_prompts(self, name: str) -> Sequence[CategorizedPrompt]:
        """Returns the one prompt."""
        return (CategorizedPrompt(self.prompt, {c.name: c.id for c in self.categories}),)

    def describe(self) -> dict[str, Any]:
        """Converts the prompt to plain data."""
        return prompt_to_dict(self.prompt)


@dataclasses.dataclass(frozen=True)
class DescriptionPrompt:
    """Asks for what a description means in every image; who runs the job brings what finds it.

    Attributes:
        prompt: Of a phrase, with the description in its place.
        agent_model: Name of the language model that chooses.
        max_requests: Most questions to it an image.
        host: Where it is asked.
    """

    prompt: ConceptPrompt
    agent_model: str
    max_requests: int
    host: str

    @property
    def categories(self) -> tuple[Category, ...]:
        """One category, the description."""
        return (Category(1, self.prompt.texts[0]),)

    @property
    def notes(self) -> tuple[str, ...]:
        """What an image costs, and where it is sent."""
        return (
            f"describe: every image is sent to {self.agent_model} at {self.host}, usually 2 or 3 "
            f"requests an image and at most {self.max_requests}.",
        )

    def make_prompts(self, name: str) -> Sequence[CategorizedPrompt]:
        """Returns the one prompt."""
        return (CategorizedPrompt(self.prompt, {c.name: c.id for c in self.categories}),)

    def describe(self) -> dict[str, Any]:
        """Describes all that the results depend on, but not where the language model runs."""
        return {
            **prompt_to_dict(self.prompt),
            "kind": "describe",
            "agent_model": self.agent_model,
            "max_requests": self.max_requests,
        }


class BoxPrompts:
    """Uses the boxes of a COCO file: each one an object, or together the exemplars of a class."""

    def __init__(
        self, address: str, boxes_as: BoxesAs = "objects", confidence_threshold: float = 0.5
    ) -> None:
        """Reads and checks the file.

        Args:
            address: A COCO file: ``images`` with ``file_name``, ``categories``, and
                ``annotations`` with ``bbox`` as xywh in pixels.
            boxes_as: ``objects``: a mask for each box. ``exemplars``: for each category
                everything in the image that looks like its boxes.
            confidence_threshold: Of exemplars.

        Raises:
            ValueError: If the file cannot be read, or lacks what is needed.
        """
        validation.check_choice("boxes_as", boxes_as, ("objects", "exemplars"))
        data_set = read_coco("boxes", address)
        self._notes = tuple(f"boxes: {note}" for note in data_set.notes)
        self._boxes_as = boxes_as
        self._threshold = validation.to_number("threshold", confidence_threshold, 0, 1)
        self._sha256 = data_set.sha256
        self._categories = data_set.categories
        names = {image.id: image.file_name for image in data_set.images}
        self._boxes: dict[str, list[tuple[int, BoxXyxy]]] = {}
        for annotation in data_set.annotations:
            self._boxes.setdefault(names[annotation.image_id], []).append(
                (annotation.category_id, annotation.box_xyxy)
            )
        if len({category.name for category in self._categories}) < len(self._categories):
            raise value_error("boxes", "categories of different names", address)

    @property
    def categories(self) -> tuple[Category, ...]:
        """The file's own categories."""
        return self._categories

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the file was left out, derived or corrected."""
        return self._notes

    def make_prompts(self, name: str) -> Sequence[CategorizedPrompt]:
        """Makes the prompts of an image's boxes; none for an image without boxes."""
        boxes = self._boxes.get(name, [])
        names = {category.id: category.name for category in self._categories}
        if self._boxes_as == "objects":
            objects = [
                PromptedObject(box_xyxy=box, class_name=names[category_id])
                for category_id, box in boxes
            ]
            most = validation.MAX_OBJECTS
            ids = {category.name: category.id for category in self._categories}
            return [
                CategorizedPrompt(ObjectPrompt(tuple(objects[start : start + most])), ids)
                for start in range(0, len(objects), most)
            ]
        return [
            CategorizedPrompt(
                ConceptPrompt(
                    exemplars_xyxy=tuple(box for owner, box in boxes if owner == category_id),
                    confidence_threshold=self._threshold,
                ),
                {EXEMPLAR_CLASS_NAME: category_id},
            )
            for category_id in sorted({owner for owner, _ in boxes})
        ]

    def describe(self) -> dict[str, Any]:
        """Describes the file by a hash of its content."""
        threshold = {} if self._boxes_as == "objects" else {"threshold": self._threshold}
        return {"boxes": f"sha256 {self._sha256}", "boxes_as": self._boxes_as, **threshold}
