"""Declares the requests of the workflow routes, with the field names of Roboflow's clients."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from ..roboflow.schemas import Schema

Specification = dict[str, Any]


class KeyRequest(Schema):
    """The field that every request has."""

    api_key: str | None = Field(None, max_length=1_000)


class SavedWorkflowRequest(KeyRequest):
    """Runs a saved workflow. ``use_cache`` and the like are ignored: files are read each time."""

    inputs: dict[str, Any] = Field(default={})
    excluded_fields: list[str] | None = None


class WorkflowRequest(SavedWorkflowRequest):
    """Runs the workflow that it sends."""

    specification: Specification


class SpecificationRequest(KeyRequest):
    """Asks about a workflow: by itself, as Roboflow's page sends it, or as ``specification``."""

    model_config = ConfigDict(extra="allow")

    specification: Specification | None = None

    def get_specification(self) -> Specification:
        """Returns the workflow, whichever way it was sent."""
        return self.model_extra or {} if self.specification is None else self.specification
