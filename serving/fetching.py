"""Fetches images over http, from public addresses and named private ones only.

A name is resolved once, when the connection is made, and the connection goes to the very
address that was checked: a name that later resolves to something else changes nothing.
Redirects are followed by hand, each checked like the first address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import ssl
from collections.abc import Iterable, Mapping
from urllib.parse import urljoin, urlsplit

import httpcore

from ..engine.validation import shorten
from .errors import ApiError
from .settings import Origin, parse_url_origin

MAX_REDIRECTS = 3
DEADLINE_S = 30.0
"""For the whole of a fetch, redirects included."""

_REDIRECTS = (301, 302, 303, 307, 308)
_HINTS = {401: ": it asks for a token", 403: ": it refuses access", 404: ": no such file"}
_MAX_URL_CHARS = 8_000
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public_address(text: str) -> bool:
    """Tells whether an IP address belongs to the public internet.

    IPv6 addresses that stand for an IPv4 one (mapped, 6to4, Teredo, NAT64) count as that one.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address.teredo:
            inner = address.teredo[1]
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public_address(str(inner))
    return address.is_global and not address.is_multicast


class _ForbiddenAddressError(Exception):
    """Reports that a name resolved to an address that must not be connected to."""


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to public addresses, and to private ones of origins that were named."""

    def __init__(self, allowed: frozenset[Origin]) -> None:
        self._allowed = allowed
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the name cannot be resolved") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        is_named = (host.lower().strip("[]"), port) in self._allowed
        # All of them: a name with one private address is not to be trusted.
        if not is_named and not all(map(is_public_address, addresses)):
            raise _ForbiddenAddressError
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise _ForbiddenAddressError

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class ImageFetcher:
    """Fetches files over http and https. Proxies of the environment are not used."""

    def __init__(
        self,
        allowed_private: Iterable[Origin] = (),
        max_bytes: int = 50_000_000,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Creates a fetcher.

        Args:
            allowed_private: Origins that may have private addresses.
            max_bytes: A larger answer is refused, however it is announced.
            deadline_s: For one call of :meth:`fetch`.
        """
        self._allowed = frozenset(allowed_private)
        self._max_bytes = max_bytes
        self._deadline_s = deadline_s
        self._tls = ssl.create_default_context()

    async def fetch(
        self, url: str, field: str, origin_headers: Mapping[Origin, Mapping[str, str]] | None = None
    ) -> bytes:
        """Fetches a file.

        Args:
            url: An http or https URL.
            field: What the user calls it, for errors.
            origin_headers: Headers for single origins, for instance a token: never sent to
                any other, whatever redirects say.

        Returns:
            The body of the answer.

        Raises:
            ApiError: 400 if the URL is not allowed or cannot be fetched; 413 if the file is
                too large.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._follow(url, field, origin_headers or {})
        except TimeoutError:
            raise ApiError(
                400, f"{field}: the server did not send the file within {self._deadline_s:g} s"
            ) from None

    async def post_json(self, url: str, field: str, payload: object) -> bytes:
        """Sends JSON to a server and returns its answer; redirects are not followed.

        Args:
            url: An http or https URL.
            field: The user's name of the data, for errors.
            payload: What to send. It is in no error and in no log.

        Returns:
            The body of the answer.

        Raises:
            ApiError: 400 if the server cannot be reached or refuses.
        """
        _check_origin(url, field)
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = await self._request("POST", url, field, {}, json.dumps(payload).encode())
        except TimeoutError:
            raise ApiError(400, f"{field}: the server did not answer in time") from None
        if not isinstance(answer, bytes):
            raise ApiError(400, f"{field}: the server answered with a redirect")
        return answer

    async def _follow(
        self, url: str, field: str, origin_headers: Mapping[Origin, Mapping[str, str]]
    ) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            origin = _check_origin(url, field)
            answer = await self._request("GET", url, field, origin_headers.get(origin, {}))
            if isinstance(answer, bytes):
                return answer
            url = urljoin(url, answer)
        raise ApiError(400, f"{field}: expected at most {MAX_REDIRECTS} redirects")

    async def _request(
        self,
        method: str,
        url: str,
        field: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
    ) -> bytes | str:
        """Requests a file; returns its body, or the target of a redirect."""
        sent = {"Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity", **headers}
        sent["User-Agent"] = "infer_segment_anything_3"
        if content is not None:
            sent["Content-Type"] = "application/json"
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self._deadline_s)
        try:
            async with (
                httpcore.AsyncConnectionPool(
                    ssl_context=self._tls, network_backend=_CheckedNetwork(self._allowed)
                ) as pool,
                pool.stream(
                    method,
                    url,
                    headers=list(sent.items()),
                    content=content,
                    extensions={"timeout": timeouts},
                ) as response,
            ):
                location = _find_header(response, b"location")
                if response.status in _REDIRECTS and location:
                    return location
                if response.status != 200:
                    hint = _HINTS.get(response.status, "")
                    raise ApiError(400, f"{field}: the server answered {response.status}{hint}")
                return await self._read(response, field)
        except _ForbiddenAddressError:
            raise ApiError(
                400,
                f"{field}: the address is private, and its host:port is not in ALLOWED_IMAGE_HOSTS",
            ) from None
        # What these say may hold the URL, and so a signature or token.
        except (httpcore.ConnectError, httpcore.ConnectTimeout):
            raise ApiError(400, f"{field}: the server cannot be reached") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
            raise ApiError(400, f"{field}: the server broke off the answer") from None
        except (httpcore.UnsupportedProtocol, ssl.SSLError, ValueError, UnicodeError):
            raise ApiError(400, f"{field}: the URL cannot be fetched") from None

    async def _read(self, response: httpcore.Response, field: str) -> bytes:
        too_large = ApiError(
            413, f"{field}: expected a file of at most {self._max_bytes / 1e6:g} MB"
        )
        announced = _find_header(response, b"content-length")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            raise too_large
        body = bytearray()
        async for part in response.aiter_stream():
            body += part
            if len(body) > self._max_bytes:
                raise too_large
        return bytes(body)


def _check_origin(url: str, field: str) -> Origin:
    expected = "an http or https URL"
    if len(url) > _MAX_URL_CHARS or any(c.isspace() or not c.isprintable() for c in url):
        raise ApiError(400, f"{field}: expected {expected}, got {shorten(url)}")
    try:
        origin = parse_url_origin(url)
        has_credentials = "@" in urlsplit(url).netloc
    except ValueError:
        raise ApiError(400, f"{field}: expected {expected}, got {shorten(url)}") from None
    if has_credentials:
        raise ApiError(400, f"{field}: expected a URL without user name and password")
    return origin


def _find_header(response: httpcore.Response, name: bytes) -> str:
    return next((v.decode("latin-1") for k, v in response.headers if k.lower() == name), "")
