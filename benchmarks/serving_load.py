"""Makes the load of the server's benchmark: ``locust -f serving_load.py``.

Options come from the environment: ``LOAD_KIND`` (``click`` on an embedded image, or
``image`` for a concept on one of many images), ``LOAD_IMAGES`` (a folder of JPEG files) and
``LOAD_RESULT`` (where the times and statuses are written, as JSON).
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import resource
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events, task

KIND = os.environ["LOAD_KIND"]
SOURCES = [
    {"type": "base64", "value": base64.b64encode(path.read_bytes()).decode()}
    for path in sorted(Path(os.environ["LOAD_IMAGES"]).glob("*.jpg"))
]
_turns = itertools.cycle(SOURCES)
_times_ms: list[float] = []
_statuses: dict[str, int] = {}


class Client(FastHttpUser):
    """Sends one request after the other, without a pause."""

    def on_start(self) -> None:
        """Embeds an image to click on."""
        with self.client.post("/sam3/embed_image", json={"image": SOURCES[0]}) as answer:
            self.image_id = answer.json()["image_id"]

    @task
    def segment(self) -> None:
        """Sends a request and notes how it was answered."""
        if KIND == "click":
            path, body = "/sam3/visual_segment", self._make_click()
        else:
            path = "/sam3/concept_segment"
            body = {"image": next(_turns), "prompts": [{"text": "circle"}], "format": "rle"}
        with self.client.post(path, json=body, name=KIND) as answer:
            _statuses[str(answer.status_code)] = _statuses.get(str(answer.status_code), 0) + 1

    def _make_click(self) -> dict[str, Any]:
        point = {"x": 256, "y": 288, "positive": True}
        return {
            "image_id": self.image_id,
            "prompts": [{"points": [point]}],
            "multimask_output": False,
            "format": "rle",
        }


@events.request.add_listener
def note_time(name: str, response_time: float, **_: Any) -> None:
    """Stores the exact time: locust's own statistics are rounded."""
    if name == KIND:
        _times_ms.append(response_time)


@events.quitting.add_listener
def write_result(**_: Any) -> None:
    """Writes the measurements."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "times_ms": _times_ms,
        "statuses": _statuses,
        "cpu_s": usage.ru_utime + usage.ru_stime,
    }
    Path(os.environ["LOAD_RESULT"]).write_text(json.dumps(result))
