"""Weights of a repository: picked by their contents, checked, cached; from a Hub on loopback."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch
from safetensors.torch import save_file

from infer_segment_anything_3.engine import Engine
from infer_segment_anything_3.engine.checkpoints import errors as weight_errors
from infer_segment_anything_3.engine.checkpoints import zoo
from infer_segment_anything_3.engine.checkpoints.reader import read_tensors
from infer_segment_anything_3.engine.checkpoints.repositories import (
    RepositoryName,
    describe_repository,
    parse_repository,
)

COMMIT = "c" * 40
TINY = zoo.MODELS["tiny_shapes"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("owner/name", RepositoryName("huggingface", "owner/name")),
        ("owner/na.me@v1", RepositoryName("huggingface", "owner/na.me", "v1")),
        (
            "owner/name@refs/pr/1:a folder/x (1).pt",
            RepositoryName("huggingface", "owner/name", "refs/pr/1", "a folder/x (1).pt"),
        ),
        ("modelscope:owner/name:x.pt", RepositoryName("modelscope", "owner/name", None, "x.pt")),
        *(
            (text, None)
            for text in ("sam3", "weights/sam3.pt", "../x/y", "a/b:../x", "a/b@..", "C:/x/y")
        ),
        *((text, None) for text in ("a/b/c", "/a/b", "a/b:", "gitlab:a/b", "a/b@", "a /b", "ä/b")),
    ],
)
def test_names(text: str, expected: RepositoryName | None) -> None:
    assert parse_repository(text) == expected


@dataclasses.dataclass
class Repository:
    """Files of a repository, and what the Hub was asked."""

    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    downloads: list[str] = dataclasses.field(default_factory=list)
    ranges: list[tuple[str, int]] = dataclasses.field(default_factory=list)
    revisions: set[str] = dataclasses.field(default_factory=set)
    damaged: bool = False

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        if path.startswith("/api/models/mine/copy/"):
            self.revisions.add(path.rpartition("/")[2])
            body = json.dumps(
                [{"type": "file", "path": p, "size": len(c), "oid": "0" * 40}
                 for p, c in self.files.items()]
            ).encode()  # fmt: skip
            self._send(request, 200, body, {})
            return
        start, _, rest = path.removeprefix("/mine/copy/resolve/").partition("/")
        self.revisions.add(start)
        content = self.files.get(rest)
        if content is None or not path.startswith("/mine/copy/"):
            self._send(request, 404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        etag = hashlib.sha256(b"other" if self.damaged else content).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
        wanted = request.headers.get("Range")
        if wanted and request.command == "GET":
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            content = content[int(first) : int(last) + 1 if last else None]
            self.ranges.append((rest, len(content)))
        elif request.command == "GET":
            self.downloads.append(rest)
        self._send(request, 206 if wanted else 200, content, headers)

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
    ) -> None:
        request.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            request.send_header(name, value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """``mine/copy`` on a Hub on loopback, for a model ``sam3`` of the small model's sizes."""
    from huggingface_hub import constants

    state = Repository()

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
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", endpoint, raising=False)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: _make_api(endpoint))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub cache"))
    small = dataclasses.replace(
        zoo.MODELS["sam3"], architecture=TINY.architecture, input_sizes=TINY.input_sizes
    )
    monkeypatch.setitem(zoo.MODELS, "sam3", small)
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def _make_api(endpoint: str) -> Any:
    from huggingface_hub.hf_api import HfApi

    return HfApi(endpoint=endpoint)


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files that repositories hold: weights in several forms, and what is none."""
    folder = tmp_path_factory.mktemp("files")
    state = read_tensors(zoo.find_weights("tiny_shapes"))
    names = sorted(state)
    torch.save({"model": {f"module.{k}": v for k, v in state.items()}}, folder / "pt")
    save_file({"layers.0.weight": torch.zeros(3)}, folder / "other")
    save_file({"image_encoder.trunk.blocks.0.attn.qkv.weight": torch.zeros(3)}, folder / "sam2")
    weight_map = {}
    for shard in range(2):
        part = {name: state[name] for name in names[shard::2]}
        save_file(part, folder / f"shard{shard}")
        weight_map |= dict.fromkeys(part, f"model-0000{shard + 1}-of-00002.safetensors")
    (folder / "index").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "tiny").write_bytes(zoo.find_weights("tiny_shapes").read_bytes())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["tiny", "pt"])
def test_the_file_that_fits_is_found_and_only_it_is_downloaded(
    repository: Repository, contents: dict[str, bytes], kind: str
) -> None:
    name = "weights/mine.pt" if kind == "pt" else "weights/mine.safetensors"
    repository.files = {
        "README.md": b"#",
        "adapter_model.safetensors": contents["other"],
        "sam2.safetensors": contents["sam2"],
        "run.py": b"raise SystemExit",
        name: contents[kind],
    }
    said = describe_repository(RepositoryName("huggingface", "mine/copy"), TINY.architecture)
    assert said == f"{name}: downloaded at the first run"
    assert not repository.downloads
    path = zoo.find_weights("mine/copy")
    assert path.read_bytes() == contents[kind]
    assert repository.downloads == [name]
    repository.files = {}
    assert zoo.find_weights("mine/copy") == path, "the cached file is used without the Hub"
    engine = Engine.load("mine/copy", device="cpu", precision="float32")
    assert engine.image_size == 280


def test_a_revision_and_a_file_may_be_named(
    repository: Repository, contents: dict[str, bytes]
) -> None:
    repository.files = {"a.safetensors": contents["tiny"], "b.safetensors": contents["tiny"]}
    path = zoo.find_weights("mine/copy@v2:b.safetensors")
    assert repository.downloads == ["b.safetensors"]
    assert "v2" in repository.revisions and "main" not in repository.revisions
    repository.files = {}
    assert zoo.find_weights("mine/copy@v2:b.safetensors") == path
    assert zoo.find_weights("mine/copy@v2") == path
    with pytest.raises(weight_errors.DownloadError, match=r"b\.safetensors of mine/copy"):
        zoo.find_weights("mine/copy@v3:b.safetensors")


def test_several_that_fit_are_listed(repository: Repository, contents: dict[str, bytes]) -> None:
    repository.files = {"a.safetensors": contents["tiny"], "b.pt": contents["pt"]}
    with pytest.raises(weight_errors.NoFittingFileError) as caught:
        zoo.find_weights("mine/copy")
    assert "a.safetensors, b.pt" in str(caught.value)
    assert "mine/copy:a.safetensors" in str(caught.value)
    repository.files["sam3.pt"] = contents["pt"]
    assert zoo.find_weights("mine/copy").name == "sam3.pt"
    assert repository.downloads == ["sam3.pt"]


def test_nothing_that_fits_is_listed_and_not_downloaded(
    repository: Repository, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.files = {"x.safetensors": contents["other"], "config.json": b"{}", "y.pt": b"PK\3\4"}
    with pytest.raises(weight_errors.NoFittingFileError) as caught:
        zoo.find_weights("mine/copy")
    assert "x.safetensors, config.json, y.pt" in str(caught.value)
    # Weights of other sizes do not fit either.
    repository.files = {"tiny.safetensors": contents["tiny"]}
    large = dataclasses.replace(TINY.architecture, vit_width=1024)
    monkeypatch.setitem(
        zoo.MODELS, "sam3", dataclasses.replace(zoo.MODELS["sam3"], architecture=large)
    )
    with pytest.raises(weight_errors.NoFittingFileError):
        zoo.find_weights("mine/copy")
    assert not repository.downloads


def test_all_shards_are_downloaded(repository: Repository, contents: dict[str, bytes]) -> None:
    repository.files = {
        "sub/model.safetensors.index.json": contents["index"],
        "sub/model-00001-of-00002.safetensors": contents["shard0"],
        "sub/model-00002-of-00002.safetensors": contents["shard1"],
    }
    path = zoo.find_weights("mine/copy")
    assert read_tensors(path).keys() == read_tensors(zoo.find_weights("tiny_shapes")).keys()
    assert len(repository.downloads) == 3
    assert zoo.find_weights("mine/copy") == path
    assert len(repository.downloads) == 3


def test_headers_alone_are_read_to_recognize_a_file(
    repository: Repository, contents: dict[str, bytes]
) -> None:
    padded = contents["tiny"] + bytes(4 * 1024**2)
    repository.files = {"a.safetensors": padded}
    describe_repository(RepositoryName("huggingface", "mine/copy"), TINY.architecture)
    assert sum(size for _, size in repository.ranges) < len(padded) / 3


def test_the_hash_is_checked(repository: Repository, contents: dict[str, bytes]) -> None:
    repository.files, repository.damaged = {"a.safetensors": contents["tiny"]}, True
    with pytest.raises(weight_errors.CorruptDownloadError):
        zoo.find_weights("mine/copy")


def test_an_unknown_repository(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(weight_errors.DownloadError):
        zoo.find_weights("mine/other")


class FakeModelScope:
    """What this project uses of ModelScope's client, over a folder."""

    HubError = type("HubError", (Exception,), {})
    NetworkError = type("NetworkError", (HubError, ConnectionError), {})
    FileIntegrityError = type("FileIntegrityError", (HubError,), {})
    AuthenticationError = type("AuthenticationError", (HubError,), {})
    PermissionDeniedError = type("PermissionDeniedError", (HubError,), {})
    NotExistError = type("NotExistError", (HubError,), {})
    ServerError = type("ServerError", (HubError,), {})
    RateLimitError = type("RateLimitError", (HubError,), {})

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache, self.offline = folder, cache, False
        self.hashes: list[str | None] = []

    def HubApi(self) -> FakeModelScope:  # noqa: N802
        return self

    def list_repo_files(self, repo_id: str, kind: str, *, revision: str | None) -> list[Any]:
        if self.offline:
            raise self.NetworkError()
        if repo_id != "mine/copy":
            raise self.NotExistError()
        return [
            SimpleNamespace(path=path.name, sha256="hash of " + path.name, is_dir=False)
            for path in sorted(self.folder.iterdir())
        ]

    def download_file(
        self,
        repo_id: str,
        kind: str,
        path: str,
        *,
        revision: str | None,
        local_files_only: bool = False,
        expected_sha256: str | None = None,
    ) -> Path:
        if local_files_only:
            if (self.cache / path).is_file():
                return self.cache / path
            raise self.HubError()
        self.hashes.append(expected_sha256)
        (self.cache / path).write_bytes((self.folder / path).read_bytes())
        return self.cache / path


