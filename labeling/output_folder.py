"""Writes files to a job's output folder, each in full or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..engine.validation import value_error
from .addresses import is_local, resolve_address

TEMPORARY_SUFFIX = ".tmp"
BROKEN_SUFFIX = ".broken"


class OutputFolder:
    """Reads and writes a local folder, or an address such as ``s3://bucket/labels``.

    Attributes:
        address: As the user wrote it.
        is_local: Whether it is a folder of this machine.
    """

    def __init__(self, address: str) -> None:
        """Stores the address of a folder; creates and reads nothing yet.

        Args:
            address: Path or address.

        Raises:
            ValueError: If the address has a protocol that is unknown or not installed.
        """
        self.address = address
        self._fs, self._root = resolve_address("out", address)
        self.is_local = is_local(self._fs)

    def get_path(self, name: str = "") -> str:
        """Returns the full path of a file of the folder, for its file system."""
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    @property
    def full_address(self) -> str:
        """The address without a dependence on the current folder."""
        return self._root if self.is_local else self.address

    def get_local_path(self, name: str = "") -> Path:
        """Returns the full path of a file of a local folder."""
        assert self.is_local, "only a local folder has local paths"
        return Path(self.get_path(name))

    def exists(self, name: str) -> bool:
        """Tells whether the folder holds the file."""
        return bool(self._fs.exists(self.get_path(name)))

    def list_names(self, subfolder: str, suffix: str) -> list[str]:
        """Lists the complete files in a subfolder by name, sorted, without the subfolder."""
        try:
            found = self._fs.ls(self.get_path(subfolder), detail=False)
        except FileNotFoundError:
            return []
        names = (str(path).replace("\\", "/").rsplit("/", 1)[-1] for path in found)
        return sorted(name for name in names if name.endswith(suffix))

    def read_bytes(self, name: str) -> bytes:
        """Reads the content of a file."""
        return bytes(self._fs.cat_file(self.get_path(name)))

    def open_to_read(self, name: str) -> Any:
        """Opens a file for reading, as a binary file object that can seek."""
        return self._fs.open(self.get_path(name), "rb")

    def remove(self, name: str) -> None:
        """Removes a file."""
        self._fs.rm_file(self.get_path(name))

    def put_aside(self, name: str) -> str:
        """Renames a broken file, so that it is read no more and not lost; returns its new name."""
        kept = f"{name}{BROKEN_SUFFIX}"
        if self.exists(kept):
            self.remove(kept)
        self._fs.mv(self.get_path(name), self.get_path(kept))
        return kept

    def write_bytes(self, name: str, content: bytes) -> None:
        """Writes a file; it appears in full or not at all."""
        with self.open_to_replace(name) as file:
            file.write(content)

    @contextlib.contextmanager
    def open_to_replace(self, name: str) -> Iterator[IO[bytes]]:
        """Opens a file for writing; it gets its name only when the block ends without an error.

        Locally a temporary file beside it is renamed. Elsewhere a temporary file of this
        machine is uploaded, which object stores do in one step.
        """
        if self.is_local:
            with _rename_when_complete(self.get_local_path(name)) as file:
                yield file
            return
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / "file"
            with temporary.open("wb") as file:
                yield file
            self._fs.makedirs(self.get_path(name).rsplit("/", 1)[0], exist_ok=True)
            self._fs.put_file(str(temporary), self.get_path(name))

    def check_writable(self) -> None:
        """Makes the folder and writes into it once.

        Raises:
            ValueError: If that is not possible.
        """
        try:
            self.write_bytes(f"write-test{TEMPORARY_SUFFIX}", b"")
            self.remove(f"write-test{TEMPORARY_SUFFIX}")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            expected = f"a folder that can be written to ({reason})"
            raise value_error("out", expected, self.address) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Locks a local folder against other jobs of this machine while the block runs.

        Raises:
            ValueError: If another job holds the folder.
        """
        if not self.is_local or os.name == "nt":
            yield
            return
        import fcntl

        with self.get_local_path(".lock").open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                expected = "a folder that no other job is writing to"
                raise value_error("out", expected, self.address) from None
            except OSError:  # a network file system without locks
                pass
            yield


@contextlib.contextmanager
def _rename_when_complete(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the file: a rename is atomic on one file system only.
    handle, temporary = tempfile.mkstemp(
        prefix=f"{path.name}.", suffix=TEMPORARY_SUFFIX, dir=path.parent
    )
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_read_umask())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _read_umask() -> int:
    # Reading it without setting it is possible on Linux only.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022
