"""Finds weights in the Hugging Face cache and downloads them into it.

Every failure of the client becomes a subclass of :class:`~.errors.DownloadError`, chosen by
the type of the client's exception and its status code. The token is never shown: messages
of the client are masked, and its exceptions are not chained.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .contents import Shape, read_index_names, read_names
from .errors import (
    AccessError,
    CorruptDownloadError,
    DiskFullError,
    DownloadError,
    HubUnavailableError,
    NoNetworkError,
    NoTokenError,
    TokenError,
)
from .remote_file import open_remote

if TYPE_CHECKING:
    from .repositories import RepositoryName

logger = logging.getLogger("infer_segment_anything_3")

_META_REPOSITORY = "facebook/sam3"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_ALTERNATIVES = (
    "Or download the file on another machine and give its path in model_weight_file, or try "
    "the plugin with model_name tiny_shapes, which needs no download."
)


class HubHost:
    """The repositories of the Hugging Face Hub, by its client."""

    def list_files(self, name: RepositoryName) -> list[str]:
        """Lists the paths of all files of a repository. Uses the network."""
        from huggingface_hub import HfApi

        with _explain_errors(name.repo_id, "the list of files"):
            return HfApi().list_repo_files(name.repo_id, revision=name.revision)

    def find_cached(self, name: RepositoryName, filename: str) -> Path | None:
        """Finds a file in the Hugging Face cache, without the network."""
        return find_cached_file(name.repo_id, filename, name.revision)

    def list_cached(self, name: RepositoryName) -> list[Path]:
        """Lists the cached files of a repository's newest snapshot, or of its revision."""
        folder = _get_snapshots(name.repo_id)
        snapshots = [path for path in folder.glob("*") if path.is_dir()]
        if name.revision is not None:
            reference = folder.parent / "refs" / name.revision
            commit = reference.read_text().strip() if reference.is_file() else name.revision
            snapshots = [path for path in snapshots if path.name == commit]
        newest = max(snapshots, key=lambda path: path.stat().st_mtime_ns, default=None)
        return [file for file in sorted((newest or folder).rglob("*")) if file.is_file()]

    def read_names(self, name: RepositoryName, filename: str) -> dict[str, Shape] | None:
        """Reads the names of a file's tensors by range requests."""
        with (
            _explain_errors(name.repo_id, filename),
            open_remote(name.repo_id, filename, name.revision) as file,
        ):
            if filename.endswith(".json"):
                return read_index_names(file.read())
            return read_names(file)

    def download(self, name: RepositoryName, filename: str) -> Path:
        """Downloads a file into the Hugging Face cache, unless it is there; checks its hash."""
        cached = self.find_cached(name, filename)
        return cached or download(name.repo_id, filename, name.revision)


def find_cached_file(repo_id: str, filename: str, revision: str | None = None) -> Path | None:
    """Finds a file of a repository in the Hugging Face cache, without any network call.

    Args:
        repo_id: The repository, such as ``facebook/sam3``.
        filename: The file in it.
        revision: Branch, tag or commit; None for the newest there.

    Returns:
        Its path in the cache; None if it is not there.
    """
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo_id, filename, revision=revision)
    if isinstance(found, str):
        return Path(found)
    if revision is not None:
        return None
    # Another program may have updated the cache's "main" to a revision of which it
    # downloaded other files only.
    files = [file for file in _get_snapshots(repo_id).glob(f"*/{filename}") if file.is_file()]
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=None)


def _get_snapshots(repo_id: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=repo_id, repo_type="model")
    return Path(constants.HF_HUB_CACHE, folder, "snapshots")


def download(repo_id: str, filename: str, revision: str | None = None) -> Path:
    """Downloads a file into the Hugging Face cache and checks its hash.

    The client shows the progress, resumes after a broken connection and uses its own
    settings (``HF_HOME``, ``HF_ENDPOINT``, ``HF_TOKEN``, proxies, offline mode).

    Args:
        repo_id: The repository, such as ``facebook/sam3``.
        filename: The file in it.
        revision: Branch, tag or commit; None for the newest.

    Returns:
        Its path in the cache.

    Raises:
        DownloadError: If the download failed; the subclass tells the reason.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url

    cache = Path(constants.HF_HUB_CACHE)
    with _explain_errors(repo_id, filename):
        announced = get_hf_file_metadata(hf_hub_url(repo_id, filename, revision=revision))
        _check_disk_space(cache, announced.size)
        shown_size = f"{announced.size / 1e9:.2f} GB" if announced.size else "unknown size"
        logger.info("Downloading %s of %s (%s) into %s", filename, repo_id, shown_size, cache)
        path = Path(hf_hub_download(repo_id, filename, revision=revision))
    _verify_hash(path, announced.etag)
    logger.info("Downloaded %s; it stays in the Hugging Face cache", path)
    return path


@contextlib.contextmanager
def _explain_errors(repo_id: str, what: str) -> Iterator[None]:
    """Turns the client's exceptions into those that say what to do."""
    from huggingface_hub import constants

    _check_token_characters()
    try:
        yield
    except DownloadError:
        raise
    except Exception as error:
        raise _explain(error, repo_id, what, Path(constants.HF_HUB_CACHE)) from None


def _check_token_characters() -> None:
    # The HTTP library would refuse the header with a text that shows the token.
    token = _get_token() or ""
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise TokenError(
            "Your Hugging Face token holds characters that no token has, as after copying it "
            "from a formatted text. Copy it again from https://huggingface.co/settings/tokens "
            "and set HF_TOKEN or run `hf auth login` again. HF_TOKEN wins over a login."
        )


