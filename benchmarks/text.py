"""Target 2: what a text prompt costs anew, again, and in vain."""

from __future__ import annotations

from collections.abc import Iterator

from .measuring import counted_parts, in_turns, seconds
from .rows import Row
from .subjects import WANTED_INSTANCES, RgbImage, Subjects

CERTAIN = 0.999
"""A threshold that nothing passes."""


def rows(subjects: Subjects) -> Iterator[Row]:
    """Text prompts on a picture that is encoded already."""
    image, _ = subjects.seen
    rounds = 2 if subjects.is_full_size else subjects.repeats
    yield _absent(subjects, image, rounds)
    phrases = [subjects.new_phrase() for _ in range(rounds)]
    yield _present(subjects, image, phrases)
    yield from _again(subjects, image, phrases[0])
    yield from _known_phrase(subjects, phrases[0])
    yield _several(subjects, image, 4)
    yield from _slider(subjects, image, 100)


def ask(subjects: Subjects, image: RgbImage, texts: list[str], threshold: float) -> int:
    """Our answer to texts; how many instances."""
    from ..engine import ConceptPrompt

    prompt = ConceptPrompt(tuple(texts), confidence_threshold=threshold)
    return len(subjects.engine.segment(image, prompt).instances)


def _absent(subjects: Subjects, image: RgbImage, rounds: int) -> Row:
    state = subjects.seen[1]
    phrases = [subjects.new_phrase() for _ in range(rounds)]
    with counted_parts(subjects.engine.model) as counts:
        ours, package = in_turns(
            [lambda p=p: ask(subjects, image, [p], CERTAIN) for p in phrases],  # type: ignore[misc]
            [lambda p=p: subjects.package.text(state, p, CERTAIN) for p in phrases],  # type: ignore[misc]
        )
    note = f"the mask head ran {counts['mask head']} times for {rounds} prompts of each"
    return Row("2", "text of which nothing passes the threshold, phrase unknown", ours * 1e3, "ms",
               package * 1e3, "ratio" if subjects.is_full_size else "none", 0.8,
               note=note)  # fmt: skip


def _present(subjects: Subjects, image: RgbImage, phrases: list[str]) -> Row:
    state = subjects.seen[1]
    thresholds = [subjects.package.threshold(state, p, WANTED_INSTANCES) for p in phrases]
    asked = list(zip(phrases, thresholds, strict=True))
    ours, package = in_turns(
        [lambda p=p, t=t: ask(subjects, image, [p], t) for p, t in asked],  # type: ignore[misc]
        [lambda p=p, t=t: subjects.package.text(state, p, t) for p, t in asked],  # type: ignore[misc]
    )
    found = ask(subjects, image, [phrases[0]], thresholds[0])
    return Row("2", "text, phrase unknown, with masks", ours * 1e3, "ms", package * 1e3,
               note=f"{found} instances")  # fmt: skip


def _again(subjects: Subjects, image: RgbImage, phrase: str) -> Iterator[Row]:
    yield from _moved(subjects, image, phrase, WANTED_INSTANCES)


def _slider(subjects: Subjects, image: RgbImage, wanted: int) -> Iterator[Row]:
    """With many instances, the first answer apart."""
    phrase = subjects.new_phrase()
    queries = len(subjects.package.scores(subjects.seen[1], phrase))
    yield from _moved(subjects, image, phrase, min(wanted, queries // 2))


def _moved(subjects: Subjects, image: RgbImage, phrase: str, wanted: int) -> Iterator[Row]:
    """A threshold that moves down, up and down again over an answer that is known."""
    state = subjects.seen[1]
    scores = subjects.package.scores(state, phrase)
    lower = subjects.package.threshold(state, phrase, wanted)
    upper = subjects.package.threshold(state, phrase, max(1, wanted // 2))
    found = ask(subjects, image, [phrase], lower)
    thresholds = [upper, lower, (upper + lower) / 2]
    with counted_parts(subjects.engine.model) as counts:
        times = [seconds(lambda t=t: ask(subjects, image, [phrase], t)) for t in thresholds]  # type: ignore[misc]
        networks = sum(counts.values())
    package = seconds(lambda: subjects.package.text(state, phrase, lower))
    what = f"same image and text, other threshold, up to {found} of {len(scores)} instances"
    yield Row("2", what, max(times) * 1e3, "ms", package * 1e3, "ratio", 0.1,
              note="the slowest of three moves; against a bare set_text_prompt")  # fmt: skip
    yield Row("2", "networks run by that", networks, "", kind="at most", limit=0)


def _known_phrase(subjects: Subjects, phrase: str) -> Iterator[Row]:
    image = subjects.new_picture()
    with counted_parts(subjects.engine.model) as counts:
        ask(subjects, image, [phrase], CERTAIN)
    yield Row("2", "text encoder calls for a known phrase on a new image", counts["text encoder"],
              "", kind="at most", limit=0)  # fmt: skip


def _several(subjects: Subjects, image: RgbImage, count: int) -> Row:
    state = subjects.seen[1]
    phrases = [subjects.new_phrase() for _ in range(count)]
    threshold = min(subjects.package.threshold(state, p, WANTED_INSTANCES) for p in phrases)

    def by_package() -> None:
        for phrase in phrases:
            subjects.package.text(state, phrase, threshold)

    ours, package = in_turns([lambda: ask(subjects, image, phrases, threshold)], [by_package])
    return Row("2", f"{count} concepts, phrases unknown", ours * 1e3, "ms", package * 1e3,
               note=f"against {count} calls of set_text_prompt")  # fmt: skip
