"""The plugin as a user of Ikomia runs it."""

from __future__ import annotations

import logging
from typing import Any

from ..examples.ikomia_home import PLUGIN
from .subjects import RgbImage, Subjects


class Asked:
    """A workflow of one task with its parameters set.

    Attributes:
        workflow: Ikomia's workflow.
        task: The plugin's task.
    """

    def __init__(self, workflow: Any, task: Any) -> None:
        self.workflow, self.task = workflow, task

    def ask(self, **parameters: Any) -> None:
        """Changes parameters."""
        self.task.set_parameters({name: str(value) for name, value in parameters.items()})

    def run(self, image: RgbImage) -> None:
        """Runs the workflow on an image."""
        self.workflow.run_on(array=image)

    @property
    def engine(self) -> Any:
        """The engine that the task holds."""
        return self.task._session.models.engine


def new_workflow(subjects: Subjects, **parameters: Any) -> Asked:
    """A fresh workflow whose task uses the model that is measured."""
    from ikomia.dataprocess.workflow import Workflow

    # Ikomia announces every run.
    logging.getLogger("ikomia").setLevel(logging.WARNING)
    workflow = Workflow("benchmark")
    task = workflow.add_task(name=PLUGIN, auto_connect=True, public_hub=False)
    asked = Asked(workflow, task)
    asked.ask(
        model_name=subjects.model_name,
        model_weight_file=subjects.weight_file or "",
        cuda=subjects.device == "cuda",
        precision=subjects.precision,
        **parameters,
    )
    return asked
