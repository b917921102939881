"""Reads the images of tasks, wherever Label Studio stores them."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ...engine.validation import shorten
from ..errors import ApiError
from ..fetching import ImageFetcher
from ..service import SegmentationService
from ..settings import Origin, Settings, parse_url_origin

CLOUD_SCHEMES = ("s3", "gs", "azure-blob", "azure_blob")
ACCESS_TOKEN_LIFETIME_S = 240.0
"""Label Studio's access tokens last five minutes."""

_FIELD = "image"
_LOCAL_FILES = "/data/local-files/"


class TaskImages:
    """Fetches the images of tasks.

    ``LABEL_STUDIO_URL`` may be private, and its token goes there and nowhere else, whatever
    a task or a redirect says.
    """

    def __init__(self, service: SegmentationService) -> None:
        """Creates a reader.

        Args:
            service: Decodes, and holds the settings.
        """
        self._service = service
        self._settings: Settings = service.settings
        url = self._settings.label_studio_url
        self._origin: Origin | None = parse_url_origin(url) if url else None
        allowed = set(self._settings.allowed_image_hosts)
        if self._origin:
            allowed.add(self._origin)
        self._fetcher = ImageFetcher(allowed, self._settings.max_body_bytes)
        self._access: tuple[str, float] | None = None
        self._refreshing = asyncio.Lock()

    async def read(self, address: str, task_id: Any) -> bytes:
        """Reads an image file.

        Args:
            address: What the task says: a data URI, a path of Label Studio
                (``/data/upload/...``), a local file (``/data/local-files/?d=...``), a file in a
                cloud storage (``s3://...``), or an http or https URL.
            task_id: Id of the task, by which Label Studio signs addresses in cloud storages.

        Returns:
            The file.

        Raises:
            ApiError: If it cannot be had; the message says what to set.
        """
        address = address.strip()
        if address[:5].lower() == "data:":
            return await self._service.decode_base64(address, _FIELD)
        if address.startswith("/"):
            if address.startswith(_LOCAL_FILES) and self._settings.local_files_root:
                return await self._service.run_in_thread(self._read_local_file, address)
            return await self._fetch(self._make_studio_url(address))
        scheme = address.partition("://")[0].lower()
        if scheme in CLOUD_SCHEMES:
            # Label Studio knows the storage's keys: it redirects to a signed address.
            if not str(task_id).isdecimal():
                raise ApiError(422, f"tasks.id: expected a number, got {shorten(task_id)}")
            encoded = base64.urlsafe_b64encode(address.encode()).decode()
            path = f"/tasks/{task_id}/presign/?fileuri={encoded}"
            return await self._fetch(self._make_studio_url(path))
        if scheme in ("http", "https"):
            return await self._fetch(address)
        raise ApiError(400, f"{_FIELD}: expected the address of an image, got {shorten(address)}")

    def _make_studio_url(self, path: str) -> str:
        if not self._origin:
            raise ApiError(
                400,
                f"{_FIELD}: the image lies in Label Studio: set LABEL_STUDIO_URL and "
                "LABEL_STUDIO_API_KEY on the model server",
            )
        return self._settings.label_studio_url + path

    async def _fetch(self, url: str) -> bytes:
        headers = {}
        if self._origin and self._settings.label_studio_api_key:
            headers[self._origin] = {"Authorization": await self._make_authorization()}
        try:
            return await self._fetcher.fetch(url, _FIELD, headers)
        except ApiError as error:
            message = str(error.detail)
            if "answered 401" in message or "answered 403" in message:
                message += "; check LABEL_STUDIO_API_KEY"
            raise ApiError(error.status_code, message) from None

    async def _make_authorization(self) -> str:
        """Makes the header for Label Studio: a legacy token as it is, a personal one exchanged."""
        token = self._settings.label_studio_api_key
        if token.count(".") != 2:  # a JSON Web Token has three parts
            return f"Token {token}"
        async with self._refreshing:
            if self._access is None or time.monotonic() > self._access[1]:
                self._access = (
                    await self._exchange_token(token),
                    time.monotonic() + ACCESS_TOKEN_LIFETIME_S,
                )
        return f"Bearer {self._access[0]}"

    async def _exchange_token(self, token: str) -> str:
        url = self._settings.label_studio_url + "/api/token/refresh/"
        answer = await self._fetcher.post_json(url, "LABEL_STUDIO_API_KEY", {"refresh": token})
        try:
            access = json.loads(answer)["access"]
        except (ValueError, LookupError, TypeError):
            access = None
        if not isinstance(access, str) or not access.isascii() or not access.isprintable():
            raise ApiError(400, "LABEL_STUDIO_API_KEY: Label Studio did not exchange the token")
        return access

    def _read_local_file(self, address: str) -> bytes:
        root = Path(self._settings.local_files_root)
        name = parse_qs(urlsplit(address).query).get("d", [""])[0]
        refused = ApiError(
            400, f"{_FIELD}: expected a file below LOCAL_FILES_DOCUMENT_ROOT, got {shorten(name)}"
        )
        try:
            # Resolved first: links that lead out of the root are refused, too.
            path = (root / name).resolve()
            if not path.is_relative_to(root) or not path.is_file():
                raise refused
            with path.open("rb") as file:
                data = file.read(self._settings.max_body_bytes + 1)
        except (OSError, ValueError, RuntimeError):
            raise refused from None
        if len(data) > self._settings.max_body_bytes:
            raise ApiError(413, f"{_FIELD}: expected at most {self._settings.max_body_mb} MB")
        return data
