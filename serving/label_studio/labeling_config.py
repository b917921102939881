"""Reads a project's labeling configuration: which labels, drawn with which tool."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal
from xml.etree.ElementTree import Element, ParseError

from ...engine.validation import shorten

RegionKind = Literal["brush", "polygon", "rectangle"]

OUTPUT_TAGS: dict[str, RegionKind] = {
    "BrushLabels": "brush",
    "PolygonLabels": "polygon",
    "RectangleLabels": "rectangle",
}
"""Tags that can hold a prediction, the most exact first: the first one there is used."""

MAX_CONFIG_CHARS = 1_000_000
_EXPECTED = (
    "an <Image> and <BrushLabels>, <PolygonLabels> or <RectangleLabels> with <Label>s for it"
)


class LabelingConfigError(ValueError):
    """Reports that a labeling configuration has no tag that can hold a prediction."""


@dataclasses.dataclass(frozen=True)
class LabelingConfig:
    """Holds the part of a labeling configuration that predictions need.

    Attributes:
        image_name: Name of the image tag.
        image_value: What the image tag shows, such as ``$image``.
        control_name: Name of the tag that predictions belong to.
        kind: How it draws.
        labels: Phrase of each label, by the name it has in results: its alias, if it has one.
    """

    image_name: str
    image_value: str
    control_name: str
    kind: RegionKind
    labels: dict[str, str]

    def find_image(self, data: dict[str, Any]) -> str:
        """Finds the address of a task's image.

        Args:
            data: The task's data.

        Returns:
            Where the image lies, as the task says it.

        Raises:
            LabelingConfigError: If the task has none.
        """
        if not self.image_value.startswith("$"):
            return self.image_value
        key = self.image_value[1:]
        value = data.get(key)
        if not isinstance(value, str) or not value.strip():
            expected = f"expected the address of an image, got {shorten(value)}"
            raise LabelingConfigError(f"data.{key[:60]}: {expected}")
        return value


def parse_labeling_config(xml: str) -> LabelingConfig:
    """Reads a labeling configuration.

    Args:
        xml: The configuration, as the project has it.

    Returns:
        Its first image that has a tag to draw with, and the most exact of those tags.

    Raises:
        LabelingConfigError: If it is no XML, or has no such image.
    """
    import defusedxml
    import defusedxml.ElementTree

    if len(xml) > MAX_CONFIG_CHARS:
        raise LabelingConfigError(f"label_config: expected at most {MAX_CONFIG_CHARS:,} characters")
    try:
        root = defusedxml.ElementTree.fromstring(xml, forbid_dtd=True)
    except (ParseError, defusedxml.DefusedXmlException, ValueError, RecursionError) as error:
        reason = type(error).__name__
        raise LabelingConfigError(
            f"label_config: expected XML ({reason}): {shorten(xml)}"
        ) from None
    for image in root.iter("Image"):
        for control, kind in _find_controls(root, image):
            labels = _read_labels(control)
            if labels:
                return LabelingConfig(
                    image.get("name", ""),
                    image.get("value", ""),
                    control.get("name", ""),
                    kind,
                    labels,
                )
    raise LabelingConfigError(f"label_config: expected {_EXPECTED}")


def _find_controls(root: Element, image: Element) -> Iterator[tuple[Element, RegionKind]]:
    for tag, kind in OUTPUT_TAGS.items():
        for control in root.iter(tag):
            if image.get("name", "") in control.get("toName", "").split(","):
                yield control, kind


def _read_labels(control: Element) -> dict[str, str]:
    """Reads the phrase of each label; of labels with equal phrases the first is kept."""
    labels: dict[str, str] = {}
    seen = set()
    for label in control.iter("Label"):
        phrase = " ".join(label.get("value", "").split())
        if phrase and phrase.casefold() not in seen:
            seen.add(phrase.casefold())
            labels.setdefault(label.get("alias") or label.get("value") or phrase, phrase)
    return labels
