"""Output 3: the run as a COCO data set of one image."""

from __future__ import annotations

from typing import Any

from ikomia.dataprocess.io import DataDictIO

from ...engine.export.coco import to_coco
from ..session import RunOutput


def make_data(run: RunOutput) -> dict[str, Any]:
    """Makes the data of a run.

    Args:
        run: A run.

    Returns:
        The data of :func:`to_coco`, and in COCO's ``info`` the prompt mode that was used,
        whether the image was encoded before, and the run's notes.
    """
    info = {
        "prompt_mode": run.reading.mode,
        "image_was_cached": run.result.image_was_cached,
        "notes": list(run.notes),
    }
    form = run.settings.segmentation_format
    return {"info": info, **to_coco(run.result, run.reading.prompt, form, run.source)}


class CocoDataIO(DataDictIO):
    """The run as plain data, computed when it is first read so that a click does not wait."""

    def __init__(self) -> None:
        self._pending: RunOutput | None = None
        DataDictIO.__init__(self)

    @property
    def data(self) -> dict[str, Any]:
        """The run in COCO terms; empty before the first run."""
        run = self._pending
        if run is None:
            return self._data
        data = make_data(run)
        # Unless another run ended meanwhile.
        if self._pending is run:
            self.data = data
        return data

    @data.setter
    def data(self, data: dict[str, Any]) -> None:
        self._data, self._pending = data, None

    def set_run(self, run: RunOutput) -> None:
        """Sets the run that :attr:`data` describes."""
        self._pending = run

    def is_data_available(self) -> bool:
        """Returns whether there was a run."""
        return self._pending is not None or bool(self._data)

    def save(self, path: str) -> None:
        """Writes the data as JSON.

        Args:
            path: Path of the file; ``.json`` is added where it is missing (a folder run
                gives none).
        """
        DataDictIO.save(self, path if path.endswith(".json") else f"{path}.json")

    def clear_data(self) -> None:
        """Removes the data. A dict read before stays as it is."""
        self.data = {}
