"""Shows the progress of a job."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, TextIO

from .shard_files import LabeledImage


class Progress:
    """Shows a line with images a second, time left, instances and errors.

    Silent where standard error is no terminal.
    """

    def __init__(self, images: int, stream: TextIO | None = None) -> None:
        """Starts the line.

        Args:
            images: Images there are to label.
            stream: Where to; standard error by default.
        """
        from tqdm import tqdm

        stream = stream or sys.stderr
        self._bar: Any = tqdm(
            total=images,
            unit="image",
            file=stream,
            disable=not stream.isatty(),
            smoothing=0.05,
            dynamic_ncols=True,
        )
        self._instances = self._errors = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def count_image(self, image: LabeledImage) -> None:
        """Counts an image."""
        self.count(1, len(image.instances), int(image.error is not None))

    def count(self, images: int, instances: int, errors: int) -> None:
        """Counts some images with what was found in them."""
        self._instances += instances
        self._errors += errors
        self._bar.set_postfix(instances=self._instances, errors=self._errors, refresh=False)
        self._bar.update(images)
