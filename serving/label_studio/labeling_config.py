"""Reads a project's labeling configuration: which labels, drawn with which tool."""

from __future__ import annotations

import dataclasses
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
MAX_TAGS = 10_000
MAX_DEPTH = 100
MAX_ATTRIBUTES = 100
"""Of one tag."""
MAX_LABELS = 200
"""Every label is a concept that the model looks for: 200 take it some seconds an image on a GPU."""

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
        LabelingConfigError: If it is no XML, has no such image, or more tags, attributes, depth
            or labels than the bounds of this module.
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
    _check_counts(root)
    controls = _list_controls(root)
    for image in root.iter("Image"):
        name = image.get("name", "")
        for tag, kind in OUTPUT_TAGS.items():
            if (name, tag) in controls:
                control, labels = controls[name, tag]
                if len(labels) > MAX_LABELS:
                    raise LabelingConfigError(
                        f"label_config: expected at most {MAX_LABELS} labels in <{tag}>, got "
                        f"{len(labels):,}"
                    )
                value = image.get("value", "")
                return LabelingConfig(name, value, control.get("name", ""), kind, labels)
    raise LabelingConfigError(f"label_config: expected {_EXPECTED}")


def _check_counts(root: Element) -> None:
    """Refuses what Label Studio itself could not show; what follows costs time for each of them."""
    tags, waiting = 0, [(root, 1)]
    while waiting:
        element, depth = waiting.pop()
        tags += 1
        if depth > MAX_DEPTH:
            raise LabelingConfigError(f"label_config: expected at most {MAX_DEPTH} nested tags")
        if len(element.attrib) > MAX_ATTRIBUTES:
            raise LabelingConfigError(
                f"label_config: expected at most {MAX_ATTRIBUTES} attributes of a tag, got "
                f"{len(element.attrib):,}"
            )
        if tags > MAX_TAGS:
            raise LabelingConfigError(f"label_config: expected at most {MAX_TAGS:,} tags")
        waiting += [(child, depth + 1) for child in element]


def _list_controls(root: Element) -> dict[tuple[str, str], tuple[Element, dict[str, str]]]:
    """Lists the first control with labels for each image and kind, in one walk."""
    controls: dict[tuple[str, str], tuple[Element, dict[str, str]]] = {}
    for tag in OUTPUT_TAGS:
        for control in root.iter(tag):
            labels = _read_labels(control)
            if labels:
                for image_name in control.get("toName", "").split(","):
                    controls.setdefault((image_name, tag), (control, labels))
    return controls


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
