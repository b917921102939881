"""Declares the requests of Label Studio; imported without the engine where bodies are parsed."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MAX_TASKS = 1_000


class _Schema(BaseModel):
    # What is not named here is dropped: /setup brings a user's token.
    model_config = ConfigDict(extra="ignore")


class Task(_Schema):
    """Holds a task; its annotations, drafts and predictions are ignored."""

    id: Any = None
    data: dict[str, Any] = {}


class Parameters(_Schema):
    """Holds the prompts of a user, if it is an interactive request."""

    context: dict[str, Any] | None = None


class PredictRequest(_Schema):
    """``/predict``."""

    tasks: list[Task] = Field(min_length=1, max_length=MAX_TASKS)
    label_config: str
    params: Parameters | None = None


class SetupRequest(_Schema):
    """``/setup``."""

    schema_: str = Field("", alias="schema", description="The labeling configuration")