@pytest.fixture
def model_scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeModelScope:
    for name in ("there", "cache"):
        (tmp_path / name).mkdir()
    client = FakeModelScope(tmp_path / "there", tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "modelscope_hub", client)
    return client


def test_modelscope(model_scope: FakeModelScope, contents: dict[str, bytes]) -> None:
    (model_scope.folder / "sam3.safetensors").write_bytes(contents["tiny"])
    (model_scope.folder / "README.md").write_text("#")
    path = zoo.find_weights("modelscope:mine/copy")
    assert path.read_bytes() == contents["tiny"]
    assert model_scope.hashes == ["hash of sam3.safetensors"]
    model_scope.offline = True
    assert zoo.find_weights("modelscope:mine/copy:sam3.safetensors") == path
    with pytest.raises(weight_errors.NoNetworkError, match="ModelScope could not be reached"):
        zoo.find_weights("modelscope:mine/copy:other.pt")


def test_modelscope_refusals(
    model_scope: FakeModelScope, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        (model_scope.folder / name).write_bytes(contents["tiny"])
    with pytest.raises(weight_errors.NoFittingFileError, match="modelscope:mine/copy:a"):
        zoo.find_weights("modelscope:mine/copy")
    with pytest.raises(weight_errors.DownloadError, match=r"no file x\.pt"):
        zoo.find_weights("modelscope:mine/copy:x.pt")
    with pytest.raises(weight_errors.DownloadError, match="ModelScope has no"):
        zoo.find_weights("modelscope:mine/none")
    monkeypatch.setitem(sys.modules, "modelscope_hub", None)
    with pytest.raises(ImportError, match="pip install modelscope"):
        zoo.find_weights("modelscope:mine/copy")
