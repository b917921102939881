"""The page's files: served alone, from this server alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

STATIC = Path(__file__).parents[3] / "serving" / "playground" / "static"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_a_browser_gets_the_page_and_label_studio_its_status(client: TestClient) -> None:
    page = client.get("/", headers=BROWSER)
    assert "<title>SAM 3 playground</title>" in page.text
    assert client.get("/playground").text == page.text
    assert client.get("/").json() == {"status": "UP"}


def test_everything_the_page_names_is_there(client: TestClient) -> None:
    page = client.get("/playground").text
    names = set(re.findall(r'(?:href|src)="([^"]+)"', page))
    for script in STATIC.glob("*.js"):
        names |= {f"/playground/{n}" for n in re.findall(r'from "\./([^"]+)"', script.read_text())}
        names |= set(re.findall(r'fetch\("(/playground/[^"]+)"', script.read_text()))
    assert len(names) >= 6
    for name in names:
        assert client.get(name).status_code == 200, name


def test_nothing_comes_from_elsewhere(client: TestClient) -> None:
    policy = client.get("/playground").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy
    for file in STATIC.iterdir():
        if file.suffix in (".html", ".js", ".css"):
            text = file.read_text().replace("http://www.w3.org/2000/svg", "")
            assert not re.search(
                r"https?://|innerHTML|outerHTML|insertAdjacentHTML|eval\(", text
            ), file


@pytest.mark.parametrize(
    "path", ["routes.py", "..%2froutes.py", "%2e%2e/routes.py", "../../settings.py", "static", ""]
)
def test_no_other_file_is_sent(client: TestClient, path: str) -> None:
    answer = client.get(f"/playground/{path}")
    assert "import" not in answer.text
    assert answer.status_code == 404 or "<title>SAM 3 playground" in answer.text


def test_the_page_is_guarded_by_the_password(make_client) -> None:
    guarded = make_client(basic_auth_user="user", basic_auth_pass="pass")
    for path in ("/", "/playground", "/playground/app.js"):
        refused = guarded.get(path, headers=BROWSER)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert guarded.get(path, headers=BROWSER, auth=("user", "pass")).status_code == 200
