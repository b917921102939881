"""Checks the key of ``/sam3/*``, and the password of Label Studio's routes and the page."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from fastapi import Request

from .errors import ApiError
from .settings import Settings


def compare_in_constant_time(given: str, expected: str) -> bool:
    """Compares two secrets in a time that does not depend on where they differ."""
    return hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass")
    )


def check_api_key(request: Request, body_key: str | None, settings: Settings) -> str:
    """Checks the key of a request to ``/sam3/*``.

    The key is looked for in the query (``api_key``), then in ``Authorization: Bearer``, then
    in the body: the first that is there counts.

    Args:
        request: The request.
        body_key: ``api_key`` of its body.
        settings: Holds the key that is asked for, if one is.

    Returns:
        The owner of what the request stores: a digest of the key.

    Raises:
        ApiError: 401 if the key is missing or wrong.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    header_key = token.strip() if scheme.lower() == "bearer" else ""
    key = request.query_params.get("api_key") or header_key or body_key or ""
    if settings.api_key and not compare_in_constant_time(key, settings.api_key):
        state = "is not the server's" if key else "is missing"
        raise ApiError(
            401,
            f"api_key: the key {state}; send SAM3_API_KEY's value as the query parameter "
            "api_key, as Authorization: Bearer, or in the body",
        )
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def check_basic_auth(request: Request) -> None:
    """Checks the user and password of a request; a dependency of the guarded routes.

    Raises:
        ApiError: 401 if they are missing or wrong, where the server has a password.
    """
    settings: Settings = request.app.state.settings
    if not settings.basic_auth_user:
        return
    user, password = _read_credentials(request)
    # Both are compared, so that the time does not tell which one was wrong.
    is_user = compare_in_constant_time(user, settings.basic_auth_user)
    is_password = compare_in_constant_time(password, settings.basic_auth_pass)
    if not (is_user and is_password):
        raise ApiError(
            401,
            "Wrong or missing user and password: give the model's BASIC_AUTH_USER and "
            "BASIC_AUTH_PASS (in Label Studio: authentication method Basic Authentication).",
            {"WWW-Authenticate": 'Basic realm="SAM 3", charset="UTF-8"'},
        )


def _read_credentials(request: Request) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        decoded = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return "", ""
    user, _, password = decoded.partition(":")
    return user, password
