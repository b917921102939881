"""Plays the language model's server: a real HTTP server whose answers a test scripts."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

KEY = "sk-secret-0123456789"


@dataclasses.dataclass(frozen=True)
class Raw:
    """An answer that is no ordinary chat completion."""

    body: bytes = b"{}"
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


Reply = str | dict[str, Any] | Raw
Brain = Callable[[Sequence[dict[str, Any]]], Reply]


@dataclasses.dataclass
class Received:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)

    @property
    def pictures(self) -> list[bytes]:
        """The files of all pictures, decoded from base64."""
        return [
            base64.b64decode(part["image_url"]["url"].partition(",")[2])
            for message in self.body["messages"]
            if isinstance(message["content"], list)
            for part in message["content"]
            if part["type"] == "image_url"
        ]

    def open_pictures(self) -> list[Image.Image]:
        return [Image.open(io.BytesIO(data)) for data in self.pictures]

    @property
    def texts(self) -> list[str]:
        """The text of each message."""
        return [
            content
            if isinstance(content := message["content"], str)
            else "\n".join(part["text"] for part in content if part["type"] == "text")
            for message in self.body["messages"]
        ]


class ScriptedServer:
    """Answers each request by a function of its messages, or from a list, the last one again.

    Attributes:
        url: For ``SAM3_AGENT_URL``.
        received: What came in.
        release: Answers that wait end when it is set.
    """

    def __init__(self, replies: Brain | Sequence[Reply], key: str = "") -> None:
        self.received: list[Received] = []
        self.release = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.received.append(Received(self.path, dict(self.headers), raw))
                if key and self.headers.get("Authorization") != f"Bearer {key}":
                    return self.send(Raw(b'{"error": {"message": "bad key sk-secret"}}', 401))
                if callable(replies):
                    reply = replies(outer.received[-1].body["messages"])
                else:
                    reply = replies[min(len(outer.received), len(replies)) - 1]
                self.send(reply if isinstance(reply, Raw) else Raw(complete(reply)))

            def send(self, reply: Raw) -> None:
                with contextlib.suppress(OSError):  # the client may be gone
                    self.send_response(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(reply.body)))
                    self.send_header("Connection", "close")
                    self.close_connection = True
                    self.end_headers()
                    self.wfile.write(reply.body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> ScriptedServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


def complete(reply: str | dict[str, Any], tokens: Any = 110) -> bytes:
    """A chat completion with this text, or with these fields of the message."""
    fields = {"content": reply} if isinstance(reply, str) else reply
    message = {"role": "assistant", **fields}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": tokens}
    return json.dumps({"object": "chat.completion", "choices": choices, "usage": usage}).encode()


def call_tool(name: str, arguments: Any) -> dict[str, Any]:
    """The fields of a message with one native tool call."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    function = {"name": name, "arguments": text}
    return {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]}


def segment(phrase: str) -> str:
    return json.dumps({"action": "segment", "phrase": phrase})


def select(*numbers: int) -> str:
    return json.dumps({"action": "select", "numbers": numbers})


@contextlib.contextmanager
def serve(replies: Brain | Sequence[Reply], key: str = "") -> Iterator[ScriptedServer]:
    """Serves these answers while the block runs."""
    with ScriptedServer(replies, key) as server:
        yield server
