"""Writes the results of a labeled folder in the formats that were asked for."""

from __future__ import annotations

from collections.abc import Sequence

from ...engine import validation
from ..job import read_job_file
from ..output_folder import OutputFolder
from .coco import export_coco
from .contact_sheet import draw_contact_sheet
from .data_set import LabeledDataSet
from .label_studio import export_label_studio
from .png import export_png
from .yolo import export_yolo

FORMATS = {"yolo": export_yolo, "labelstudio": export_label_studio, "png": export_png}
"""Function that writes each format besides COCO, which is always written."""


def parse_formats(text: str) -> tuple[str, ...]:
    """Reads names of formats, separated by spaces or commas.

    Raises:
        ValueError: If one is unknown.
    """
    formats = tuple(text.replace(",", " ").split())
    for name in formats:
        validation.check_choice("formats", name, tuple(FORMATS))
    return formats


def write_formats(
    out: OutputFolder, formats: Sequence[str] = (), val_share: float = 0.0
) -> tuple[str, ...]:
    """Writes COCO, the contact sheet and other formats.

    Args:
        out: The folder of a labeling job.
        formats: Names of :data:`FORMATS`.
        val_share: Share of the val split, 0..1.

    Returns:
        Addresses of what was written.

    Raises:
        ValueError: If the share is out of range, or a format needs masks that the folder lacks.
    """
    validation.to_number("val", val_share, 0, 1)
    if formats and read_job_file(out)["settings"].get("masks") is False:
        raise validation.value_error("formats", "none: the folder holds no masks", formats[0])
    data_set = LabeledDataSet(out, val_share)
    writers = (export_coco, draw_contact_sheet, *(FORMATS[name] for name in formats))
    return tuple(out.get_path(name) for write in writers for name in write(data_set))
