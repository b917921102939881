"""The HUB's own test, run as the HUB runs it."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import numpy as np
import pytest
from PIL import Image

NAME = "infer_segment_anything_3"


@pytest.fixture
def data_dict(tmp_path):
    path = tmp_path / "coco.jpg"
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(path)
    return {"images": {"detection": {"coco": str(path)}}}


def from_the_package(checkout):
    return importlib.import_module(f"{NAME}.{NAME}_test")


def from_its_path(checkout):
    spec = importlib.util.spec_from_file_location(f"{NAME}_test", checkout / f"{NAME}_test.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("loaded", [from_the_package, from_its_path])
def test_it_passes_without_the_real_weights(make_algo, data_dict, checkout, loaded):
    _, algo = make_algo()
    parameters, status = loaded(checkout).test(algo, data_dict)
    assert status == "OK"
    assert parameters["model_name"] == "tiny_shapes"
    assert len(algo.get_output(2).get_objects()) == 1


def test_it_takes_the_real_weights_where_they_are(
    make_algo, data_dict, checkout, monkeypatch, tmp_path
):
    weights = tmp_path / "sam3.pt"
    weights.write_bytes(b"not really")
    monkeypatch.setenv("SAM3_CHECKPOINT", str(weights))
    _, algo = make_algo()
    parameters, status = from_the_package(checkout).test(algo, data_dict)
    assert parameters["model_name"] == "sam3"
    assert parameters["input_text"] == "person"
    assert str(weights) in status


def test_it_reports_what_goes_wrong(make_algo, data_dict, checkout, monkeypatch):
    _, algo = make_algo()
    monkeypatch.setattr(algo, "run", lambda: 1 / 0)
    _, status = from_the_package(checkout).test(algo, data_dict)
    assert status != "OK"
    assert "ZeroDivisionError" in status


def test_it_is_found_where_the_hub_looks(ikomia_home):
    assert f"{NAME}.{NAME}_process" in sys.modules
    assert callable(from_the_package(None).test)
