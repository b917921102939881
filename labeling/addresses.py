"""Opens local paths and addresses of ``fsspec`` in the same way."""

from __future__ import annotations

from typing import Any

from ..engine.validation import value_error


def resolve_address(option: str, address: str) -> tuple[Any, str]:
    """Returns the file system of an address and the path on it.

    Args:
        option: Name of the option it came from, for the error.
        address: A local path (``~`` allowed), or ``protocol://...`` as ``fsspec`` knows it.

    Returns:
        The ``fsspec`` file system and the path, with forward slashes.

    Raises:
        ValueError: If the address is empty, or its protocol is unknown or not installed.
    """
    import fsspec

    if not address.strip() or "\0" in address:
        raise value_error(option, "a path or an address", address)
    try:
        fs, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        # fsspec says which package to install, or that it does not know the protocol.
        raise value_error(option, f"an address that fsspec can open ({error})", address) from error
    return fs, str(path)


def is_local(fs: Any) -> bool:
    """Tells whether a file system of ``fsspec`` is the local one."""
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(fs, LocalFileSystem)
