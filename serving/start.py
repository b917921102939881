"""Starts the server: the command ``serve``."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Mapping

REQUIRED = ("defusedxml", "fastapi", "httpx", "pydantic", "uvicorn")


def serve(environment: Mapping[str, str]) -> int:
    """Loads the model, then serves until it is stopped.

    Args:
        environment: Variables with the settings, see :mod:`.settings`.

    Returns:
        The exit status: 2 if a setting or the weights are wrong.
    """
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        return _fail(
            f"The server needs {', '.join(missing)}: pip install -r requirements-serve.txt"
        )
    from ..engine.model_options import set_threads
    from .settings import read_settings

    try:
        settings = read_settings(environment)
    except ValueError as error:
        return _fail(str(error))
    _configure_logging(settings.log_level)
    if settings.model is not None:
        set_threads(settings.model)

    import uvicorn

    from ..engine.checkpoints.errors import WeightsError
    from .app import create_app
    from .model import load_served_model

    try:
        served = load_served_model(settings)
    except (ValueError, ImportError, WeightsError) as error:
        return _fail(str(error))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    logging.getLogger("infer_segment_anything_3.serving").info(
        "serving %s (%s, %s) on http://%s:%d: /playground, /sam3/*, Label Studio",
        served.name,
        served.engine.device,
        served.engine.precision,
        host,
        settings.port,
    )
    uvicorn.run(
        create_app(served, settings),
        host=settings.host,
        port=settings.port,
        access_log=False,  # it would show query strings, and so keys
        log_config=None,
        server_header=False,
        ws="none",
        proxy_headers=False,
    )
    return 0


def _configure_logging(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("infer_segment_anything_3").setLevel(level)
    # These show URLs and headers, in which keys and tokens may be.
    for name in ("httpcore", "httpx", "asyncio", "python_multipart"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Roboflow's engine logs what a step was given when it fails; the client is told.
    logging.getLogger("inference").setLevel(logging.CRITICAL + 1)


def _fail(message: str) -> int:
    sys.stderr.write(message + "\n")
    return 2
