"""The recipes of docs/video.md, run as they stand there."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ikomia import dataprocess
from ikomia.dataprocess.workflow import Workflow

from infer_segment_anything_3.engine import ConceptPrompt

from .videos import FRAMES, draw_frames


@pytest.fixture
def recipes(checkout, film):
    """The page's Python code, with the bundled model and a video that there is."""
    page = (checkout / "docs" / "video.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {'"sam3"': '"tiny_shapes"', '"street.mp4"': repr(str(film)), '"person"': '"circle"'}
    for old, new in names.items():
        blocks = [block.replace(old, new) for block in blocks]
    return blocks


def test_a_session_in_python(recipes, tiny_engine, capsys):
    exec(recipes[0], {})
    lines = [line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()]
    assert [line[1:3] for line in lines if line[0] == "0"] == [["0", "circle"], ["1", "circle"]]
    assert int(lines[-1][0]) == FRAMES - 1


def test_a_whole_video_in_python(recipes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(recipes[-1], {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == FRAMES
    assert all("2 circle" in line for line in lines)
    assert {p.name for p in tmp_path.glob("street*")} == {
        "street_overlay.mp4",
        "street_tracks.json",
    }


class HubTracker(dataprocess.C2dImageTask):
    """Takes and notes what the HUB's trackers take: the image, detections, instances."""

    def __init__(self):
        dataprocess.C2dImageTask.__init__(self, "infer_boxmot_tracking")
        self.remove_input(1)
        self.add_input(dataprocess.CObjectDetectionIO())
        self.add_input(dataprocess.CInstanceSegmentationIO())
        self.seen = []

    def run(self):
        self.begin_task_run()
        instances = self.get_input(2).get_objects()
        labels = [(found.label, bool(np.any(found.mask))) for found in instances]
        self.seen.append((self.get_input(0).get_image().shape, labels))
        self.end_task_run()


def test_a_tracker_of_the_hub_gets_the_instances_of_each_frame(recipes, ikomia_home, monkeypatch):
    tracker, add_task = HubTracker(), Workflow.add_task

    def add(workflow, name, **options):
        if name == "infer_boxmot_tracking":
            return add_task(workflow, task=tracker, **options)
        task = add_task(workflow, name=name, public_hub=False, **options)
        task.set_parameters({"model_name": "tiny_shapes", "cuda": "False"})
        return task

    monkeypatch.setattr(Workflow, "add_task", add)
    exec(recipes[1], {})
    shape = draw_frames(1)[0].shape
    assert tracker.seen == [(shape, [("circle", True)] * 2)] * FRAMES


def test_byte_track_gives_ids_to_detections(recipes, tiny_engine, capsys):
    pytest.importorskip("trackers")
    given = {
        "frames": draw_frames(),
        "engine": tiny_engine,
        "prompt": ConceptPrompt(texts=("circle",)),
    }
    exec(recipes[2], given)
    ids = [
        sorted(map(int, re.findall(r"-?\d+", line))) for line in capsys.readouterr().out.split("\n")
    ]
    assert ids[1] == ids[FRAMES - 1] and len(set(ids[1])) == 2
    assert min(ids[1]) >= 0, "both are confirmed on the second frame"
