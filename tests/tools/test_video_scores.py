"""The video scores of a session that is always right are perfect; of a frozen one they fall."""

from __future__ import annotations

import numpy as np
import pytest

from infer_segment_anything_3.engine import ConceptPrompt, Engine
from infer_segment_anything_3.engine.results import Instance, Mask, Result
from infer_segment_anything_3.tools.tiny_shapes.clips import Clip, Frame
from infer_segment_anything_3.tools.tiny_shapes.heldout import videos

SEED = 4
ONE_CLIP = videos.SCENES_PER_CLIP


@pytest.fixture(autouse=True)
def _short_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "CLIP_FRAMES", 10)


def sessions(
    moves: bool = True, clip: Clip | None = None, confused: bool = False
) -> videos.OpenSession:
    """Opens sessions that know the truth, of every frame or of the first alone.

    Confused ones take each shape for the next one, from the second frame on.
    """
    if clip is None:
        ((_, clip),) = videos.draw_held_out_clips(SEED, ONE_CLIP)

    def open_session(engine: Engine, prompt: videos.Prompt) -> videos.Step:
        wanted = wanted_shapes(clip, prompt)
        time = -1

        def step(image: np.ndarray) -> Result:
            nonlocal time
            time += 1
            frame = clip.frame_at(time if moves else 0)
            assert image.shape == frame.image.shape
            shown = [*wanted[1:], wanted[0]] if confused and time else wanted
            instances = tuple(
                Instance(class_index, 1.0, (0, 0, 0, 0), mask_of(frame, shape), track_id=track_id)
                for track_id, (shape, class_index) in enumerate(shown)
            )
            return Result(image.shape[:2], ("a",), instances)

        return step

    return open_session


def wanted_shapes(clip: Clip, prompt: videos.Prompt) -> list[tuple[int, int]]:
    """Shape and class of each track."""
    shapes = range(len(clip.shapes))
    if isinstance(prompt, ConceptPrompt) and prompt.exemplars_xyxy:
        return [(i, 0) for i in shapes]
    if isinstance(prompt, ConceptPrompt):
        looks = [" ".join(shape.look) for shape in clip.shapes]
        return [(i, prompt.texts.index(looks[i])) for i in shapes]
    first = clip.frame_at(0)
    found = []
    for prompted in prompt.objects:
        if prompted.box_xyxy is not None:
            (shape,) = (i for i in shapes if mask_of(first, i).xyxy == prompted.box_xyxy)
        else:
            ((x, y),) = prompted.points_xy
            (shape,) = (i for i in shapes if first.mask(i)[int(y), int(x)])
        found.append((shape, 0))
    return found


def mask_of(frame: Frame, shape: int) -> Mask:
    return Mask.from_full(frame.mask(shape))


def test_right_objects_are_perfect(tiny_engine: Engine) -> None:
    scores = videos.measure_video_objects(tiny_engine, SEED, ONE_CLIP, sessions())
    assert {"video_click_j", "video_click_f", "video_box_j", "video_box_f"} <= set(scores)
    assert scores.pop("video_on_another") == 0
    assert set(scores.values()) == {1.0}


def test_objects_taken_for_others_are_counted(tiny_engine: Engine) -> None:
    scores = videos.measure_video_objects(tiny_engine, SEED, ONE_CLIP, sessions(confused=True))
    assert scores["video_on_another"] > 0.9
    assert scores["video_box_j"] < 0.1


def test_objects_that_stay_where_they_were_are_not(tiny_engine: Engine) -> None:
    scores = videos.measure_video_objects(tiny_engine, SEED, ONE_CLIP, sessions(moves=False))
    assert scores["video_box_j"] < 0.95
    assert scores["video_box_f"] < 0.95


def test_right_concepts_are_perfect_and_stand_beside_other_trackers(tiny_engine: Engine) -> None:
    scores = videos.measure_video_concepts(tiny_engine, SEED, ONE_CLIP, sessions())
    assert scores["video_hota"] == scores["video_idf1"] == 1
    assert scores["video_id_switches"] == 0
    for name in ("bytetrack", "ocsort"):
        assert 0 < scores[f"{name}_hota"] < 1


def test_a_shape_that_enters_later_must_be_found(
    tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(videos, "CLIP_FRAMES", 30)
    ((clip, shown, entering),) = videos.draw_clips_with_entries(SEED, ONE_CLIP)
    first = clip.frame_at(0)
    assert first.counts(shown)
    assert all(clip.shapes[i].look == clip.shapes[shown].look for i in entering)
    assert entering and not any(first.visible_px(i) for i in entering)
    right, frozen = (
        videos.measure_video_exemplars(tiny_engine, SEED, ONE_CLIP, sessions(moves, clip))
        for moves in (True, False)
    )
    assert right == {"video_exemplar_recall": 1.0}
    assert frozen == {"video_exemplar_recall": 0.0}
