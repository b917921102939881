"""Reads the server's settings: environment variables, checked before anything is loaded."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..agent.endpoint import check_url
from ..engine.backends.choice import BACKENDS
from ..engine.checkpoints.repositories import check_model_name
from ..engine.checkpoints.zoo import MODELS
from ..engine.images import MAX_FILE_PIXELS
from ..engine.validation import check_choice, to_whole_number, value_error

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")

Origin = tuple[str, int]
"""Host name in lower case, and port."""

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_HOST_NAME = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9_.-]+")


def parse_origin(name: str, text: str) -> Origin:
    """Parses ``host:port`` to a pair; else ValueError."""
    host, separator, port = text.strip().lower().rpartition(":")
    if not separator or not port.isdecimal() or not _HOST_NAME.fullmatch(host):
        raise value_error(name, "host:port, several with commas between", text)
    return host.strip("[]"), _make_number_parser(1, 65_535)(name, port)


def parse_url_origin(url: str) -> Origin:
    """Returns host and port of an http or https URL; ValueError if it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an http or https URL")
    return parts.hostname.lower(), parts.port or (443 if parts.scheme == "https" else 80)


def _parse_model(name: str, text: str) -> str:
    return check_model_name(name, text, MODELS)


def _parse_device(name: str, text: str) -> str:
    if not _DEVICE.fullmatch(text):
        raise value_error(name, "auto, cpu, cuda or cuda:N", text)
    return text


def _parse_backend(name: str, text: str) -> str:
    return check_choice(name, text, BACKENDS)


