"""Says where pictures go when a language model resolves a description."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from ..agent.completions import URL_VARIABLE
from ..agent.endpoint import KEY_VARIABLE, check_url

NOT_SET = (
    f"This mode sends pictures to a language model. Set {URL_VARIABLE} (and {KEY_VARIABLE}) in the "
    "environment before Studio starts."
)
LEAVES = "In this mode pictures leave this machine: they are sent to {host} (" + URL_VARIABLE + ")."
STAYS = "In this mode pictures are sent to a server on this machine, {host} (" + URL_VARIABLE + ")."


def explain_destination() -> str:
    """Explains where pictures go: a sentence with the host that the environment names."""
    url = os.environ.get(URL_VARIABLE, "").strip()
    if not url:
        return NOT_SET
    try:
        parts = urlsplit(check_url(url))
    except ValueError as error:
        return str(error)
    return (STAYS if _is_loopback(parts.hostname or "") else LEAVES).format(host=parts.netloc)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
