"""Descriptions in a real workflow, with a scripted server in the language model's place."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infer_segment_anything_3.examples.agent_stand_in import answer_question
from infer_segment_anything_3.tests.agent.scripted import KEY, segment, select, serve
from infer_segment_anything_3.tools.tiny_shapes.scenes import Canvas, Scene

LEFTMOST = "the leftmost, red circle: whole"


@pytest.fixture(scope="module")
def reds() -> Scene:
    """Three red circles."""
    canvas = Canvas(np.random.default_rng(5), (300, 400))
    for _ in range(3):
        pixels = canvas.find_free_place("circle", (0.2, 0.25))
        assert pixels is not None
        canvas.add("red", "circle", pixels)
    return canvas.scene()


@pytest.fixture
def describe(make_algo: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a task that asks this server: ``describe(url, key, **parameters)``."""

    def make(url: str, key: str = "", **parameters: Any) -> tuple[Any, Any]:
        monkeypatch.setenv("SAM3_AGENT_URL", url)
        monkeypatch.setenv("SAM3_AGENT_KEY", key)
        values = {"prompt_mode": "describe", "input_text": LEFTMOST, "agent_model": "scripted"}
        return make_algo(**(values | parameters))

    return make


def test_the_outputs_hold_what_was_chosen(describe: Any, reds: Scene) -> None:
    with serve([segment("red circle"), select(1)], KEY) as server:
        wf, algo = describe(server.url, KEY)
        wf.run_on(array=reds.image)
    (instance,) = algo.get_output(2).get_objects()
    assert instance.label == LEFTMOST
    assert algo.get_names() == ["background", LEFTMOST]
    assert np.array_equal(algo.get_output(1).get_mask() > 0, instance.mask > 0)
    data = algo.get_output(3).data
    assert data["prompt"]["kind"] == data["info"]["prompt_mode"] == "describe"
    assert data["prompt"]["texts"] == [LEFTMOST]
    agent = data["info"]["agent"]
    assert agent["host"] == f"127.0.0.1:{server.port}"
    assert (agent["model"], agent["status"]) == ("scripted", "selected")
    assert (agent["requests"], agent["tokens"]) == (2, 220)
    assert agent["phrases"] == {"red circle": 3}
    assert agent["transcript"] == [
        '1. segment "red circle": found 3, 3 new',
        "2. select 1: 1 chosen",
    ]
    assert KEY not in str(data)
    assert server.received[0].body["model"] == "scripted"


def test_a_stand_in_finds_the_leftmost(describe: Any, reds: Scene) -> None:
    with serve(answer_question) as server:
        wf, algo = describe(server.url, input_text="the leftmost red circle")
        wf.run_on(array=reds.image)
    (instance,) = algo.get_output(2).get_objects()
    left = min(reds.shapes, key=lambda shape: shape.xyxy[0])
    assert instance.box[0] == pytest.approx(left.xyxy[0], abs=6)


def test_the_parameters_of_a_phrase_are_used(describe: Any, reds: Scene) -> None:
    with serve([segment("red circle"), '{"action": "none"}']) as server:
        wf, algo = describe(server.url, min_area=10**6)
        wf.run_on(array=reds.image)
    assert '"red circle" found nothing' in server.received[1].texts[-1]
    assert not algo.get_output(2).get_objects()
    assert any("nothing fits" in note for note in algo.get_output(3).data["info"]["notes"])


