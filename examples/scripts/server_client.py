"""Asks the server, which `infer-sam3 serve --model tiny_shapes` starts, for concepts."""

import base64
import os

import httpx

from infer_segment_anything_3.examples import SCENE

server = os.environ.get("SERVER", "http://127.0.0.1:9090")
image = base64.b64encode(SCENE.read_bytes()).decode()
answer = httpx.post(
    f"{server}/sam3/concept_segment",
    json={
        "image": {"type": "base64", "value": image},
        "prompts": [{"type": "text", "text": "star"}, {"type": "text", "text": "dog"}],
    },
    timeout=60,
).raise_for_status()
for result in answer.json()["prompt_results"]:
    print(result["echo"]["text"], len(result["predictions"]), f"{result['best_score']:.2f}")
