"""Draws held-out images with their labels, and with what was found before and after."""

from __future__ import annotations

from ..engine import ConceptPrompt, Engine
from ..engine.results import Instance, Mask, Result
from ..labeling.exports.contact_sheet import draw_result, paste_cells
from ..labeling.output_folder import OutputFolder
from .data import SourceImage, TrainingData
from .options import TrainingOptions

FILE = "contact_sheet.png"
ROWS = 5


def write_contact_sheet(out: OutputFolder, data: TrainingData, options: TrainingOptions) -> None:
    """Writes a row for each of a few held-out images: labels, before, after."""
    name, model = options.model.model_name, options.model
    weights = f"{model.weight_file or ''} + {out.get_local_path('adapter')}".strip()
    engines = [
        Engine.load(name, file, model.device, model.precision, model.input_size)  # type: ignore[arg-type]
        for file in (model.weight_file, weights)
    ]
    texts = tuple(data.concepts.phrases.values())[:100]
    cells = []
    for image in sorted(data.held_out.images, key=lambda i: i.sha256)[:ROWS]:
        pixels = image.read_pixels()
        found = [e.segment(pixels, ConceptPrompt(texts=texts)) for e in engines]
        for title, result in zip(
            ("labels", "before", "after"), (_make_truth(image, data), *found), strict=True
        ):
            count = len(result.instances)
            cells.append(
                (draw_result(pixels, result), f"{title}: {count}, {image.path.name[-24:]}")
            )
    out.write_bytes(FILE, paste_cells(cells, 3))


def _make_truth(image: SourceImage, data: TrainingData) -> Result:
    places = {number: index for index, number in enumerate(data.concepts.phrases)}
    instances = tuple(
        Instance(places[a.category_id], 1.0, a.box_xyxy, Mask.from_full(a.decode_mask(image.hw)))
        for a in image.annotations
    )
    return Result(image.hw, tuple(data.concepts.phrases.values()), instances)
