"""Reads parts of a file of the Hugging Face Hub."""

from __future__ import annotations

import io
from typing import IO, cast

_BLOCK_BYTES = 512 * 1024


def open_remote(repo_id: str, filename: str, revision: str | None) -> IO[bytes]:
    """Opens a file of the Hub for reading parts of it, with the client's own settings.

    Raises:
        Exception: Whatever the Hub's client raises.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repo_id, filename, revision=revision)
    size = get_hf_file_metadata(url).size
    return cast(IO[bytes], io.BufferedReader(_RemoteFile(url, size or 0), _BLOCK_BYTES))


class _RemoteFile(io.RawIOBase):
    """A file that is read by HTTP range requests."""

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        from huggingface_hub import utils

        end = min(self._size, self._position + len(buffer))
        if end <= self._position:
            return 0
        headers = utils.build_hf_headers()  # type: ignore[attr-defined]
        headers["Range"] = f"bytes={self._position}-{end - 1}"
        response = utils.get_session().get(self._url, headers=headers)  # type: ignore[attr-defined]
        utils.hf_raise_for_status(response)  # type: ignore[attr-defined]
        content = response.content
        if response.status_code == 200:  # a mirror that knows no ranges
            content = content[self._position : end]
        content = content[: end - self._position]
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)