def _check_disk_space(cache: Path, size: int | None) -> None:
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if size is not None and free < size:
        raise DiskFullError(
            _describe_full_disk(cache, f"{size / 1e9:.2f} GB, {free / 1e9:.2f} GB are free")
        )


def _describe_full_disk(cache: Path, need: str) -> str:
    return (
        f"There is no disk space for the weights in the Hugging Face cache {cache} "
        f"(needed: {need}). Free some space, or set the environment variable HF_HOME to a "
        "folder on another disk and start again."
    )


def _verify_hash(path: Path, etag: str | None) -> None:
    """Checks the hash of a new download: sha256 for large files, git's for small ones."""
    if etag is None or len(etag) not in (40, 64):
        logger.warning("The Hub gave no hash for %s: it was not checked", path)
        return
    with path.open("rb") as file:
        if len(etag) == 64:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        else:
            header = f"blob {path.stat().st_size}\0".encode()
            actual = hashlib.sha1(header + file.read(), usedforsecurity=False).hexdigest()
    if actual == etag:
        return
    for damaged in {path.resolve(), path}:
        damaged.unlink(missing_ok=True)
    raise CorruptDownloadError(
        f"The download of {path.name} is damaged: its hash is {actual[:12]}… and the Hub "
        f"announced {etag[:12]}…. It was removed from the cache; run again to download it."
    )


def _explain(error: BaseException, repo_id: str, filename: str, cache: Path) -> DownloadError:
    """Converts an exception of the Hub's client to an error that says what to do."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    what = f"{filename} of {repo_id}"
    if isinstance(error, errors.HfHubHTTPError):
        return _explain_refusal(error, repo_id, what)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return NoNetworkError(
            f"{what} is not in the Hugging Face cache {cache}, and the Hub's client is in offline "
            f"mode. Unset HF_HUB_OFFLINE for one run to download it. {_ALTERNATIVES}"
        )
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return DiskFullError(_describe_full_disk(cache, f"{what}, and the disk filled up"))
    if isinstance(error, OSError) and error.errno in _NOT_ALLOWED:
        return DownloadError(
            f"{what} cannot be written into the Hugging Face cache {cache}: {error.strerror}. "
            "Allow writing there, or set the environment variable HF_HOME to another folder."
        )
    if isinstance(error, (*_list_connection_errors(), errors.LocalEntryNotFoundError)):
        return NoNetworkError(
            f"The Hugging Face Hub could not be reached for {what} ({_describe(error)}). Check the "
            f"connection and the proxy settings, and run again. {_ALTERNATIVES}"
        )
    return DownloadError(f"{what} could not be downloaded ({_describe(error)}). {_ALTERNATIVES}")


def _explain_refusal(error: Exception, repo_id: str, what: str) -> DownloadError:
    """Returns the error for a response of the Hub with an error status."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{repo_id}"
    status = getattr(getattr(error, "response", None), "status_code", 0)
    gated = isinstance(error, errors.GatedRepoError)
    hidden = isinstance(error, errors.RepositoryNotFoundError) and not gated
    unsure = " (if there is such a repository)" if hidden and repo_id != _META_REPOSITORY else ""
    if (gated or hidden or status in (401, 403)) and not _get_token():
        return NoTokenError(
            f"{what}{unsure} needs a Hugging Face token: it is gated and none is set up here. "
            f"Ask for access on {page}, make a token with read permission on "
            "https://huggingface.co/settings/tokens, then set the environment variable HF_TOKEN "
            f"or run `hf auth login`. {_ALTERNATIVES}"
        )
    if gated and status != 401:
        return AccessError(
            f"The Hugging Face account of your token may not download {what} (yet). Open {page} "
            "with that account: it shows whether access was never asked for, is still pending or "
            f"was refused. Run again once it is granted. {_ALTERNATIVES}"
        )
    if status == 401:
        return TokenError(
            f"The Hugging Face Hub does not accept your token for {what}: it is mistyped, expired "
            "or revoked. Make a new one on https://huggingface.co/settings/tokens and set HF_TOKEN "
            "or run `hf auth login` again. HF_TOKEN wins over a login."
        )
    if status == 403 or hidden:
        return TokenError(
            f"Your Hugging Face token has no permission to read {what}{unsure}. If it is "
            "fine-grained, allow it to read public gated repositories on "
            "https://huggingface.co/settings/tokens; "
            f"or use a token of type read. The account needs access too: {page}."
        )
    if status == 429 or status >= 500:
        return HubUnavailableError(
            f"The Hugging Face Hub cannot serve {what} now (status {status}). Run again in a few "
            f"minutes. {_ALTERNATIVES}"
        )
    return DownloadError(
        f"The Hugging Face Hub has no {what} (status {status}). If HF_ENDPOINT is set, check that "
        f"it names a complete mirror. {_ALTERNATIVES}"
    )


def _list_connection_errors() -> tuple[type[BaseException], ...]:
    """Returns the connection errors of the HTTP library that the client uses."""
    kinds: list[type[BaseException]] = [ConnectionError, TimeoutError]
    for library, name in (("httpx", "TransportError"), ("requests", "RequestException")):
        if library in sys.modules:
            kinds.append(getattr(sys.modules[library], name))
    return tuple(kinds)


def _get_token() -> str | None:
    from huggingface_hub import get_token

    return get_token()


def _describe(error: BaseException) -> str:
    """Returns the type and the start of the message of an error, without the token."""
    text = next(iter(str(error).splitlines()), "")
    token = _get_token()
    if token:
        text = text.replace(token, "<token>")
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
