"""Mutated labeling configurations: read, or refused in one sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer_segment_anything_3.serving.label_studio.labeling_config import (
    LabelingConfigError,
    parse_labeling_config,
)
from infer_segment_anything_3.tests.fuzzing import FEW, MANY, examples, mutate_bytes

from .test_labeling_config import config, tag

CONFIG = config(tag("RectangleLabels", "r"), tag("BrushLabels", "b", "image,page"))
PARTS = [
    "<View>",
    "</View>",
    "<Image",
    "/>",
    "toName",
    "<Label ",
    'value="a"',
    "&a;",
    "<!DOCTYPE l>",
]


@st.composite
def configs(draw: st.DrawFn) -> str:
    if draw(st.booleans()):
        return draw(mutate_bytes(CONFIG.encode())).decode("utf-8", "surrogateescape")
    text = CONFIG
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(text)))
        noise = draw(st.one_of(st.sampled_from(PARTS), st.text(max_size=6)))
        text = text[:place] + noise * draw(st.sampled_from([1, 1, 2, 200])) + text[place:]
    return text


def fuzz(count: int) -> None:
    outcomes = {"read": 0, "refused": 0}

    @examples(count)
    @given(configs())
    def read(xml: str) -> None:
        try:
            parsed = parse_labeling_config(xml)
        except LabelingConfigError as error:
            text = str(error)
            assert text.startswith("label_config: expected "), text
            assert "\n" not in text
            assert len(text) < 300
            outcomes["refused"] += 1
            return
        assert parsed.labels
        outcomes["read"] += 1

    read()
    assert min(outcomes.values()) > count // 20, outcomes


def test_mutated_configurations() -> None:
    fuzz(FEW)


@pytest.mark.slow
def test_many_mutated_configurations() -> None:
    fuzz(MANY)
