"""The table of the training task's parameters."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ikomia.core.task import TaskParam

from ..adapter.parameters.parameter_table import ParameterTable
from ..adapter.parameters.spec import (
    Parameter,
    make_choice,
    make_integer,
    make_number,
    make_switch,
)
from ..engine import parsing
from ..engine.validation import value_error
from ..training.options import MAX_EACH, MAX_STEPS, PART_NAMES, parse_rename

NAME = "train_segment_anything_3"
"""The plugin's name."""

logger = logging.getLogger(NAME)

GROUPS = {
    "data": "Data",
    "training": "Training",
    "known": "What stays known",
    "model": "Model",
}


def _parse_renames(name: str, text: str) -> dict[str, str]:
    try:
        return parse_rename(text)
    except ValueError:
        raise value_error(name, "category=phrase, other=phrase", text) from None


def _parse_names(name: str, text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


PARAMETERS = ParameterTable(
    (
        Parameter(
            "output_folder",
            "",
            label="Output folder",
            help=(
                "Folder for the adapter, its scores and all that is needed to go on. Empty: one of "
                "its own below Ikomia/train_segment_anything_3 in the home folder."
            ),
            group="data",
            parser=parsing.parse_path,
            placeholder="~/weeds",
        ),
        Parameter(
            "rename",
            "",
            label="Phrases",
            help=(
                "Phrase for a category, where its name is none: cls_3=bindweed, junk= (left out)."
            ),
            group="data",
            parser=_parse_renames,
            placeholder="cls_3=bindweed",
        ),
        Parameter(
            "not_exhaustive",
            "",
            label="Not exhaustive",
            help="Categories of which not all objects are labeled, with commas between.",
            group="data",
            parser=_parse_names,
            placeholder="weed, stone",
        ),
        make_number(
            "validation_share",
            0.01,
            0.9,
            default="0.2",
            label="Held out",
            help="Share of the images that are held out for scores, by the hash of their content.",
            group="data",
            step=0.05,
        ),
        make_integer(
            "steps",
            1,
            MAX_STEPS,
            default="1000",
            label="Steps",
            help="Steps of training, of 4 images each.",
            group="training",
        ),
        make_choice(
            "parts",
            PART_NAMES,
            default="detector",
            label="Parts",
            choice_labels=("Detector", "Fusion with the text", "Detector and image encoder"),
            help=(
                "detector: on features of the image encoder that are computed once. fusion: seven "
                "times fewer weights. detector+image: for images unlike photographs; slow."
            ),
            group="training",
        ),
        make_number(
            "learning_rate",
            0,
            1,
            default="0",
            label="Learning rate",
            help="Highest one; 0 for the model's own.",
            group="training",
            step=0.0001,
        ),
        make_integer(
            "patience",
            0,
            MAX_STEPS,
            default="0",
            label="Patience",
            help="Scores without a better one after which training stops; 0 for never.",
            group="training",
        ),
        make_switch(
            "mirror",
            "True",
            label="Mirrored images, too",
            help="Not for what has a left and a right, as letters have.",
            group="training",
        ),
        make_integer(
            "seed",
            0,
            2**31 - 1,
            default="0",
            label="Seed",
            help="Of all random choices.",
            group="training",
        ),
        make_integer(
            "negatives",
            0,
            MAX_EACH,
            default="1",
            label="Absent phrases",
            help="Asked for each image and step, so that the model still refuses them.",
            group="known",
        ),
        make_integer(
            "anchors",
            0,
            MAX_EACH,
            default="2",
            label="Anchors",
            help="Phrases that the model knows, for each image and step, so that it keeps them.",
            group="known",
        ),
        make_choice(
            "model_name",
            ("sam3", "tiny_shapes"),
            default="sam3",
            label="Model",
            choice_labels=("SAM 3", "Tiny shapes"),
            help="sam3: Meta's weights (access must be granted). tiny_shapes: bundled, for trying.",
            group="model",
        ),
        Parameter(
            "model_weight_file",
            "",
            label="Weight file",
            help="A local checkpoint, .pt or .safetensors; wins over the download.",
            group="model",
            parser=parsing.parse_path,
            kind="file",
            placeholder="~/weights/sam3.pt",
            file_filter="Checkpoints (*.pt *.safetensors);;All files (*)",
        ),
        Parameter(
            "input_size",
            "auto",
            label="Model input size (px)",
            help="auto: the model's own. sam3: 1008, 672 or 336; smaller trains faster.",
            group="model",
            parser=parsing.parse_input_size,
            kind="open_choice",
            choices=("auto", "1008", "672", "336"),
        ),
        make_switch(
            "cuda",
            "True",
            label="Use CUDA",
            help="The GPU where there is one, else the CPU.",
            group="model",
        ),
    )
)


class TrainParam(TaskParam):
    """Carries the parameters as strings, the form that Ikomia needs.

    Attributes:
        cfg: Strings by name.
    """

    def __init__(self) -> None:
        TaskParam.__init__(self)
        self.cfg: dict[str, str] = PARAMETERS.get_defaults()

    def set_values(self, params: Mapping[str, str]) -> None:
        """Takes the valid values, so that a workflow of any version opens.

        Args:
            params: Strings by name. Unknown names and invalid values are left out with a
                warning.
        """
        self.cfg, warnings = PARAMETERS.keep_valid({str(k): str(v) for k, v in params.items()})
        for line in warnings:
            logger.warning("%s", line)
