"""Fetching: attacks that want the server to reach what its users cannot."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infer_segment_anything_3.serving.errors import ApiError
from infer_segment_anything_3.serving.fetching import ImageFetcher, is_public_address

from .conftest import ImageServer


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("127.8.9.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),  # metadata of clouds
        ("100.64.0.1", False),
        ("192.0.2.1", False),
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", False),  # Teredo of 127.0.0.1
    ],
)
def test_addresses(address: str, expected: bool) -> None:
    assert is_public_address(address) is expected


def fetch(url: str, *allowed: tuple[str, int], **options: Any) -> bytes:
    return asyncio.run(ImageFetcher(allowed, **options).fetch(url, "image.value"))


def refusal(url: str, *allowed: tuple[str, int], **options: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        fetch(url, *allowed, **options)
    message = str(refused.value.detail)
    assert message.startswith("image.value: ") and "\n" not in message
    return refused.value


def test_a_named_private_server_may_be_fetched_from(image_server: ImageServer) -> None:
    image_server.files["/a.png"] = b"image"
    assert fetch(image_server.url + "/a.png", image_server.origin) == b"image"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_private_addresses_are_refused_however_they_are_written(
    image_server: ImageServer, host: str, network_attempts: list[str]
) -> None:
    image_server.files["/a.png"] = b"secret"
    error = refusal(f"http://{host}:{image_server.port}/a.png")
    assert error.status_code == 400
    assert not image_server.requests


def test_another_port_of_a_named_server_is_refused(image_server: ImageServer) -> None:
    refusal(image_server.url + "/a.png", ("127.0.0.1", image_server.port + 1))
    assert not image_server.requests


def test_a_redirect_into_the_network_is_refused(image_server: ImageServer) -> None:
    inner = ImageServer()
    try:
        inner.files["/"] = b"secret"
        for location in (inner.url + "/", f"//127.0.0.1:{inner.port}/", "file:///etc/passwd"):
            image_server.files["/r"] = (302, {"Location": location}, b"")
            refusal(image_server.url + "/r", image_server.origin)
        assert not inner.requests
    finally:
        inner.close()


def test_redirects_are_counted(image_server: ImageServer) -> None:
    for hop in range(5):
        image_server.files[f"/{hop}"] = (302, {"Location": f"/{hop + 1}"}, b"")
    image_server.files["/5"] = b"image"
    assert fetch(image_server.url + "/2", image_server.origin) == b"image"
    assert "3 redirects" in str(refusal(image_server.url + "/1", image_server.origin).detail)


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes names resolve to the given addresses, one list after the other."""

    def install(*answers: list[str]) -> list[str]:
        asked: list[str] = []
        turns: Iterator[list[str]] = itertools.chain(answers, itertools.repeat(answers[-1]))

        def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in next(turns)]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    return install


def test_a_name_with_one_private_address_is_refused(
    resolve: Callable[..., list[str]], image_server: ImageServer
) -> None:
    resolve(["93.184.216.34", "127.0.0.1"])
    error = refusal(f"http://mixed.example:{image_server.port}/a.png")
    assert "ALLOWED_IMAGE_HOSTS" in str(error.detail)
    assert not image_server.requests


def test_a_rebound_name_is_connected_at_the_address_that_was_checked(
    resolve: Callable[..., list[str]], image_server: ImageServer, network_attempts: list[str]
) -> None:
    asked = resolve(["93.184.216.34"], ["127.0.0.1"])
    refusal(f"http://rebound.example:{image_server.port}/a.png")
    assert asked == ["rebound.example"], "resolved once"
    assert network_attempts == ["93.184.216.34"]
    assert not image_server.requests


@pytest.mark.parametrize(
    "url",
    [
        "",
        "image.png",
        "file:///etc/passwd",
        "ftp://example.org/a.png",
        "gopher://127.0.0.1/",
        "http://",
        "http://user:pass@example.org/a.png",
        "http://example.org/a b.png",
        "http://example.org/\r\nX-Header: 1",
        "http://[::1",
        "http://example.org:99999/",
        "http://example.org/" + "a" * 9_000,
        "http://exa\u0000mple.org/",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    assert refusal(url).status_code == 400


def test_signatures_are_not_repeated_in_errors(image_server: ImageServer) -> None:
    error = refusal(image_server.url + "/none.png?signature=s3cret", image_server.origin)
    assert "404" in str(error.detail) and "s3cret" not in str(error.detail)


def test_too_large_a_file_is_not_read(image_server: ImageServer) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 100_000_000:
            sent += 65_536
            yield bytes(65_536)

    image_server.files["/announced"] = (200, {"Content-Length": "1000001"}, b"x")
    image_server.files["/endless"] = (200, {}, endless())
    for path in ("/announced", "/endless"):
        error = refusal(image_server.url + path, image_server.origin, max_bytes=1_000_000)
        assert error.status_code == 413
    assert sent < 50_000_000


def test_a_slow_server_is_given_up(image_server: ImageServer) -> None:
    def drip() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.05)
            yield b"x"

    image_server.files["/slow"] = (200, {}, drip())
    error = refusal(image_server.url + "/slow", image_server.origin, deadline_s=0.3)
    assert "within 0.3 s" in str(error.detail)


def test_compressed_answers_are_not_unpacked(image_server: ImageServer) -> None:
    packed = gzip.compress(bytes(10_000_000))
    image_server.files["/a"] = (200, {"Content-Encoding": "gzip"}, packed)
    assert fetch(image_server.url + "/a", image_server.origin, max_bytes=100_000) == packed
    assert image_server.requests[0][1]["Accept-Encoding"] == "identity"


def test_proxies_of_the_environment_are_not_used(
    image_server: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = ImageServer()
    try:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        image_server.files["/a.png"] = b"image"
        assert fetch(image_server.url + "/a.png", image_server.origin) == b"image"
        assert not proxy.requests
    finally:
        proxy.close()


def test_a_url_is_fetched_for_a_request(
    make_client, image_server: ImageServer, shapes_scene
) -> None:
    from .conftest import to_file

    image_server.files["/sample.jpg"] = to_file(shapes_scene.image)
    client = make_client(allowed_image_hosts=frozenset({image_server.origin}))
    image = {"type": "url", "value": image_server.url + "/sample.jpg"}
    body = {"image": image, "prompts": [{"type": "text", "text": "red circle"}]}
    (result,) = client.post("/sam3/concept_segment", json=body).json()["prompt_results"]
    assert result["predictions"]
    refused = make_client().post("/sam3/concept_segment", json=body)
    assert refused.status_code == 400
    assert "ALLOWED_IMAGE_HOSTS" in refused.json()["message"]
