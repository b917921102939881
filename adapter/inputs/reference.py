"""Reads the picture in which the exemplar boxes lie."""

from __future__ import annotations

from pathlib import Path

from ...engine.images import decode_image
from ...engine.reference_image import ReferenceImage
from ...engine.validation import value_error


class ReferenceReader:
    """Reads the parameter ``reference_image``; decodes a file again only when it has changed."""

    def __init__(self) -> None:
        self._last: tuple[tuple[str, int, int], ReferenceImage] | None = None

    def read(self, path: str) -> ReferenceImage | None:
        """Reads a picture.

        Args:
            path: Its path; empty for none.

        Returns:
            The picture, turned as its EXIF orientation says.

        Raises:
            ValueError: If the file cannot be read as an image.
        """
        if not path:
            return None
        try:
            file = Path(path).expanduser()
            status = file.stat()
            state = str(file), status.st_mtime_ns, status.st_size
            if self._last is None or self._last[0] != state:
                self._last = state, ReferenceImage(decode_image(str(file)))
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: an unknown ~user
            reason = error.strerror if isinstance(error, OSError) else error
            raise value_error("reference_image", f"an image file ({reason})", path) from error
        return self._last[1]
