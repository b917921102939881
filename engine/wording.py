"""Words what a run did, in the same sentences for every door."""

from __future__ import annotations

from collections.abc import Sequence

from .prompts import ConceptPrompt, Prompt
from .results import Result


def count_things(count: int, noun: str) -> str:
    """Writes a number with its noun: ``1 error``, ``2 errors``, ``1,200 images``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def describe_misses(
    result: Result, prompt: Prompt | None, vocabulary: Sequence[str] = ()
) -> list[str]:
    """Says of each concept that was not found what came nearest.

    Args:
        result: Of the prompt.
        prompt: What was asked; only concepts have scores of what was not found.
        vocabulary: The only words that the model knows; empty if it knows any.

    Returns:
        A sentence for each concept without instances, and one that lists the vocabulary if one
        of them has a word that is not in it.

    Example:
        >>> describe_misses(result, ConceptPrompt(("dog",)))
        ["0 instances of 'dog' above 0.5; the best score was 0.12"]
    """
    if not isinstance(prompt, ConceptPrompt) or not result.best_scores:
        return []
    counts = result.count_by_class()
    thresholds = prompt.thresholds or (None,) * len(result.class_names)
    sentences = []
    is_known = True
    for name, best, own in zip(result.class_names, result.best_scores, thresholds, strict=True):
        if counts[name]:
            continue
        threshold = prompt.confidence_threshold if own is None else own
        where = f"above {threshold:g}" if best <= threshold else "after min_area and overlap"
        sentences.append(f"0 instances of {name!r} {where}; the best score was {best:.2f}")
        is_known = is_known and (not prompt.texts or set(name.lower().split()) <= set(vocabulary))
    if sentences and vocabulary and not is_known:
        sentences.append(f"this model knows these words only: {', '.join(vocabulary)}")
    return sentences


def describe_pictures(count: int) -> list[str]:
    """Says that only the first of a file's pictures was used, if it has several."""
    return [f"the file holds {count:,} pictures: only the first was used"] if count > 1 else []


def list_first(values: Sequence[object], most: int = 5) -> str:
    """Lists the first values: ``3, 4, 5, 6, 7 and 20 more``."""
    more = f" and {len(values) - most:,} more" if len(values) > most else ""
    return ", ".join(str(value) for value in values[:most]) + more
