"""Finds the concepts of a request on its image."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ...engine import ConceptPrompt, Instance, Prompt, Result
from ...engine.postprocess.nms import mask_nms
from ..images import DecodedImage
from ..service import SegmentationService
from ..worker import Group
from .prompts import group_texts, name_fields, to_concept_prompt
from .schemas import ConceptRequest


@dataclasses.dataclass(frozen=True)
class FoundConcepts:
    """Holds what was found for each concept of a request, in order.

    Attributes:
        prompts: One concept each.
        instances: Those of each.
        best_scores: The best score of each, also below its threshold; None if unknown.
    """

    prompts: list[ConceptPrompt]
    instances: list[list[Instance]]
    best_scores: list[float | None]


async def find_concepts(
    service: SegmentationService, image: DecodedImage, body: ConceptRequest, group: Group
) -> FoundConcepts:
    """Finds every instance of the concepts of a request. Hold a place while calling it.

    Args:
        service: Runs the model.
        image: The image.
        body: The request; its own image is not looked at.
        group: Whose work it is.

    Raises:
        ApiError: 422 if a prompt asks for nothing, or does not fit the image.
    """
    prompts = to_concept_prompts(body, image.hw)
    groups = group_texts(prompts)
    with name_fields():
        results = await service.segment(image, [prompt for prompt, _ in groups], group)
    return await service.run_in_thread(
        sort_results, results, groups, prompts, body.nms_iou_threshold
    )


def to_concept_prompts(body: ConceptRequest, image_hw: tuple[int, int]) -> list[ConceptPrompt]:
    """Converts the concepts of a request to prompts; see :func:`.prompts.to_concept_prompt`."""
    return [
        to_concept_prompt(asked, index, body.output_prob_thresh, image_hw)
        for index, asked in enumerate(body.prompts)
    ]


def sort_results(
    results: Sequence[Result],
    groups: Sequence[tuple[Prompt, list[int]]],
    prompts: list[ConceptPrompt],
    nms_iou_threshold: float | None,
) -> FoundConcepts:
    """Sorts the results of joined prompts by the concepts that were asked for.

    Args:
        results: One for each group.
        groups: Of :func:`.prompts.group_texts`.
        prompts: One concept each.
        nms_iou_threshold: Drops masks that overlap a better one of any concept by more.
    """
    found: list[list[Instance]] = [[] for _ in prompts]
    best_scores: list[float | None] = [None] * len(prompts)
    for result, (_, members) in zip(results, groups, strict=True):
        for member, best in zip(members, result.best_scores, strict=False):
            best_scores[member] = best
        for instance in result.instances:
            found[members[instance.class_index]].append(instance)
    if nms_iou_threshold is not None:
        found = _drop_overlapping(found, nms_iou_threshold)
    return FoundConcepts(prompts, found, best_scores)


def _drop_overlapping(found: list[list[Instance]], iou_threshold: float) -> list[list[Instance]]:
    """Drops each instance that overlaps a better one of any prompt."""
    everything = [instance for instances in found for instance in instances]
    kept = {id(instance) for instance in mask_nms(everything, iou_threshold)}
    return [[i for i in instances if id(i) in kept] for instances in found]
