"""Who may, and what is never written down: keys, passwords, ids, hosts, logs."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from .conftest import ImageServer

MakeClient = Callable[..., TestClient]
KEY = "k3y-of-the-server"
CONFIG = """<View><Image name="i" value="$image"/>
<BrushLabels name="t" toName="i"><Label value="a"/></BrushLabels></View>"""
PROMPTS = [{"text": "circle"}]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("query", "header", "body", "status"),
    [
        (KEY, None, None, 200),
        (None, KEY, None, 200),
        (None, None, KEY, 200),
        (KEY, "wrong", "wrong", 200),
        (None, KEY, "wrong", 200),
        ("wrong", KEY, KEY, 401),
        (None, "wrong", KEY, 401),
        (None, None, None, 401),
        (None, None, KEY[:-1], 401),
        (None, None, KEY + "x", 401),
        (None, None, "ключ", 401),
    ],
)
def test_the_key_is_looked_for_in_query_header_and_body(
    make_client: MakeClient,
    scene_source: dict[str, str],
    query: str | None,
    header: str | None,
    body: str | None,
    status: int,
) -> None:
    answer = make_client(api_key=KEY).post(
        "/sam3/embed_image",
        params={"api_key": query} if query else {},
        headers=bearer(header) if header else {},
        json={"image": scene_source, "api_key": body},
    )
    assert answer.status_code == status
    if status == 401:
        message = answer.json()["message"]
        assert message.startswith("api_key: ") and KEY not in message


def test_every_route_asks_for_the_key(
    make_client: MakeClient, scene_source: dict[str, str]
) -> None:
    client = make_client(api_key=KEY)
    for route in ("embed_image", "concept_segment", "visual_segment"):
        body = {"image": scene_source, "prompts": PROMPTS if "concept" in route else None}
        assert client.post(f"/sam3/{route}", json=body).status_code == 401


def test_without_a_key_of_the_server_any_is_accepted(
    client: TestClient, scene_source: dict[str, str]
) -> None:
    for key in (None, "KEY123456"):
        body = {"image": scene_source, "api_key": key}
        assert client.post("/sam3/embed_image", json=body).status_code == 200


def test_an_image_id_is_its_owners_alone(client: TestClient, scene_source: dict[str, str]) -> None:
    def embed(key: str | None, image_id: str | None = None) -> str:
        body = {"image": scene_source, "api_key": key, "image_id": image_id}
        return str(client.post("/sam3/embed_image", json=body).json()["image_id"])

    for image_id in (embed("alice"), embed("alice", "holiday")):
        for key, status in (("alice", 200), ("mallory", 404), (None, 404)):
            body = {"image_id": image_id, "api_key": key, "prompts": PROMPTS}
            assert client.post("/sam3/concept_segment", json=body).status_code == status


def test_logits_are_their_owners_alone(client: TestClient, scene_source: dict[str, str]) -> None:
    def ask(key: str, points: int, **flags: bool) -> Any:
        clicks = [{"x": 40 + 30 * n, "y": 40, "positive": n == 0} for n in range(points)]
        body = {"image": scene_source, "api_key": key, "prompts": [{"points": clicks}], **flags}
        return client.post("/sam3/visual_segment", json=body).json()["predictions"]

    fresh = ask("mallory", 2)
    ask("alice", 1, save_logits_to_cache=True)
    assert ask("mallory", 2, load_logits_from_cache=True) == fresh
    assert ask("alice", 2, load_logits_from_cache=True) != fresh


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [
        ("user", "pass", 200),
        ("user", "wrong", 401),
        ("wrong", "pass", 401),
        ("user", "", 401),
        (None, None, 401),
    ],
)
def test_label_studios_routes_ask_for_the_password(
    make_client: MakeClient, user: str | None, password: str | None, status: int
) -> None:
    client = make_client(basic_auth_user="user", basic_auth_pass="pass")
    auth = (user, password) if user else None
    answers = [
        client.get("/", auth=auth),
        client.get("/versions", auth=auth),
        client.get("/metrics", auth=auth),
        client.post("/setup", json={}, auth=auth),
        client.post("/webhook", json={}, auth=auth),
    ]
    assert {answer.status_code for answer in answers} == {status}
    body = {"tasks": [{"data": {}}], "label_config": ""}
    assert client.post("/predict", json=body, auth=auth).status_code == status
    if status == 401:
        assert "BASIC_AUTH_PASS" in answers[0].json()["message"]
    for path in ("/health", "/healthz", "/readiness"):
        assert client.get(path).status_code == 200, "supervisors have no password"


@pytest.mark.parametrize("header", ["Basic", "Basic ###", "Basic dXNlcg==", "Basic /////w==", "x"])
def test_damaged_credentials_are_refused(make_client: MakeClient, header: str) -> None:
    client = make_client(basic_auth_user="user", basic_auth_pass="pass")
    assert client.get("/versions", headers={"authorization": header}).status_code == 401


def test_secrets_are_compared_in_constant_time(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest
    monkeypatch.setattr(
        hmac, "compare_digest", lambda a, b: compared.append((a, b)) or compare(a, b)
    )
    client = make_client(api_key=KEY, basic_auth_user="user", basic_auth_pass="pass")
    client.post("/sam3/embed_image", json={"api_key": "guess"})
    client.get("/versions", auth=("nobody", "guess"))
    assert (b"guess", KEY.encode()) in compared
    assert {(b"nobody", b"user"), (b"guess", b"pass")} <= set(compared), "both, always"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:9090", 200),
        ("127.0.0.1:9090", 200),
        ("[::1]:9090", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("evil.example:9090", 400),
        ("", 400),
        ("[::2]", 400),
    ],
)
def test_the_host_header(client: TestClient, host: str, status: int) -> None:
    answer = client.get("/info", headers={"host": host})
    assert answer.status_code == status
    if status == 400:
        assert "ALLOWED_HOSTS" in answer.json()["message"]
    assert client.get("/healthz", headers={"host": host}).status_code == 200


def test_hosts_can_be_named(make_client: MakeClient) -> None:
    named = make_client(allowed_hosts=("sam3",))
    assert named.get("/info", headers={"host": "sam3:9090"}).status_code == 200
    assert named.get("/info").status_code == 400
    assert make_client(allowed_hosts=("*",)).get("/info", headers={"host": "x"}).status_code == 200


def test_other_sites_get_nothing(client: TestClient, scene_source: dict[str, str]) -> None:
    origin = {"origin": "https://evil.example"}
    preflight = client.options(
        "/sam3/embed_image", headers={**origin, "access-control-request-method": "POST"}
    )
    assert preflight.status_code == 405
    answer = client.get("/info", headers=origin)
    assert not [name for name in (*preflight.headers, *answer.headers) if "access-control" in name]
    # What a page can send without asking first: a form, or text.
    body = b'{"image": {"type": "url", "value": "http://example.org"}}'
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        forged = client.post(
            "/sam3/embed_image", content=body, headers={**origin, "content-type": content_type}
        )
        assert forged.status_code == 422, content_type


def test_nothing_secret_is_logged(
    make_client: MakeClient,
    image_server: ImageServer,
    scene_source: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "infer_segment_anything_3")
    client = make_client(
        api_key=KEY,
        basic_auth_user="user",
        basic_auth_pass="s3cret-pass",
        label_studio_url=image_server.url,
        label_studio_api_key="s3cret.token.personal",
        allowed_image_hosts=frozenset({image_server.origin}),
    )
    client.post(f"/sam3/embed_image?api_key={KEY}", json={"image": scene_source})
    client.post("/sam3/embed_image", headers=bearer(KEY), json={"image": {"type": "x"}})
    client.post("/sam3/embed_image?api_key=s3cret-guess", json={"image": scene_source})
    url = image_server.url + "/a.png?signature=s3cret-signature"
    image = {"type": "url", "value": url}
    client.post("/sam3/embed_image", json={"image": image, "api_key": KEY})
    auth = ("user", "s3cret-pass")
    client.post("/setup", json={"access_token": "s3cret-access"}, auth=auth)
    image_server.files["/api/token/refresh/"] = b'{"access": "s3cret-short"}'
    tasks = [{"id": 1, "data": {"image": address}} for address in ("/data/upload/x.png", url)]
    client.post("/predict", json={"tasks": tasks, "label_config": CONFIG}, auth=auth)
    client.get("/nothing%0d%0aforged?api_key=s3cret-query")
    assert "/sam3/embed_image 200" in caplog.text and "task 1" in caplog.text
    # The client's own log is not the server's.
    assert "\nforged" not in caplog.text
    own = [r.getMessage() for r in caplog.records if not r.name.startswith(("httpx", "httpcore"))]
    for secret in (KEY, "s3cret", scene_source["value"][:60]):
        assert not [line for line in own if secret in line], secret
