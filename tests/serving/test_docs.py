"""The server's pages and containers say what the code does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from infer_segment_anything_3.serving.label_studio.labeling_config import parse_labeling_config
from infer_segment_anything_3.serving.settings import Settings, make_settings_table

VARIABLES = {field.metadata["variable"] for field in dataclasses.fields(Settings)}


def test_the_table_of_settings_is_the_codes(checkout: Path) -> None:
    assert make_settings_table() in (checkout / "docs" / "server.md").read_text("utf-8")


def test_the_walks_configuration_can_be_drawn_with(checkout: Path) -> None:
    page = (checkout / "docs" / "label-studio.md").read_text("utf-8")
    (xml,) = re.findall(r"```xml\n(.*?)```", page, re.DOTALL)
    assert parse_labeling_config(xml).kind == "brush"


@pytest.mark.parametrize("name", ["server.md", "label-studio.md"])
def test_the_pages_pictures_and_links_are_there(checkout: Path, name: str) -> None:
    page = (checkout / "docs" / name).read_text("utf-8")
    links = re.findall(r'\]\(([^)#]+)\)|src="([^"]+)"', page)
    for link in (one or other for one, other in links):
        assert link.startswith("https:") or (checkout / "docs" / link).exists(), link


def test_the_container_copies_what_exists_and_sets_what_is_read(checkout: Path) -> None:
    lines = (checkout / "Dockerfile").read_text("utf-8").splitlines()
    for line in lines:
        if line.startswith("COPY "):
            for source in line.split()[1:-1]:
                assert (checkout / source).exists(), source
    assert "USER 1000" in lines
    assert "MODEL=sam3" in "".join(lines), "a container never falls back"


def test_compose_sets_variables_that_are_read(checkout: Path) -> None:
    yaml = pytest.importorskip("yaml")
    compose = yaml.safe_load((checkout / "docker-compose.yml").read_text("utf-8"))
    for name, profile in (("sam3", "cpu"), ("sam3-gpu", "gpu")):
        service = compose["services"][name]
        assert service["profiles"] == [profile]
        assert set(service["environment"]) <= VARIABLES
        assert service["ports"] == ["127.0.0.1:${PORT:-9090}:9090"]