def test_progress_has_a_step_for_each_request(
    describe: Any, reds: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve([segment("red circle"), select(1)]) as server:
        wf, algo = describe(server.url)
        emitted: list[int] = []
        monkeypatch.setattr(algo, "emit_step_progress", lambda: emitted.append(1))
        seen = []
        announced = algo.get_progress_steps()
        original = server.received

        class Watched(list):  # type: ignore[type-arg]
            def append(self, item: Any) -> None:
                seen.append(len(emitted))
                super().append(item)

        server.received = Watched(original)
        wf.run_on(array=reds.image)
    assert announced == len(emitted) == 14
    assert seen == [1, 2]  # loaded; one answer


def test_stop_ends_a_request_that_nobody_answers(describe: Any, reds: Scene) -> None:
    asked, release = threading.Event(), threading.Event()

    def answer(messages: Any) -> str:
        asked.set()
        release.wait(30)
        return segment("circle")

    with serve(answer) as server:
        wf, algo = describe(server.url)
        stopper = threading.Thread(target=lambda: asked.wait(30) and algo.stop())
        stopper.start()
        wf.run_on(array=reds.image)
        stopper.join(30)
        assert not release.is_set()
        release.set()
    assert not algo.get_output(2).get_objects()


def test_without_a_server_the_run_says_what_to_set(
    describe: Any, reds: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    wf, algo = describe("")
    with pytest.raises(RuntimeError, match=r"ValueError.*SAM3_AGENT_URL: expected the"):
        wf.run_on(array=reds.image)
    monkeypatch.setenv("SAM3_AGENT_URL", "http://127.0.0.1:9/v1")
    algo.set_parameters({"agent_model": ""})
    with pytest.raises(RuntimeError, match=r"ValueError.*agent_model: expected the name"):
        wf.run_on(array=reds.image)


def test_a_server_that_fails_is_named_and_the_next_run_works(describe: Any, reds: Scene) -> None:
    with serve(["x"], KEY) as server:
        wf, algo = describe(server.url, "sk-wrong")
        with pytest.raises(
            RuntimeError, match=r"EndpointError.*SAM3_AGENT_URL: 127.0.0.1.* the key"
        ):
            wf.run_on(array=reds.image)
    algo.set_parameters({"prompt_mode": "concept", "input_text": "red circle"})
    wf.run_on(array=reds.image)
    assert len(algo.get_output(2).get_objects()) == 3


def test_a_limit_is_a_warning(describe: Any, reds: Scene, caplog: pytest.LogCaptureFixture) -> None:
    with serve([segment("red circle"), "I would say the left one."]) as server:
        wf, algo = describe(server.url)
        wf.run_on(array=reds.image)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("wrong_answers: 3 answers in a row" in line for line in warnings)
    assert any("came to no choice; the 3 instances are the candidates" in w for w in warnings)
    assert algo.get_output(3).data["info"]["agent"]["status"] == "gave_up"
    assert len(algo.get_output(2).get_objects()) == 3


def test_no_description_is_a_valid_run(describe: Any, reds: Scene) -> None:
    with serve(["x"]) as server:
        wf, algo = describe(server.url, input_text="")
        wf.run_on(array=reds.image)
    assert not server.received
    assert not algo.get_output(2).get_objects()


def test_points_and_boxes_are_left_out(describe: Any, reds: Scene) -> None:
    with serve([segment("red circle"), select(1)]) as server:
        wf, algo = describe(server.url, input_point="[5, 5]")
        wf.run_on(array=reds.image)
    notes = algo.get_output(3).data["info"]["notes"]
    assert any(note.startswith("prompt_mode describe: points, boxes") for note in notes)


def test_no_address_and_no_key_in_a_saved_workflow(
    describe: Any, tmp_path: Path, reds: Scene
) -> None:
    with serve([segment("red circle"), select(1)], KEY) as server:
        wf, algo = describe(server.url, KEY)
        wf.run_on(array=reds.image)
        wf.save(str(tmp_path / "wf.json"))
        text = (tmp_path / "wf.json").read_text()
        assert LEFTMOST in text and "scripted" in text
        assert KEY not in text and str(server.port) not in text
        for name in ("agent_url", "SAM3_AGENT_URL", "agent_key"):
            with pytest.raises(ValueError, match="unknown parameter"):
                algo.set_parameters({name: "http://127.0.0.1/"})
        from ikomia.dataprocess.workflow import Workflow

        loaded = Workflow()
        loaded.load(str(tmp_path / "wf.json"))
        loaded.run_on(array=reds.image)
    assert len(server.received) > 2
    assert server.received[2].texts[1].startswith(f'The description: "{LEFTMOST}"')


def test_a_text_is_checked_for_its_mode(make_algo: Any) -> None:
    _, algo = make_algo()
    with pytest.raises(ValueError, match=r"^input_text: "):
        algo.set_parameters({"input_text": "the cup: left"})
    algo.set_parameters({"input_text": "the cup: left", "prompt_mode": "describe"})
    with pytest.raises(ValueError, match=r"^input_text: expected one description of at most 200"):
        algo.set_parameters({"input_text": "x" * 201})
    assert algo.get_param_object().get_values()["input_text"] == "the cup: left"


@pytest.mark.parametrize(("tracking", "asked"), [("auto", 0), ("off", 4)])
def test_frames_of_a_video_are_not_sent_unless_tracking_is_off(
    describe: Any, tmp_path: Path, reds: Scene, tracking: str, asked: int,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    from infer_segment_anything_3.adapter.inputs.graphics import Drawing
    from infer_segment_anything_3.adapter.inputs.video import VideoPosition
    from infer_segment_anything_3.adapter.progress import Progress
    from infer_segment_anything_3.adapter.session import Session

    with serve(answer_question) as server:
        _, algo = describe(server.url, tracking=tracking)
        session = Session()
        for _ in range(2):
            session.run(
                algo._parse_settings(),
                reds.image,
                Drawing(),
                Progress(14, lambda: None, lambda count: None),
                position=VideoPosition("clip.mp4", 0, 2),
            )
    assert len(server.received) == asked
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert sum("descriptions are for images" in line for line in lines) == (tracking == "auto")


def test_tracking_on_refuses_a_description(describe: Any, reds: Scene) -> None:
    with serve(["x"]) as server:
        wf, _ = describe(server.url, tracking="on")
        with pytest.raises(RuntimeError, match=r"descriptions are for images.*tracking is on"):
            wf.run_on(array=reds.image)
    assert not server.received
