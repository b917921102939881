"""Finding and fetching weights, with the real Hugging Face client and a Hub on loopback."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infer_segment_anything_3.engine.checkpoints import (
    errors as weight_errors,
)
from infer_segment_anything_3.engine.checkpoints import (
    hub,
)
from infer_segment_anything_3.engine.checkpoints import (
    zoo as checkpoints,
)

CONTENT = bytes(range(256)) * 512
COMMIT = "a" * 40
TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345"


@dataclass
class FakeHub:
    """What the Hub answers, and what it was asked."""

    status: int = 200
    error_code: str = ""
    error_message: str = ""
    sent: bytes = CONTENT
    etag: str = hashlib.sha256(CONTENT).hexdigest()
    breaks_after: int | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.requests.append((request.command, request.path))
        if authorization := request.headers.get("Authorization"):
            self.tokens.add(authorization.removeprefix("Bearer "))
        body = self.sent
        status = self.status
        wanted = request.headers.get("Range")
        if status == 200 and wanted:
            self.ranges.append(wanted)
            body, status = body[int(wanted.removeprefix("bytes=").rstrip("-")) :], 206
        request.send_response(status)
        if self.error_code:
            request.send_header("X-Error-Code", self.error_code)
        if self.error_message:
            request.send_header("X-Error-Message", self.error_message)
        request.send_header("ETag", f'"{self.etag}"')
        request.send_header("X-Repo-Commit", COMMIT)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "GET":
            if self.breaks_after is not None and status == 200:
                request.wfile.write(body[: self.breaks_after])
                request.close_connection = True
                return
            request.wfile.write(body)


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub on loopback that the real client talks to, with an empty cache and no token."""
    from huggingface_hub import constants

    state = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.answer(self)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("SAM3_CHECKPOINT", raising=False)
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits a second before it resumes."""
    import time

    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def test_downloads_into_the_cache_once(fake_hub: FakeHub) -> None:
    path = checkpoints.find_weights("sam3")
    assert path.read_bytes() == CONTENT
    assert path.parts[-3:] == ("snapshots", COMMIT, "sam3.pt")
    assert ("HEAD", "/facebook/sam3/resolve/main/sam3.pt") in fake_hub.requests
    asked = len(fake_hub.requests)
    assert checkpoints.find_weights("sam3") == path
    assert len(fake_hub.requests) == asked, "a cached file is used without asking the Hub"


def test_sam_3_1_has_a_repository_and_a_file_of_its_own(fake_hub: FakeHub) -> None:
    path = checkpoints.find_weights("sam3.1")
    assert path.name == "sam3.1_multiplex.pt"
    asked = ("HEAD", "/facebook/sam3.1/resolve/main/sam3.1_multiplex.pt")
    assert asked in fake_hub.requests
    count = len(fake_hub.requests)
    assert checkpoints.find_weights("sam3.1") == path
    assert len(fake_hub.requests) == count


def test_the_page_of_sam_3_1_is_named_where_access_is_missing(fake_hub: FakeHub) -> None:
    fake_hub.status, fake_hub.error_code = 401, "GatedRepo"
    with pytest.raises(weight_errors.NoTokenError, match=r"co/facebook/sam3\.1, make a token"):
        checkpoints.find_weights("sam3.1")


@pytest.mark.parametrize("filename", ["model.safetensors", "model.safetensors.index.json"])
def test_a_cached_file_of_transformers_is_used_before_a_download(
    fake_hub: FakeHub, tmp_path: Path, filename: str
) -> None:
    snapshot = tmp_path / "hub cache" / "models--facebook--sam3" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / filename).write_bytes(b"weights")
    assert checkpoints.find_weights("sam3") == snapshot / filename
    assert not fake_hub.requests
    (snapshot / "sam3.pt").write_bytes(b"weights")
    assert checkpoints.find_weights("sam3") == snapshot / "sam3.pt"


def test_a_broken_connection_is_resumed(
    fake_hub: FakeHub, no_pause: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    # The client keeps whole chunks of what has arrived.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
    fake_hub.breaks_after = 1000
    assert checkpoints.find_weights("sam3").read_bytes() == CONTENT
    assert fake_hub.ranges == ["bytes=1000-"]


def test_token_reaches_the_hub_only(
    fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    caplog.set_level("DEBUG")
    checkpoints.find_weights("sam3")
    assert fake_hub.tokens == {TOKEN}
    assert TOKEN not in caplog.text


def test_small_files_are_checked_by_git_hash(fake_hub: FakeHub) -> None:
    header = f"blob {len(CONTENT)}\0".encode()
    fake_hub.etag = hashlib.sha1(header + CONTENT).hexdigest()
    assert checkpoints.find_weights("sam3").read_bytes() == CONTENT


@pytest.mark.parametrize("digits", [40, 64])
def test_a_download_with_another_hash_is_refused_and_removed(
    fake_hub: FakeHub, digits: int
) -> None:
    fake_hub.etag = "0" * digits
    with pytest.raises(weight_errors.CorruptDownloadError, match="announced 000000"):
        checkpoints.find_weights("sam3")
    fake_hub.etag = hashlib.sha256(CONTENT).hexdigest()
    assert checkpoints.find_weights("sam3").read_bytes() == CONTENT


REFUSALS = [
    # status, X-Error-Code, X-Error-Message, token set, error, what the message must say
    (401, "GatedRepo", "", False, weight_errors.NoTokenError, "hf auth login"),
    (401, "RepoNotFound", "", False, weight_errors.NoTokenError, "hf auth login"),
    (403, "", "Forbidden", False, weight_errors.NoTokenError, "hf auth login"),
    (403, "GatedRepo", "", True, weight_errors.AccessError, "huggingface.co/facebook/sam3"),
    (401, "GatedRepo", "", True, weight_errors.TokenError, "expired"),
    (
        401,
        "",
        "Invalid credentials in Authorization header",
        True,
        weight_errors.TokenError,
        "expired",
    ),
    (403, "", "fine-grained", True, weight_errors.TokenError, "fine-grained"),
    (404, "RepoNotFound", "", True, weight_errors.TokenError, "permission"),
    (404, "EntryNotFound", "", True, weight_errors.DownloadError, "HF_ENDPOINT"),
    (503, "", "", True, weight_errors.HubUnavailableError, "few minutes"),
    (429, "", "", False, weight_errors.HubUnavailableError, "few minutes"),
]


@pytest.mark.parametrize(
    ("status", "code", "message", "with_token", "error", "advice"),
    REFUSALS,
    ids=[f"{r[0]}-{r[1] or r[2]}-{'token' if r[3] else 'no token'}" for r in REFUSALS],
)
def test_refusals_say_what_to_do(
    fake_hub: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
    code: str,
    message: str,
    with_token: bool,
    error: type[Exception],
    advice: str,
) -> None:
    fake_hub.status, fake_hub.error_code, fake_hub.error_message = status, code, message
    if with_token:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    caplog.set_level("DEBUG")
    with pytest.raises(weight_errors.DownloadError) as caught:
        checkpoints.find_weights("sam3")
    assert type(caught.value) is error
    assert advice in str(caught.value)
    assert_is_one_paragraph_without_token(caught.value, caplog.text)


def assert_is_one_paragraph_without_token(error: BaseException, log: str) -> None:
    import traceback

    assert "\n" not in str(error)
    assert TOKEN not in "".join(traceback.format_exception(error))
    assert TOKEN not in log


def _raise(error: BaseException) -> Callable[..., Any]:
    def raising(*_: Any, **__: Any) -> Any:
        raise error

    return raising


def test_no_network(fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    closed = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", closed)
    with pytest.raises(weight_errors.NoNetworkError, match="proxy") as caught:
        checkpoints.find_weights("sam3")
    assert_is_one_paragraph_without_token(caught.value, "")


def test_offline_mode(fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import errors

    monkeypatch.setattr(
        "huggingface_hub.get_hf_file_metadata", _raise(errors.OfflineModeIsEnabled("offline"))
    )
    with pytest.raises(weight_errors.NoNetworkError, match="HF_HUB_OFFLINE"):
        checkpoints.find_weights("sam3")


@pytest.mark.parametrize("when", ["before", "during"])
def test_disk_full(fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    if when == "before":
        usage = type("usage", (), {"free": 10})
        monkeypatch.setattr(hub.shutil, "disk_usage", lambda folder: usage)
    else:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        monkeypatch.setattr("huggingface_hub.file_download.http_get", _raise(full))
    with pytest.raises(weight_errors.DiskFullError, match="HF_HOME"):
        checkpoints.find_weights("sam3")


def test_cache_that_cannot_be_written(fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", _raise(denied))
    with pytest.raises(weight_errors.DownloadError, match="HF_HOME"):
        checkpoints.find_weights("sam3")


def test_what_the_client_says_is_masked(fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    leaking = RuntimeError(f"unheard of, with {TOKEN}\nand more")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", _raise(leaking))
    with pytest.raises(weight_errors.DownloadError, match="RuntimeError: unheard of") as caught:
        checkpoints.find_weights("sam3")
    assert_is_one_paragraph_without_token(caught.value, "")


@pytest.mark.parametrize("broken", ["hf_Ab…", "hf_Ab Cd", "hf_Ab\x01Cd"])
def test_a_token_that_cannot_be_sent(
    fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", broken)
    with pytest.raises(weight_errors.TokenError, match="Copy it again") as caught:
        checkpoints.find_weights("sam3")
    assert broken not in str(caught.value)
    assert not fake_hub.requests


def test_a_newer_revision_of_other_files_does_not_hide_the_cached_weights(
    fake_hub: FakeHub,
) -> None:
    path = checkpoints.find_weights("sam3")
    main = path.parents[2] / "refs" / "main"
    main.write_text("b" * 40)
    (path.parents[1] / ("b" * 40)).mkdir()
    asked = len(fake_hub.requests)
    assert checkpoints.find_weights("sam3") == path
    assert len(fake_hub.requests) == asked
