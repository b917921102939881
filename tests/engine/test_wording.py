"""What came nearest, in words."""

from __future__ import annotations

import numpy as np
import pytest

from infer_segment_anything_3.engine import ConceptPrompt, ObjectPrompt, PromptedObject, Result
from infer_segment_anything_3.engine.wording import count_things, describe_misses

HW = (10, 10)
WORDS = ("red", "circle")


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [(0, "error", "0 errors"), (1, "error", "1 error"), (1200, "image", "1,200 images")],
)
def test_counts_agree_with_their_nouns(count, noun, text):
    assert count_things(count, noun) == text


@pytest.mark.parametrize(
    ("prompt", "best", "vocabulary", "sentences"),
    [
        (
            ConceptPrompt(("dog",)),
            (0.123,),
            (),
            ["0 instances of 'dog' above 0.5; the best score was 0.12"],
        ),
        (
            ConceptPrompt(("red circle", "dog"), thresholds=(0.9, None), confidence_threshold=0.3),
            (0.85, 0.0),
            WORDS,
            [
                "0 instances of 'red circle' above 0.9; the best score was 0.85",
                "0 instances of 'dog' above 0.3; the best score was 0.00",
                "this model knows these words only: red, circle",
            ],
        ),
        (
            ConceptPrompt(("Red circle",), min_area_px=500),
            (0.7,),
            WORDS,
            ["0 instances of 'Red circle' after min_area and overlap; the best score was 0.70"],
        ),
        (
            ConceptPrompt(exemplars_xyxy=((1, 1, 5, 5),)),
            (0.2,),
            WORDS,
            ["0 instances of 'exemplar' above 0.5; the best score was 0.20"],
        ),
        (ObjectPrompt((PromptedObject(points_xy=((1, 1),)),)), (), WORDS, []),
        (None, (), WORDS, []),
    ],
)
def test_what_came_nearest(prompt, best, vocabulary, sentences):
    names = prompt.class_names if prompt else ()
    result = Result(HW, names, (), best_scores=best)
    assert describe_misses(result, prompt, vocabulary) == sentences


class TestBestScores:
    """The engine tells the best score of each concept, without another pass of the model."""

    def test_of_what_is_found_and_of_what_is_not(self, tiny_engine, scene):
        drawn = scene(3)
        kind = drawn.shapes[0].kind
        prompt = ConceptPrompt((kind, "elephant"))
        result = tiny_engine.segment(drawn.image, prompt)
        found = [i.score for i in result.instances if i.class_index == 0]
        assert result.best_scores[0] == pytest.approx(max(found))
        assert 0 <= result.best_scores[1] <= 0.5
        again = tiny_engine.segment(drawn.image, prompt)
        assert again.best_scores == result.best_scores
        strict = tiny_engine.segment(drawn.image, ConceptPrompt((kind,), confidence_threshold=1))
        assert strict.instances == ()
        assert strict.best_scores == result.best_scores[:1]

    def test_of_a_batch(self, tiny_engine, scene):
        images = [scene(seed).image for seed in range(2)]
        prompt = ConceptPrompt(("circle",))
        batch = tiny_engine.segment_batch(images, prompt)
        alone = [tiny_engine.segment(image, prompt) for image in images]
        for one, other in zip(batch, alone, strict=True):
            assert one.best_scores == pytest.approx(other.best_scores, abs=1e-3)

    def test_with_tiles_it_is_that_of_the_closest_look(self, tiny_engine, scene):
        drawn = scene(3)
        prompt = ConceptPrompt((drawn.shapes[0].kind,))
        whole = tiny_engine.segment(drawn.image, prompt)
        tiled = tiny_engine.segment(
            drawn.image, ConceptPrompt(prompt.texts, tiles=2, confidence_threshold=0.3)
        )
        assert whole.tile_grid == (1, 1)
        assert tiled.tile_grid == (2, 2)
        assert tiled.best_scores[0] >= whole.best_scores[0]

    def test_objects_have_none(self, tiny_engine):
        image = np.full((60, 60, 3), 128, np.uint8)
        click = ObjectPrompt((PromptedObject(points_xy=((30.0, 30.0),)),))
        assert tiny_engine.segment(image, click).best_scores == ()
