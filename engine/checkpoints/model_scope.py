"""Finds weights on ModelScope, with its own client where that is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .contents import Shape
from .errors import (
    CorruptDownloadError,
    DiskFullError,
    DownloadError,
    HubUnavailableError,
    NoNetworkError,
    TokenError,
)
from .repositories import RepositoryName


class ModelScopeHost:
    """The repositories of ModelScope. Its client checks the hash of what it downloads."""

    def list_files(self, name: RepositoryName) -> list[str]:
        """Lists the paths of all files of a repository. Uses the network."""
        return [entry.path for entry in self._list_entries(name)]

    def find_cached(self, name: RepositoryName, filename: str) -> Path | None:
        """Finds a file in the client's cache, without the network."""
        client = _import_client()
        with contextlib.suppress(client.HubError, OSError):
            found: Path = client.HubApi().download_file(
                name.repo_id, "model", filename, revision=name.revision, local_files_only=True
            )
            return found
        return None

    def list_cached(self, name: RepositoryName) -> list[Path]:
        """Lists nothing: the client does not tell which files of a repository it has."""
        _import_client()
        return []

    def read_names(self, name: RepositoryName, filename: str) -> dict[str, Shape] | None:
        """Returns None: the client reads no parts of files."""
        return None

    def download(self, name: RepositoryName, filename: str) -> Path:
        """Downloads a file into the client's cache, with the hash that the listing announces."""
        entries = {entry.path: entry for entry in self._list_entries(name)}
        if filename not in entries:
            raise DownloadError(f"{name} has no file {filename}. Its files: {', '.join(entries)}")
        client = _import_client()
        with _explain_errors(client, f"{filename} of {name}"):
            path: Path = client.HubApi().download_file(
                name.repo_id,
                "model",
                filename,
                revision=name.revision,
                expected_sha256=entries[filename].sha256,
            )
            return path

    def _list_entries(self, name: RepositoryName) -> list[Any]:
        client = _import_client()
        with _explain_errors(client, str(name)):
            entries = client.HubApi().list_repo_files(name.repo_id, "model", revision=name.revision)
            return [entry for entry in entries if not entry.is_dir]


def _import_client() -> Any:
    try:
        import modelscope_hub
    except ImportError as error:
        raise ImportError(
            "model_name: repositories of ModelScope need its client: pip install modelscope"
        ) from error
    return modelscope_hub


@contextlib.contextmanager
def _explain_errors(client: Any, what: str) -> Iterator[None]:
    """Turns errors of the client into those that say what to do; without its own texts' keys."""
    try:
        yield
    except client.FileIntegrityError as error:
        raise CorruptDownloadError(
            f"The download of {what} is damaged: its hash is not the announced one. Run again."
        ) from error
    except client.NetworkError:
        raise NoNetworkError(
            f"ModelScope could not be reached for {what}. Check the connection and the proxy "
            "settings, and run again; or give a local file in model_weight_file."
        ) from None
    except (client.AuthenticationError, client.PermissionDeniedError):
        raise TokenError(
            f"ModelScope does not allow {what} with this account. Log in with `modelscope login`, "
            "or give a local file in model_weight_file."
        ) from None
    except client.NotExistError:
        raise DownloadError(f"ModelScope has no {what}. Check owner, name and revision.") from None
    except (client.ServerError, client.RateLimitError):
        raise HubUnavailableError(
            f"ModelScope cannot serve {what} now. Run again in a few minutes."
        ) from None
    except OSError as error:
        if error.errno == 28:
            raise DiskFullError(f"There is no disk space for {what}.") from error
        raise DownloadError(f"{what} could not be written ({error.strerror}).") from error
    except client.HubError as error:
        raise DownloadError(f"{what} could not be had ({type(error).__name__}).") from None