def _parse_log_level(name: str, text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise value_error(name, "one of " + ", ".join(LOG_LEVELS), text)
    return text.upper()


def _parse_workers(name: str, text: str) -> int:
    if text != "1":
        raise ValueError(
            f"{name}: expected 1, got {text!r:.20}. Image ids, cached logits, the queue and the "
            "model's memory belong to one process; start several servers on ports of their own"
        )
    return 1


def _parse_file(name: str, text: str) -> str:
    path = Path(text).expanduser()
    if not path.is_file():
        raise value_error(name, "the path of a file", text)
    return str(path)


def _parse_folder(name: str, text: str) -> str:
    path = Path(text).expanduser()
    if not path.is_dir():
        raise value_error(name, "the path of a folder", text)
    return str(path.resolve())


def _parse_url(name: str, text: str) -> str:
    try:
        parse_url_origin(text)
    except ValueError:
        raise value_error(name, "an http or https URL", text) from None
    return text.rstrip("/")


def _parse_hosts(name: str, text: str) -> tuple[str, ...]:
    hosts = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for host in hosts:
        if host != "*" and not _HOST_NAME.fullmatch(host):
            raise value_error(name, "host names without port, with commas between, or *", host)
    return hosts


def _parse_origins(name: str, text: str) -> frozenset[Origin]:
    return frozenset(parse_origin(name, part) for part in text.split(",") if part.strip())


def _parse_text(name: str, text: str) -> str:
    return text


def _parse_agent_url(name: str, text: str) -> str:
    return check_url(text)


def _parse_secret(name: str, text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"{name}: expected printable ASCII characters")  # never shows the value
    return text


def _make_number_parser(low: int, high: int) -> Callable[[str, str], int]:
    def parse(name: str, text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= 20):
            raise value_error(name, f"a whole number from {low} to {high}", text)
        return to_whole_number(name, int(text), low, high)

    return parse


def _declare_setting(
    variable: str,
    parse: Callable[[str, str], Any],
    default: Any,
    meaning: str,
    secret: bool = False,
) -> Any:
    metadata = {"variable": variable, "parse": parse, "meaning": meaning}
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Holds the settings, every value checked. Each field names its variable."""

    model: str | None = _declare_setting(
        "MODEL", _parse_model, None,
        "`sam3`, `sam3.1`, `tiny_shapes`, or a repository: `owner/name[@revision][:file]` of the "
        "Hugging Face Hub, `modelscope:owner/name`. Unset: `sam3`, or `tiny_shapes` with a warning "
        "where its weights cannot be had",
    )  # fmt: skip
    checkpoint: str | None = _declare_setting(
        "SAM3_CHECKPOINT",
        _parse_file,
        None,
        "A local checkpoint of `sam3` or `sam3.1`; wins over the download",
    )
    device: str = _declare_setting(
        "DEVICE",
        _parse_device,
        "auto",
        "`auto`, `cpu`, `cuda` or `cuda:N`; `auto` is the GPU if any",
    )
    backend: str = _declare_setting(
        "BACKEND",
        _parse_backend,
        "torch",
        "`torch`, or `openvino` for the image encoder on a CPU (`pip install openvino`)",
    )
    host: str = _declare_setting("HOST", _parse_text, "127.0.0.1", "Address to listen on")
    port: int = _declare_setting("PORT", _make_number_parser(1, 65_535), 9090, "Port to listen on")
    log_level: str = _declare_setting(
        "LOG_LEVEL", _parse_log_level, "INFO", "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`"
    )
    workers: int = _declare_setting("WORKERS", _parse_workers, 1, "Processes; only 1 is possible")
    threads: int = _declare_setting(
        "THREADS",
        _make_number_parser(1, 64),
        4,
        "Threads that decode images and write masks; the model has one",
    )
    max_pixels: int = _declare_setting(
        "MAX_PIXELS",
        _make_number_parser(1, MAX_FILE_PIXELS),
        100_000_000,
        "Most pixels of an image",
    )
    max_total_pixels: int = _declare_setting(
        "MAX_TOTAL_PIXELS",
        _make_number_parser(1, 10_000_000_000),
        100_000_000,
        "Most pixels of all images that running requests hold; others wait. Decoding takes up to "
        "8 bytes each: the default suits 8 GB of memory",
    )
    max_body_mb: int = _declare_setting(
        "MAX_BODY_MB",
        _make_number_parser(1, 2_000),
        50,
        "Most megabytes of a request, and of a fetched image",
    )
    max_total_body_mb: int = _declare_setting(
        "MAX_TOTAL_BODY_MB",
        _make_number_parser(1, 100_000),
        1_000,
        "Most megabytes of all bodies that are being received or answered, and once more of all "
        "fetched files; others get 503, or wait",
    )
    max_videos: int = _declare_setting(
        "MAX_VIDEOS", _make_number_parser(1, 64), 2, "Videos that are followed at the same time"
    )
    max_video_frames: int = _declare_setting(
        "MAX_VIDEO_FRAMES", _make_number_parser(1, 1_000_000), 3_000, "Most frames of a video"
    )
    allowed_hosts: tuple[str, ...] = _declare_setting(
        "ALLOWED_HOSTS", _parse_hosts, LOOPBACK_HOSTS,
        "Names that a request's Host header may hold, with commas between; `*` for any",
    )  # fmt: skip
    allowed_image_hosts: frozenset[Origin] = _declare_setting(
        "ALLOWED_IMAGE_HOSTS", _parse_origins, frozenset(),
        "`host:port` of private servers that images may be fetched from, with commas between",
    )  # fmt: skip
    api_key: str = _declare_setting(
        "SAM3_API_KEY",
        _parse_secret,
        "",
        "Key that `/sam3/*` asks for; unset: any key or none",
        True,
    )
    basic_auth_user: str = _declare_setting(
        "BASIC_AUTH_USER", _parse_secret, "", "User of Label Studio's routes and of the page"
    )
    basic_auth_pass: str = _declare_setting(
        "BASIC_AUTH_PASS", _parse_secret, "", "Password of that user", True
    )
    label_studio_url: str = _declare_setting(
        "LABEL_STUDIO_URL", _parse_url, "", "Label Studio's address, to fetch its images from"
    )
    label_studio_api_key: str = _declare_setting(
        "LABEL_STUDIO_API_KEY", _parse_secret, "",
        "Legacy token or personal access token; sent to `LABEL_STUDIO_URL` only", True,
    )  # fmt: skip
    local_files_root: str = _declare_setting(
        "LOCAL_FILES_DOCUMENT_ROOT", _parse_folder, "",
        "Folder that Label Studio's local files (`/data/local-files/?d=`) are read from; unset: "
        "they are fetched from Label Studio",
    )  # fmt: skip
    agent_url: str = _declare_setting(
        "SAM3_AGENT_URL", _parse_agent_url, "",
        "Server of a language model for descriptions: up to `/v1`, OpenAI's chat completions. "
        "Pictures of `/sam3/describe_segment` are sent there",
    )  # fmt: skip
    agent_key: str = _declare_setting(
        "SAM3_AGENT_KEY", _parse_secret, "", "Key of that server; sent to it only", True
    )
    agent_model: str = _declare_setting(
        "SAM3_AGENT_MODEL", _parse_text, "", "Name of the language model there"
    )
    workflows_folder: str = _declare_setting(
        "WORKFLOWS_FOLDER", _parse_folder, "",
        "Folder of saved workflows, `<id>.json`, for Roboflow's clients; unset: none is saved",
    )  # fmt: skip
    hf_token: str = _declare_setting(
        "HF_TOKEN", _parse_secret, "", "Hugging Face token for the download of `sam3`", True
    )

    def __post_init__(self) -> None:
        """Checks settings that depend on each other.

        Raises:
            ValueError: Naming the variable.
        """
        if self.max_total_pixels < self.max_pixels:
            raise ValueError(
                f"MAX_TOTAL_PIXELS: expected at least MAX_PIXELS ({self.max_pixels}), got "
                f"{self.max_total_pixels}"
            )
        if self.max_total_body_mb < self.max_body_mb:
            raise ValueError(
                f"MAX_TOTAL_BODY_MB: expected at least MAX_BODY_MB ({self.max_body_mb}), got "
                f"{self.max_total_body_mb}"
            )
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass):
            missing = "BASIC_AUTH_PASS" if self.basic_auth_user else "BASIC_AUTH_USER"
            raise ValueError(f"{missing}: expected a value, as the other half of the pair has one")
        if ":" in self.basic_auth_user:
            raise ValueError("BASIC_AUTH_USER: expected a name without a colon")
        if self.label_studio_api_key and not self.label_studio_url:
            raise ValueError("LABEL_STUDIO_URL: expected a URL, as LABEL_STUDIO_API_KEY is set")

        if self.agent_url and not self.agent_model:
            raise ValueError("SAM3_AGENT_MODEL: expected a name, as SAM3_AGENT_URL is set")

    @property
    def max_body_bytes(self) -> int:
        """Most bytes of a request's body, and of a fetched image."""
        return self.max_body_mb * 1_000_000

    @property
    def max_total_body_bytes(self) -> int:
        """Most bytes of all bodies, and of all fetched files."""
        return self.max_total_body_mb * 1_000_000


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Reads the settings.

    Args:
        environment: Environment variables; an empty value counts as unset.

    Returns:
        The settings.

    Raises:
        ValueError: If a value is wrong; the message begins with the variable's name.
    """
    values = {}
    for field in dataclasses.fields(Settings):
        variable = field.metadata["variable"]
        if text := environment.get(variable, "").strip():
            values[field.name] = field.metadata["parse"](variable, text)
    return Settings(**values)


def make_settings_table() -> str:
    """Makes the table of settings in docs/server.md."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(Settings):
        default = field.default
        if isinstance(default, tuple):
            default = ",".join(default)
        shown = f"`{default}`" if default not in (None, "", frozenset()) else "unset"
        rows.append(f"| `{field.metadata['variable']}` | {shown} | {field.metadata['meaning']} |")
    return "\n".join(rows) + "\n"
