"""Mutated COCO files: read, or refused in one sentence; what is read can be decoded."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infer_segment_anything_3.labeling.coco import read_coco
from infer_segment_anything_3.tests.fuzzing import FEW, MANY, examples, mutate_bytes

from .coco_files import COMPRESSED, HEIGHT, RLE, TRIANGLE, WIDTH, make_coco


@pytest.fixture(autouse=True)
def _with_subnormal_numbers() -> None:
    """Ikomia's OpenCV lets the processor flush subnormal numbers, which hypothesis refuses."""
    torch.set_flush_denormal(False)


numbers = st.one_of(
    st.integers(-5, 100),
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -1, 0, 2**31, 2**53 + 1, 2**64, 1e308]),
)
values = st.one_of(
    st.sampled_from([None, True, "", [], {}, "5", "b'0'", COMPRESSED, TRIANGLE, RLE, [TRIANGLE]]),
    numbers,
    st.text(max_size=12),
    st.text("0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmno", max_size=12),
    st.lists(numbers, max_size=8),
    st.lists(st.lists(numbers, max_size=8), max_size=3),
    st.recursive(st.none(), lambda inner: st.lists(inner, max_size=2), max_leaves=20),
)


def list_places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return [place] + [p for key, one in items for p in list_places(one, (*place, key))]


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """The bytes of a data set in which some values are replaced, removed or doubled."""
    data: Any = json.loads(json.dumps(make_coco()))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(list_places(data)))
        if not place:
            continue
        *parents, last = place
        parent = data
        for key in parents:
            parent = parent[key]
        action = draw(st.sampled_from(["replace", "replace", "remove", "double"]))
        if action == "replace":
            parent[last] = copy.deepcopy(draw(values))
        elif action == "remove":
            del parent[last]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]))
        else:
            parent[draw(st.text(max_size=5))] = copy.deepcopy(parent[last])
    content = json.dumps(data).encode()
    if draw(st.integers(0, 5)) == 0:
        content = draw(mutate_bytes(content))
    return content


def fuzz(folder: Any, count: int) -> None:
    file = folder / "coco.json"
    outcomes = {"read": 0, "refused": 0}

    @examples(count)
    @given(contents())
    def read(content: bytes) -> None:
        file.write_bytes(content)
        try:
            data = read_coco("coco", str(file))
        except ValueError as error:
            text = str(error)
            assert text.startswith("coco: "), text
            assert ": expected " in text
            assert "\n" not in text
            assert len(text) < 500
            outcomes["refused"] += 1
            return
        outcomes["read"] += 1
        sizes = {image.id: image.hw or (HEIGHT, WIDTH) for image in data.images}
        assert len({a.id for a in data.annotations}) == len(data.annotations)
        for annotation in data.annotations:
            hw = sizes[annotation.image_id]
            assert annotation.box_xywh[2] > 0
            if hw[0] * hw[1] < 10**6:
                annotation.decode_mask(hw)
            else:  # a mask of gigabytes is for whoever asks for it
                annotation.encode_mask(hw)

    read()
    assert min(outcomes.values()) > count // 10, outcomes


def test_mutated_files(tmp_path: Any) -> None:
    fuzz(tmp_path, FEW)


@pytest.mark.slow
def test_many_mutated_files(tmp_path: Any) -> None:
    fuzz(tmp_path, MANY)
