"""Answers the routes that Label Studio calls, behind the Basic password if there is one."""

from __future__ import annotations

import dataclasses
import functools
import logging
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from ...engine import ConceptPrompt, Instance, ObjectPrompt, Prompt
from ...engine.validation import MAX_CONCEPTS
from ..auth import check_basic_auth
from ..bodies import ParsedBodyRoute
from ..encoding import encode_json
from ..errors import ApiError
from ..images import DecodedImage
from ..service import SegmentationService
from ..worker import Group, identify_group, run_while_connected
from .labeling_config import LabelingConfig, parse_labeling_config
from .regions import instances_to_regions, regions_to_objects
from .schemas import PredictRequest, SetupRequest, Task
from .storage import TaskImages

logger = logging.getLogger("infer_segment_anything_3.serving")

router = APIRouter(
    tags=["Label Studio"],
    dependencies=[Depends(check_basic_auth)],
    route_class=ParsedBodyRoute,
)

CONFIDENCE_THRESHOLD = 0.5
MAX_ANSWER_BYTES = 200_000_000
"""Of an answer to several tasks; those after it get none, and Label Studio asks for them again."""

OWNER = "label-studio"
"""Owner of the logits of Label Studio's users, beside those of Roboflow's clients."""


@router.post("/setup")
async def set_up(request: Request, body: SetupRequest) -> dict[str, str]:
    """Checks a project's labeling configuration; Label Studio shows what is wrong with it."""
    if _is_labeled(body.schema_):
        await _parse_configuration(request.app.state.service, body.schema_)
    return {"model_version": _get_version(request)}


@router.get("/versions")
@router.post("/versions", include_in_schema=False)
async def list_versions(request: Request) -> dict[str, list[str]]:
    """Lists the one version of the model."""
    return {"versions": [_get_version(request)]}


@router.post("/webhook")
async def ignore_event(request: Request) -> dict[str, str]:
    """Accepts an event and does nothing: this model does not learn from annotations."""
    return {"status": "ignored"}


@router.get("/metrics")
async def list_metrics() -> dict[str, str]:
    """Answers Label Studio's request for metrics with an empty list."""
    return {}


@router.post("/predict")
async def predict(request: Request, body: PredictRequest) -> Response:
    """Returns the regions of each task; for one that fails none, and the reason."""
    service: SegmentationService = request.app.state.service
    images: TaskImages = request.app.state.task_images
    version = _get_version(request)
    context = body.params.context if body.params else None
    group = identify_group(request, OWNER, "objects" if context else "labels")

    async def predict_all() -> list[bytes]:
        # One place for all tasks, so that a long list is not refused half way.
        async with service.worker.hold_place(group):
            try:
                config = await _parse_configuration(service, body.label_config)
            except ApiError as error:
                return [_make_failure(task, str(error.detail), version) for task in body.tasks]
            answers: list[bytes] = []
            for task in body.tasks:
                if sum(map(len, answers)) > MAX_ANSWER_BYTES:
                    most = f"{MAX_ANSWER_BYTES / 1e6:g} MB"
                    message = f"tasks: the answers to those before have {most}; ask for fewer"
                    answers.append(_make_failure(task, message, version))
                    continue
                answers.append(
                    await _predict_task(service, images, config, task, context, version, group)
                )
            return answers

    answers = await run_while_connected(request, predict_all())
    content = b'{"results":[' + b",".join(answers) + b"]}"
    return Response(content, media_type="application/json")


async def _predict_task(
    service: SegmentationService,
    images: TaskImages,
    config: LabelingConfig,
    task: Task,
    context: dict[str, Any] | None,
    version: str,
    group: Group,
) -> bytes:
    """Predicts the regions of a task, as JSON: as Python's objects they take ten times as much."""
    try:
        read = functools.partial(images.read, config.find_image(task.data), task.id)
        async with service.hold_file(read) as data, service.hold_image(data, "image") as image:
            if context:
                found, labels = await _segment_objects(service, image, context, config, group)
            else:
                found, labels = await _segment_labels(service, image, config, group)
            return await service.run_in_thread(_encode_prediction, found, labels, config, version)
    except (ApiError, ValueError) as error:
        message = str(error.detail) if isinstance(error, ApiError) else str(error)
        return _make_failure(task, message, version)


def _encode_prediction(
    found: list[Instance], labels: list[str], config: LabelingConfig, version: str
) -> bytes:
    scores = [instance.score for instance in found]
    return encode_json(
        {
            "model_version": version,
            "score": sum(scores) / len(scores) if scores else 0.0,
            "result": instances_to_regions(found, labels, config),
        }
    )


def _make_failure(task: Task, message: str, version: str) -> bytes:
    logger.warning("Label Studio's task %.20r: %s", task.id, message)
    # Another version: Label Studio asks again for tasks that have no answer of this one.
    return encode_json(
        {"model_version": f"{version}-failed", "score": 0.0, "result": [], "error": message}
    )


async def _segment_labels(
    service: SegmentationService, image: DecodedImage, config: LabelingConfig, group: Group
) -> tuple[list[Instance], list[str]]:
    """Segments every instance of every label; returns them with the labels' names."""
    names, phrases = list(config.labels), list(config.labels.values())
    starts = range(0, len(names), MAX_CONCEPTS)
    prompts: list[Prompt] = [
        ConceptPrompt(
            tuple(phrases[start : start + MAX_CONCEPTS]), confidence_threshold=CONFIDENCE_THRESHOLD
        )
        for start in starts
    ]
    results = await service.segment(image, prompts, group)
    found: list[Instance] = []
    labels: list[str] = []
    for start, result in zip(starts, results, strict=True):
        found += result.instances
        labels += [names[start + instance.class_index] for instance in result.instances]
    return found, labels


async def _segment_objects(
    service: SegmentationService,
    image: DecodedImage,
    context: dict[str, Any],
    config: LabelingConfig,
    group: Group,
) -> tuple[list[Instance], list[str]]:
    """Segments the objects that a user points at; a further point refines the last mask."""
    pointed = await service.run_in_thread(
        regions_to_objects, context.get("result"), image.hw, config
    )
    objects = [
        dataclasses.replace(prompted, mask_input=service.logits.find(OWNER, image.digest, prompted))
        for prompted in pointed
    ]
    prompt = ObjectPrompt(tuple(objects), return_logits=True)
    (result,) = await service.segment(image, [prompt], group)
    service.logits.put_all(OWNER, image.digest, objects, result.instances)
    return list(result.instances), [prompted.class_name for prompted in objects]


async def _parse_configuration(service: SegmentationService, label_config: str) -> LabelingConfig:
    # In a thread: a megabyte of XML takes a second, in which nobody else would be answered.
    try:
        return await service.run_in_thread(parse_labeling_config, label_config)
    except ValueError as error:
        raise ApiError(422, str(error)) from None


def _is_labeled(label_config: str) -> bool:
    """Tells whether a configuration has any tag; that of a new project has none."""
    return label_config.strip() not in ("", "<View></View>", "<View/>")


def _get_version(request: Request) -> str:
    return f"{request.app.state.served.version}-{CONFIDENCE_THRESHOLD:g}"
