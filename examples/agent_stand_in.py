"""Stands in for a language model, to try descriptions without one: it applies a few rules.

It reads the list of candidates and knows "leftmost", "second from the right", "largest" and the
like. It looks at no picture and understands no language: how good a real language model is cannot
be learned from it. ``make demo-agent`` starts it, or as a server of its own::

    python -m infer_segment_anything_3.examples.agent_stand_in 8000
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_ORDINALS = {"second": 2, "third": 3, "fourth": 4, "fifth": 5}
_ENDS = ("left", "right", "top", "bottom")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Describes a candidate as the list tells it; the box and area in percent of the picture."""

    number: int
    phrase: str
    left: float
    top: float
    right: float
    bottom: float
    area: float


_ROW = re.compile(
    r"^(\d+): (.+), left ([\d.]+), top ([\d.]+), right ([\d.]+), bottom ([\d.]+), area ([\d.]+),",
    re.MULTILINE,
)

Key = Callable[[Candidate], float]
_SORTED_BY: dict[str, Key] = {
    "left": lambda c: c.left + c.right,
    "right": lambda c: -c.left - c.right,
    "top": lambda c: c.top + c.bottom,
    "bottom": lambda c: -c.top - c.bottom,
    "largest": lambda c: -c.area,
    "smallest": lambda c: c.area,
}
_SUPERLATIVES = {
    "leftmost": "left",
    "rightmost": "right",
    "topmost": "top",
    "highest": "top",
    "bottommost": "bottom",
    "lowest": "bottom",
    "largest": "largest",
    "biggest": "largest",
    "smallest": "smallest",
}
_FILLERS = {"the", "a", "an", "all", "every", "but", "except", "one", "of", "from"}


def answer_question(messages: Sequence[dict[str, Any]]) -> str:
    """Answers the messages of the agent's loop.

    Args:
        messages: As they are sent to a language model.

    Returns:
        An action, as JSON.
    """
    told = _join_texts(messages[1]["content"])
    description = json.loads(told.partition("The description: ")[2].splitlines()[0])
    phrase = find_noun_phrase(description)
    if len(messages) < 3:
        return json.dumps({"action": "segment", "phrase": phrase})
    rows = _ROW.findall(_join_texts(messages[-1]["content"]))
    candidates = [Candidate(int(n), name, *map(float, values)) for n, name, *values in rows]
    numbers = choose(description, candidates)
    if not numbers:
        return json.dumps({"action": "none", "reason": f"there is no such {phrase}"})
    return json.dumps({"action": "select", "numbers": numbers})


def find_noun_phrase(description: str) -> str:
    """Leaves the noun phrase of a description: no positions, sizes, ordinals and articles."""
    words = re.sub(r"from (the )?(left|right|top|bottom)", " ", description.lower()).split()
    dropped = {*_SUPERLATIVES, *_ORDINALS, *_FILLERS}
    return " ".join(word for word in words if word not in dropped) or "object"


def choose(description: str, candidates: Sequence[Candidate]) -> list[int]:
    """Chooses the candidates that a description means, by its rules.

    Args:
        description: For instance ``the second red circle from the right``.
        candidates: What was found.

    Returns:
        Their numbers; none where there are too few candidates.
    """
    text = description.lower()
    end = re.search(r"from (?:the )?(left|right|top|bottom)", text)
    word = next((w for w in text.split() if w in _SUPERLATIVES), "")
    by = end[1] if end else _SUPERLATIVES.get(word, "")
    if not by:
        return [candidate.number for candidate in candidates]
    rank = next((n for name, n in _ORDINALS.items() if name in text.split()), 1)
    ordered = [candidate.number for candidate in sorted(candidates, key=_SORTED_BY[by])]
    if re.search(r"\b(all but|all except|every .* but|every .* except)\b", text):
        return sorted(ordered[: rank - 1] + ordered[rank:])
    return ordered[rank - 1 : rank]


def _join_texts(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


class _Handler(BaseHTTPRequestHandler):
    """Answers OpenAI's chat completions."""

    def do_POST(self) -> None:
        """Answers one question."""
        question = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        text = answer_question(question["messages"])
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {
            "object": "chat.completion",
            "model": "stand-in",
            "choices": [choice],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        }
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""


@contextlib.contextmanager
def run_stand_in(port: int = 0) -> Iterator[str]:
    """Serves on this machine while the block runs.

    Args:
        port: The port; 0 for a free one.

    Yields:
        The address, for ``SAM3_AGENT_URL``.
    """
    server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    """Serves until Ctrl-C."""
    with run_stand_in(int(sys.argv[1]) if len(sys.argv) > 1 else 8000) as url:
        print(f"SAM3_AGENT_URL={url} (rules, no language model; Ctrl-C ends)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
