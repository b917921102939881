"""The table of parameters: the one place where a parameter is declared.

:mod:`settings` parses the values and merges changes.
"""

from __future__ import annotations

from ...engine import parsing, validation
from ...engine.backends.choice import BACKENDS
from ...engine.checkpoints.repositories import check_model_name
from ...engine.checkpoints.zoo import MODELS
from ...engine.concept_text import Concept, parse_concepts
from .parameter_table import ParameterTable
from .spec import Parameter, make_choice, make_integer, make_number, make_switch

PROMPT_MODES = ("auto", "object", "concept", "everything", "describe")


def _parse_description(name: str, text: str) -> tuple[Concept, ...]:
    """Parses one description, which keeps its commas and colons; none where the text is blank."""
    return (Concept(validation.to_description(name, text)),) if text.strip() else ()


def _parse_agent_model(name: str, text: str) -> str:
    """Parses the name of a language model; whether there is one is known by its server alone."""
    return validation.to_description(name, text) if text.strip() else ""


def _parse_model_name(name: str, text: str) -> str:
    return check_model_name(name, text, MODELS)


_TABLE = (
    Parameter(
        "input_text",
        "",
        label="Text",
        help=(
            "One concept (red car) or several with commas between, or a JSON list. "
            "A number behind a colon is that concept's threshold (person:0.4, car). "
            "Quotes keep the commas and colons of a phrase. "
            "For objects it is only their class name. For describe it is one description."
        ),
        group="prompt",
        parser=parse_concepts,
        placeholder="person, red car",
        modes=frozenset(("object", "concept", "describe")),
        mode_parsers=(("describe", _parse_description),),
    ),
    make_choice(
        "prompt_mode",
        PROMPT_MODES,
        default="auto",
        label="Segment",
        choice_labels=(
            "Automatic",
            "This object",
            "Everything like this",
            "Everything",
            "What is described",
        ),
        help=(
            "object: points and boxes each mean this object. concept: text and boxes mean "
            "everything like this. everything: all there is, without a prompt. describe: what a "
            "description means; a language model chooses, and sees the picture. "
            "auto: concept if there is a text or a reference image, else object. Boxes of an "
            "earlier task of the workflow are objects; with a text, auto leaves them out."
        ),
        group="prompt",
    ),
    Parameter(
        "agent_model",
        "",
        label="Language model",
        help=(
            "Name of the language model that resolves a description, as its server calls it; "
            "empty: that in SAM3_AGENT_MODEL. The server's address and key are the environment "
            "variables SAM3_AGENT_URL and SAM3_AGENT_KEY: they are never saved with a workflow."
        ),
        group="prompt",
        parser=_parse_agent_model,
        placeholder="qwen2.5-vl",
        modes=frozenset(("describe",)),
    ),
    make_number(
        "confidence_threshold",
        0,
        1,
        default="0.5",
        label="Confidence threshold",
        help="Instances of a concept at or below this score are left out (0 to 1).",
        group="prompt",
        step=0.05,
        modes=frozenset(("concept", "describe")),
    ),
    Parameter(
        "input_point",
        "",
        label="Points",
        help=(
            "[x, y] or [[x, y], ...] for one object, one such list per object for several. "
            "Pixels of the image. A point refines the boxes that contain it."
        ),
        group="points",
        parser=parsing.parse_points,
        placeholder="[[300, 250], [320, 400]]",
        modes=frozenset(("object",)),
    ),
    Parameter(
        "input_point_label",
        "",
        label="Point labels",
        help="1 foreground, 0 background, nested as the points are. Empty: all 1.",
        group="points",
        parser=parsing.parse_point_labels,
        placeholder="[1, 0]",
        modes=frozenset(("object",)),
    ),
    Parameter(
        "input_box",
        "",
        label="Boxes",
        help=(
            "[x1, y1, x2, y2] or [[x1, y1, x2, y2], ...] in pixels of the image (or of "
            "reference_image): one object each, or exemplars of a concept."
        ),
        group="points",
        parser=parsing.parse_boxes,
        placeholder="[[100, 80, 420, 360]]",
        modes=frozenset(("object", "concept")),
    ),
    Parameter(
        "input_box_label",
        "",
        label="Box labels",
        help='For boxes as exemplars: 1 "like this", 0 "not like this". Empty: all 1.',
        group="points",
        parser=parsing.parse_box_labels,
        placeholder="[1, 0]",
        modes=frozenset(("concept",)),
    ),
    Parameter(
        "reference_image",
        "",
        label="Reference picture of the boxes",
        help=(
            "Another picture, in which the boxes lie: everything like them is looked for in the "
            "image, alone or with a text. auto is concept then."
        ),
        group="points",
        parser=parsing.parse_path,
        kind="file",
        placeholder="~/pictures/example.jpg",
        file_filter="Images (*.bmp *.gif *.jpeg *.jpg *.png *.tif *.tiff *.webp);;All files (*)",
        modes=frozenset(("concept",)),
    ),
    make_switch(
        "refine",
        "False",
        label="Refine the last mask",
        help=(
            "The next run on the same image starts from each object's last mask, for clicking "
            "on. A new box or a new image starts over."
        ),
        group="points",
        modes=frozenset(("object",)),
    ),
    make_integer(
        "points_per_side",
        1,
        validation.MAX_POINTS_PER_SIDE,
        default="32",
        label="Grid points per side",
        help=(
            "Points along each side of the grid that segments everything (1 to 100). "
            "More find smaller things and take longer."
        ),
        group="points",
        modes=frozenset(("everything",)),
    ),
    make_switch(
        "multimask_output",
        "False",
        label="Three candidates",
        help=(
            "False: one mask per object. True: three, sorted by score; the second and third "
            "come in outputs of their own."
        ),
        group="output",
        modes=frozenset(("object",)),
    ),
    make_choice(
        "overlap",
        ("keep", "best"),
        default="keep",
        label="Overlapping instances",
        choice_labels=("Keep all", "Keep the best"),
        help=(
            "keep: all of them. best: an instance whose mask overlaps a better-scored one of "
            "any class by IoU above 0.7 is dropped."
        ),
        group="output",
        modes=frozenset(("concept", "describe")),
    ),
    make_integer(
        "min_area",
        0,
        validation.MAX_AREA_PX,
        default="0",
        label="Minimum area (px)",
        help="Instances with a mask smaller than this many pixels are left out.",
        group="output",
        modes=frozenset(("concept", "everything", "describe")),
    ),
    make_choice(
        "tracking",
        ("auto", "on", "off"),
        default="auto",
        label="Tracking",
        choice_labels=("Automatic", "On", "Off"),
        help=(
            "Gives an object the same id on every frame. auto: for a video or a live stream. "
            "on: also where consecutive runs are frames of one video. off: each by itself."
        ),
        group="output",
        modes=frozenset(("object", "concept")),
    ),
    Parameter(
        "tiles",
        "off",
        label="Tiles",
        help=(
            "off: the whole image at once, 200 instances of a concept at most. N: N x N "
            "overlapping tiles, for many small things. auto: chosen from the image's size."
        ),
        group="output",
        parser=parsing.parse_tiles,
        kind="open_choice",
        choices=("off", "auto", "2", "3", "4"),
        modes=frozenset(("concept", "describe")),
    ),
    make_switch(
        "masks",
        "True",
        label="Masks",
        help=(
            "False: only boxes and scores of concepts, which saves the mask head. Output 1 is "
            "empty then, and min_area, tiles and refine cannot be used."
        ),
        group="output",
        modes=frozenset(("concept",)),
    ),
    make_choice(
        "segmentation_format",
        ("rle", "polygon", "none"),
        default="rle",
        label="Segmentation in COCO output",
        choice_labels=("RLE", "Polygons", "None"),
        help="How output 3 writes masks: compressed RLE, polygons, or not at all.",
        group="output",
    ),
    Parameter(
        "model_name",
        "sam3",
        label="Model",
        help=(
            "sam3, sam3.1: Meta's weights (access must be granted); 3.1 follows several objects "
            "of a video in less time. tiny_shapes: bundled, same architecture as sam3, knows flat "
            "colored shapes only. owner/name[@revision][:file]: weights of SAM 3 in a repository "
            "of the Hugging Face Hub; modelscope:owner/name in one of ModelScope."
        ),
        group="model",
        parser=_parse_model_name,
        kind="open_choice",
        choices=tuple(MODELS),
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
        help=(
            "Side to which the model resizes every image. auto: its own. sam3, sam3.1: 1008, 672 "
            "or 336; tiny_shapes: 280, 224 or 112. Smaller is faster and finds less; with tiles, "
            "large images become affordable."
        ),
        group="model",
        parser=parsing.parse_input_size,
        kind="open_choice",
        choices=("auto", "1008", "672", "336"),
    ),
    make_integer(
        "input_size_percent",
        1,
        100,
        default="100",
        label="Input size (%)",
        help=(
            "Shrinks the image before the model's own resize (1 to 100). Coordinates and "
            "results stay those of the full image."
        ),
        group="model",
    ),
    make_choice(
        "precision",
        ("auto", "float32", "bfloat16"),
        default="auto",
        label="Precision",
        choice_labels=("Automatic", "float32", "bfloat16"),
        help="auto: bfloat16 where the hardware has it natively, else float32.",
        group="model",
    ),
    make_choice(
        "backend",
        BACKENDS,
        default="torch",
        label="Backend",
        choice_labels=("PyTorch", "OpenVINO"),
        help=(
            "What the image encoder runs with. openvino: on a CPU, once installed (pip install "
            "openvino) and with cuda False; converted once, then kept in the user's cache."
        ),
        group="model",
    ),
    make_switch(
        "cuda",
        "True",
        label="Use CUDA",
        help="The GPU where there is one, else the CPU.",
        group="model",
    ),
)

PARAMETERS = ParameterTable(_TABLE)
