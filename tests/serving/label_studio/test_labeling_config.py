"""Labeling configurations: which tag is drawn with, and which are refused."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from infer_segment_anything_3.serving.label_studio.labeling_config import (
    LabelingConfigError,
    _check_counts,
    _list_controls,
    _read_labels,
    parse_labeling_config,
)

LABELS = '<Label value="red circle"/><Label value="blue square"/>'


def config(*controls: str, image: str = '<Image name="image" value="$image"/>') -> str:
    return f"<View>{image}{''.join(controls)}</View>"


def tag(name: str, control: str = "tag", to_name: str = "image", labels: str = LABELS) -> str:
    return f'<{name} name="{control}" toName="{to_name}">{labels}</{name}>'


@pytest.mark.parametrize(
    ("controls", "kind", "name"),
    [
        ([tag("RectangleLabels", "r"), tag("BrushLabels", "b")], "brush", "b"),
        ([tag("RectangleLabels", "r"), tag("PolygonLabels", "p")], "polygon", "p"),
        ([tag("KeyPointLabels", "k"), tag("RectangleLabels", "r")], "rectangle", "r"),
        ([tag("BrushLabels", "other", "page"), tag("PolygonLabels", "p")], "polygon", "p"),
    ],
)
def test_the_most_exact_tag_is_drawn_with(controls: list[str], kind: str, name: str) -> None:
    parsed = parse_labeling_config(config(*controls))
    assert (parsed.kind, parsed.control_name, parsed.image_name) == (kind, name, "image")
    assert parsed.labels == {"red circle": "red circle", "blue square": "blue square"}
    assert parsed.find_image({"image": "/data/upload/1/a.png"}) == "/data/upload/1/a.png"


def test_an_alias_names_the_result_and_the_value_is_asked_for() -> None:
    labels = '<Label value="red circle" alias="stop"/><View><Label value=" a  car "/></View>'
    parsed = parse_labeling_config(config(tag("BrushLabels", labels=labels)))
    assert parsed.labels == {"stop": "red circle", " a  car ": "a car"}


def test_a_label_that_comes_twice_is_asked_for_once() -> None:
    labels = '<Label value="car"/><Label value="Car"/>'
    assert parse_labeling_config(config(tag("BrushLabels", labels=labels))).labels == {"car": "car"}


BILLION_LAUGHS = '<!DOCTYPE l [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><View>&b;</View>'
EXTERNAL = '<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><View>&a;</View>'


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "<View>",
        "no xml",
        "<View/>",
        config(),
        config(tag("BrushLabels", labels="")),
        config(tag("BrushLabels", to_name="other")),
        config(tag("BrushLabels"), image='<Text name="image" value="$text"/>'),
        config(tag("KeyPointLabels")),
        "<a>" * 100_000,
        "<View>" + " " * 1_000_000 + "</View>",
        BILLION_LAUGHS,
        EXTERNAL,
        "<View>\x00</View>",
    ],
)
def test_what_cannot_be_drawn_with_is_refused(xml: str) -> None:
    with pytest.raises(LabelingConfigError, match=r"^label_config: expected ") as refused:
        parse_labeling_config(xml)
    assert len(str(refused.value)) < 300
    assert "root:" not in str(refused.value)


def count_lines(xml: str) -> int:
    """Lines of the module that a configuration makes Python run, whether refused or not."""
    code = {function.__code__ for function in (_check_counts, _list_controls, _read_labels)}
    code.add(parse_labeling_config.__code__)
    lines = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        if frame.f_code not in code:
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(LabelingConfigError):
            parse_labeling_config(xml)
    finally:
        sys.settrace(before)
    return lines


def images_and_controls(count: int) -> str:
    image = '<Image name="i{0}" value="$image"/>'
    control = '<BrushLabels name="c{0}" toName="other{0}"><Label value="a"/></BrushLabels>'
    return "<View>" + "".join((image + control).format(k) for k in range(count)) + "</View>"


def test_work_grows_with_the_tags_and_not_with_their_square() -> None:
    few, many = count_lines(images_and_controls(100)), count_lines(images_and_controls(1_000))
    assert few > 100
    assert many < 11 * few


@pytest.mark.parametrize(
    ("xml", "named"),
    [
        (config("<Header/>" * 10_001), "at most 10,000 tags"),
        (images_and_controls(5_000), "at most 10,000 tags"),
        (config("<View>" * 101 + "</View>" * 101), "at most 100 nested tags"),
        (
            config("<View " + " ".join(f'a{k}="1"' for k in range(101)) + "/>"),
            "at most 100 attributes of a tag, got 101",
        ),
        (
            config(tag("BrushLabels", labels="".join(f'<Label value="{k}"/>' for k in range(201)))),
            "at most 200 labels in <BrushLabels>, got 201",
        ),
        ("<View>" + " " * 1_000_000 + "</View>", "at most 1,000,000 characters"),
    ],
)
def test_counts_are_bounded(xml: str, named: str) -> None:
    with pytest.raises(LabelingConfigError, match=f"^label_config: expected {named}$"):
        parse_labeling_config(xml)


@pytest.mark.parametrize("data", [{}, {"image": None}, {"image": 5}, {"image": " "}])
def test_a_task_without_its_image_is_refused(data: dict[str, object]) -> None:
    parsed = parse_labeling_config(config(tag("BrushLabels")))
    with pytest.raises(LabelingConfigError, match=r"^data.image: "):
        parsed.find_image(data)


def test_the_configuration_of_the_documentation() -> None:
    """The brush is no tool of Auto-Annotation, and no color hides on what it marks."""
    text = (Path(__file__).parents[3] / "docs" / "label-studio.md").read_text(encoding="utf-8")
    xml = text.partition("```xml\n")[2].partition("```")[0]
    parsed = parse_labeling_config(xml)
    assert (parsed.kind, parsed.control_name) == ("brush", "tag")
    assert set(parsed.labels) == {"red circle", "green square"}
    root = ElementTree.fromstring(xml)
    assert root.find("BrushLabels").get("smart") == "false"
    assert {c.get("smart") for c in root if c.tag[:3] in ("Key", "Rec")} == {"true"}
    for label in root.iter("Label"):
        channel = {"red": 0, "green": 1, "blue": 2}[label.get("value").partition(" ")[0]]
        mark = bytes.fromhex(label.get("background")[1:])
        assert mark[channel] == 0, "a mark without the color of its shape"
