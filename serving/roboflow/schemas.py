"""Declares requests and answers of ``/sam3/*``, with the field names of Roboflow's clients."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

MAX_PROMPTS = 16
MAX_EXEMPLARS = 100
MAX_OBJECTS = 100
MAX_POINTS = 1_000

Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]
Length = Annotated[float, Field(gt=0, le=1e6)]
Share = Annotated[float, Field(ge=0, le=1)]
MaskFormat = Literal["polygon", "rle", "json"]
"""``json`` is answered as polygons, as upstream does."""


class Schema(BaseModel):
    """Base of all requests: unknown fields are ignored, as clients send some; no NaN."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, protected_namespaces=())


class ImageSource(Schema):
    """An image by URL or in base64."""

    type: str = Field(max_length=40, examples=["url", "base64"])
    value: Any = Field(description="A URL, or base64 with or without data:image/...;base64,")


class BoxXywh(Schema):
    """A box by its top left corner and its size, in pixels."""

    x: Coordinate
    y: Coordinate
    width: Length
    height: Length


class BoxXyxy(Schema):
    """A box by two corners, in pixels."""

    x0: Coordinate
    y0: Coordinate
    x1: Coordinate
    y1: Coordinate


def _find_box_form(value: Any) -> str:
    names = value if isinstance(value, dict) else getattr(type(value), "model_fields", ())
    return "xyxy" if "x0" in names or "x1" in names else "xywh"


ExemplarBox = Annotated[
    Annotated[BoxXywh, Tag("xywh")] | Annotated[BoxXyxy, Tag("xyxy")], Discriminator(_find_box_form)
]


class ConceptPromptRequest(Schema):
    """A concept: a text, exemplar boxes, or both."""

    type: Literal["text", "visual"] | None = None
    text: str | None = Field(None, max_length=1_000)
    output_prob_thresh: Share | None = Field(None, description="Beats the request's own")
    boxes: list[ExemplarBox] | None = Field(None, max_length=MAX_EXEMPLARS)
    box_labels: list[Literal[0, 1]] | None = Field(
        None, max_length=MAX_EXEMPLARS, description="1 like this, 0 not like this"
    )


class Point(Schema):
    """A click, in pixels."""

    x: Coordinate
    y: Coordinate
    positive: bool = True


class BoxCenter(Schema):
    """A box by its **center** and its size, in pixels."""

    x: Coordinate
    y: Coordinate
    width: Length
    height: Length


class VisualPromptRequest(Schema):
    """One object: points, a box, or both."""

    points: list[Point] | None = Field(None, max_length=MAX_POINTS)
    box: BoxCenter | None = None


def _to_prompt_list(value: Any) -> Any:
    """Converts every form that clients send to a list: null, a list, ``{"prompts": list}``, one."""
    if isinstance(value, dict):
        return (value["prompts"] or []) if "prompts" in value else [value]
    return [] if value is None else value


class ImageRequest(Schema):
    """The fields that every request of ``/sam3/*`` has."""

    api_key: str | None = Field(None, max_length=1_000)
    image: ImageSource | None = None
    image_id: str | None = Field(None, min_length=1, max_length=200)


class EmbedRequest(ImageRequest):
    """``/sam3/embed_image``: ``image``, and the id to store it under if one is wanted."""


class ConceptRequest(ImageRequest):
    """``/sam3/concept_segment``."""

    prompts: list[ConceptPromptRequest] = Field(min_length=1, max_length=MAX_PROMPTS)
    output_prob_thresh: Share = 0.5
    format: MaskFormat = "polygon"
    nms_iou_threshold: Share | None = Field(
        None, description="Drops masks that overlap a better one of any prompt by more"
    )


class VisualRequest(ImageRequest):
    """``/sam3/visual_segment``."""

    prompts: Annotated[
        list[VisualPromptRequest], Field(max_length=MAX_OBJECTS), BeforeValidator(_to_prompt_list)
    ] = Field(
        default=[],
        description="A list, {prompts: list} or one prompt; none segments everything there is",
    )
    points_per_side: int = Field(
        32, ge=1, le=100, description="Without prompts: points of the grid along each side"
    )
    multimask_output: bool = Field(True, description="The best of three proposals")
    format: MaskFormat = "json"
    save_logits_to_cache: bool = False
    load_logits_from_cache: bool = False


class Rle(BaseModel):
    """COCO's compressed run lengths."""

    size: list[int] = Field(description="[height, width]")
    counts: str


class Prediction(BaseModel):
    """An instance."""

    masks: list[list[list[int]]] | Rle = Field(
        description="polygon: a ring [[x, y], ...] of pixels for each part; rle: run lengths"
    )
    confidence: float
    format: Literal["polygon", "rle"]


class Echo(BaseModel):
    """The prompt that a result belongs to, repeated in the response."""

    prompt_index: int
    type: Literal["text", "visual"]
    text: str | None
    num_boxes: int


class PromptResult(BaseModel):
    """The instances found for one prompt."""

    prompt_index: int
    echo: Echo
    predictions: list[Prediction]
    best_score: float | None = Field(
        description="The best score of anything on the image, also below the threshold"
    )


class ConceptResponse(BaseModel):
    """A result for each prompt, in order."""

    prompt_results: list[PromptResult]
    time: float = Field(description="Seconds")


class VisualResponse(BaseModel):
    """A prediction for each prompt, in order; without prompts one for each thing found."""

    predictions: list[Prediction]
    time: float = Field(description="Seconds")


class EmbedResponse(BaseModel):
    """The id that stands for the image from now on."""

    image_id: str
    time: float = Field(description="Seconds")
