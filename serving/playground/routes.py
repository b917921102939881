"""Serves the page and its files. Guarded by the Basic password, if there is one."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Depends, Request
from starlette.responses import FileResponse, JSONResponse, Response

from ..auth import check_basic_auth
from ..errors import ApiError

router = APIRouter(dependencies=[Depends(check_basic_auth)])

_FOLDER = Path(__file__).parent
_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
_FILES = {p.name: p for p in (_FOLDER / "static").iterdir() if p.suffix in _MEDIA_TYPES}
_HEADERS = {
    # Nothing of other servers, no script in the page, and no other page around it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@router.get("/", tags=["Label Studio"])
async def show_welcome(request: Request) -> Response:
    """Answers a browser with the page, and other clients that the server is up."""
    if "text/html" in request.headers.get("accept", ""):
        return _send("index.html")
    return JSONResponse({"status": "UP"})


@router.get("/playground", include_in_schema=False)
async def show_page() -> Response:
    """Answers with the page."""
    return _send("index.html")


@router.get("/playground/{name}", include_in_schema=False)
async def send_file(name: str) -> Response:
    """Answers with a file of the page."""
    if name not in _FILES:
        raise ApiError(404, "Not Found")
    return _send(name)


def _send(name: str) -> Response:
    path = _FILES[name]
    return FileResponse(path, headers=_HEADERS, media_type=_MEDIA_TYPES[path.suffix])
