"""Makes output 3: the run as a COCO data set of one image."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path, PurePath
from typing import Any

from ikomia.dataprocess.io import DataDictIO

from ...engine.export.coco import to_coco
from ..session import RunOutput


def make_data(run: RunOutput) -> dict[str, Any]:
    """Makes the data of a run.

    Args:
        run: A run.

    Returns:
        The data of :func:`to_coco`, and in COCO's ``info`` the prompt mode that was used, the
        run's notes and, of a description, how the language model came to its choice. The same
        run again gives the same data, unless a language model answers otherwise.
    """
    info: dict[str, Any] = {"prompt_mode": run.reading.mode, "notes": list(run.notes)}
    if run.reading.mode == "concept":
        info["tiles"] = list(run.result.tile_grid)
    if run.agent is not None:
        info["agent"] = dict(run.agent)
    form = run.settings.segmentation_format if run.settings.masks else "none"
    result = dataclasses.replace(run.result, frame_index=run.frame_index)
    data = to_coco(result, run.reading.prompt, form, run.source)
    if run.reading.mode == "describe" and "prompt" in data:
        data["prompt"]["kind"] = "describe"
    return {"info": info, **data}


class FileNames:
    """Chooses a file for each picture of a folder run.

    Ikomia asks to save ``<run folder>/<task><stem>`` for a picture, without a slash before
    the stem, which ends at the first dot: pictures of a like name would overwrite each other.
    """

    def __init__(self) -> None:
        self._source_by_target: dict[Path, str] = {}

    def choose(self, path: Path, source: str) -> Path:
        """Chooses the file of a picture.

        Args:
            path: The path that Ikomia asks for.
            source: Path of the picture, or empty.

        Returns:
            ``<run folder>/<task>/<picture's file name>.json`` in a folder run, with the names
            of the picture's folders in front where another picture has that name; else
            ``path`` with ``.json`` at its end.
        """
        picture = PurePath(source)
        folder = path.with_name(path.name.removesuffix(picture.name.split(".")[0]))
        if not source or not folder.is_dir():
            return path.with_name(f"{path.name}.json")
        parts = [part.strip(r"\/:") for part in picture.parts]
        names = ["_".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        numbered = (f"{names[-1]}_{number}" for number in itertools.count(2))
        for name in itertools.chain(names, numbered):
            target = folder / f"{name}.json"
            is_free = target in self._source_by_target or not target.exists()
            if is_free and self._source_by_target.setdefault(target, source) == source:
                break
        return target


class CocoDataIO(DataDictIO):
    """Holds the run as plain data, which is computed when it is first read."""

    def __init__(self) -> None:
        self._pending: RunOutput | None = None
        self._names = FileNames()
        DataDictIO.__init__(self)
        # Ikomia names the files of a video after this name.
        self.name = "CocoData"

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
            path: Path of the file; ``.json`` is added where it is missing. The path of a
                folder run is replaced by one that no other picture of the run has.
        """
        target = Path(path)
        if target.suffix != ".json":
            target = self._names.choose(target, self.data.get("image", {}).get("file_name", ""))
        DataDictIO.save(self, str(target))

    def clear_data(self) -> None:
        """Removes the data. A dict read before stays as it is."""
        self.data = {}
