"""The README says what the code does: its tables are the code's, its calls run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import pytest

from infer_segment_anything_3.tools import readme
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene

TEXT = (readme.ROOT / "README.md").read_text()
CALLS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_tables_are_those_of_the_code() -> None:
    assert readme.rewritten(TEXT) == TEXT


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", TEXT):
        assert (readme.ROOT / target).exists(), target


def test_every_target_is_in_the_makefile() -> None:
    makefile = (readme.ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z-]+)", TEXT):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


class TestCalls:
    """The calls a user copies, one after another, on a scene that the bundled model knows."""

    @pytest.fixture
    def shown(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        scene: Any,
        ikomia_home: Path,
    ) -> list[Any]:
        from ikomia.utils import displayIO

        from infer_segment_anything_3 import infer_segment_anything_3_process as process

        drawn: Scene = scene(3, side_range_px=(400, 500), count_range=(6, 6))
        cv2.imwrite(str(tmp_path / "image.jpg"), drawn.image[..., ::-1])
        monkeypatch.chdir(tmp_path)
        small = {**process.get_defaults(), "model_name": "tiny_shapes"}
        monkeypatch.setattr(process, "get_defaults", lambda: dict(small))
        displayed: list[Any] = []
        monkeypatch.setattr(displayIO, "display", displayed.append)
        return displayed

    def test_they_run(self, shown: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
        names: dict[str, Any] = {}
        for call in CALLS:
            if "infer_yolo" in call:  # another plugin, shown with a detector of the tests' own
                continue
            exec(compile(call, "README.md", "exec"), names)
        assert len(shown) == 1
        assert shown[0].shape == names["algo"].get_output(0).get_image().shape
        assert len(names["detections"]) == 1
        assert '"annotations"' in capsys.readouterr().out
