"""Settings: every wrong value stops the start with its name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infer_segment_anything_3.serving.settings import read_settings


def test_without_variables_the_server_is_private() -> None:
    settings = read_settings({})
    assert (settings.host, settings.port, settings.device) == ("127.0.0.1", 9090, "auto")
    assert settings.allowed_hosts == ("localhost", "127.0.0.1", "[::1]")
    assert not settings.allowed_image_hosts
    assert settings.max_body_bytes == 50_000_000


def test_values_are_read() -> None:
    settings = read_settings(
        {
            "LOG_LEVEL": "debug",
            "ALLOWED_HOSTS": "sam3, localhost",
            "ALLOWED_IMAGE_HOSTS": "minio:9000,[::1]:80",
            "MAX_PIXELS": "1000",
            "LABEL_STUDIO_URL": "http://studio:8080/",
            "WORKERS": "1",
            "MODEL": "",
        }
    )
    assert settings.log_level == "DEBUG"
    assert settings.allowed_hosts == ("sam3", "localhost")
    assert settings.allowed_image_hosts == {("minio", 9000), ("::1", 80)}
    assert settings.label_studio_url == "http://studio:8080"
    assert settings.model is None


@pytest.mark.parametrize("model", ["owner/name@v1:sam3.pt", "modelscope:owner/name"])
def test_a_repository_is_a_model(model: str) -> None:
    assert read_settings({"MODEL": model}).model == model


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MODEL", "sam2"),
        ("MODEL", "weights/sam3.pt"),
        ("BACKEND", "onnx"),
        ("DEVICE", "tpu"),
        ("DEVICE", "cuda:x"),
        ("PORT", "0"),
        ("PORT", "http"),
        ("LOG_LEVEL", "TRACE"),
        ("WORKERS", "2"),
        ("WORKERS", "many"),
        ("THREADS", "0"),
        ("THREADS", "1.5"),
        ("MAX_PIXELS", "-1"),
        ("MAX_PIXELS", "1e9"),
        ("MAX_BODY_MB", "0"),
        ("SAM3_CHECKPOINT", "/nowhere/sam3.pt"),
        ("LOCAL_FILES_DOCUMENT_ROOT", "/nowhere"),
        ("LABEL_STUDIO_URL", "studio:8080"),
        ("ALLOWED_HOSTS", "http://sam3"),
        ("ALLOWED_IMAGE_HOSTS", "minio"),
        ("ALLOWED_IMAGE_HOSTS", "http://minio:9000"),
        ("ALLOWED_IMAGE_HOSTS", "minio:99999"),
        ("SAM3_API_KEY", "ключ"),
        ("BASIC_AUTH_USER", "a:b"),
    ],
)
def test_a_wrong_value_is_refused_by_name(variable: str, value: str) -> None:
    environment = (
        {variable: value, "BASIC_AUTH_PASS": "x"} if "USER" in variable else {variable: value}
    )
    with pytest.raises(ValueError, match=f"^{variable}: ") as refused:
        read_settings(environment)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("given", ["BASIC_AUTH_USER", "BASIC_AUTH_PASS"])
def test_half_a_password_is_refused(given: str) -> None:
    (missing,) = {"BASIC_AUTH_USER", "BASIC_AUTH_PASS"} - {given}
    with pytest.raises(ValueError, match=f"^{missing}: "):
        read_settings({given: "value"})


def test_a_token_without_its_server_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^LABEL_STUDIO_URL: "):
        read_settings({"LABEL_STUDIO_API_KEY": "token"})


def test_secrets_are_not_shown() -> None:
    settings = read_settings(
        {
            "SAM3_API_KEY": "s3cret",
            "BASIC_AUTH_USER": "user",
            "BASIC_AUTH_PASS": "s3cret",
            "LABEL_STUDIO_URL": "http://a",
            "LABEL_STUDIO_API_KEY": "s3cret",
            "HF_TOKEN": "s3cret",
        }
    )
    assert "s3cret" not in repr(settings)
    with pytest.raises(ValueError) as refused:
        read_settings({"SAM3_API_KEY": "s3cret\x00"})
    assert "s3cret" not in str(refused.value)


def test_a_wrong_value_stops_the_start(checkout: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-P", "-m", "infer_segment_anything_3", "serve"],
        env={**os.environ, "WORKERS": "4"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 2
    assert run.stderr.startswith("WORKERS: expected 1, got '4'")
    assert "Traceback" not in run.stderr
