"""Lets the workflow block ``roboflow_core/sam3_video@v1`` use this project instead of a download.

``inference`` loads a folder named ``sam3video`` of the working directory before it asks
Roboflow for the model of that name. SAM3_SERVER says where the model runs: the address of
``infer-sam3 serve`` (http://127.0.0.1:9090 if unset; SAM3_API_KEY is sent), or ``in-process``
where this project is installed beside ``inference`` (MODEL and SAM3_CHECKPOINT name the weights).
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import os
import threading
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import requests
from pycocotools import mask as mask_api

RgbImage = npt.NDArray[np.uint8]
Row = dict[str, Any]
"""The instances of a frame, as the project's ``_tracks.jsonl`` has them."""


class FrameResult(NamedTuple):
    """Holds what the block reads of a frame.

    Attributes:
        masks: (N, H, W) bool.
        object_ids: (N,) int64, the same on every frame.
        scores: (N,) float32.
        boxes: (N, 4) float32, xyxy in pixels.
        prompt_to_object_ids: The ids of each concept.
        state_dict: What the block gives back with the next frame.
    """

    masks: npt.NDArray[np.bool_]
    object_ids: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    boxes: npt.NDArray[np.float32]
    prompt_to_object_ids: dict[str, list[int]]
    state_dict: dict[str, Any]


class ServerSession:
    """Follows concepts through one video on the server."""

    def __init__(self, texts: list[str]) -> None:
        """Starts a session.

        Args:
            texts: The concepts.
        """
        self._address = os.environ.get("SAM3_SERVER", "http://127.0.0.1:9090").rstrip("/")
        self._http = requests.Session()
        self._id = self._ask("start", texts=texts)["session_id"]
        atexit.register(self.close)

    def step(self, image: RgbImage) -> Row:
        """Follows the concepts to the next frame, which is sent without loss."""
        _, data = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        source = {"type": "base64", "value": base64.b64encode(data.tobytes()).decode()}
        return self._ask("step", session_id=self._id, image=source)

    def close(self) -> None:
        """Ends the session; the server would after a minute."""
        atexit.unregister(self.close)
        with contextlib.suppress(RuntimeError, requests.RequestException):
            self._ask("end", session_id=self._id)

    def _ask(self, route: str, **fields: Any) -> Row:
        body = {"api_key": os.environ.get("SAM3_API_KEY"), **fields}
        answer = self._http.post(f"{self._address}/sam3/video/{route}", json=body, timeout=120)
        if not answer.ok:
            raise RuntimeError(f"{self._address}: {answer.status_code} {answer.text[:300]}")
        row: Row = answer.json()
        return row


class EngineSession:
    """Follows concepts through one video in this process."""

    _engine: Any = None

    def __init__(self, texts: list[str]) -> None:
        """Starts a session; the first one loads the weights.

        Args:
            texts: The concepts.
        """
        from infer_segment_anything_3.engine import ConceptPrompt, Engine, VideoSession

        if EngineSession._engine is None:
            EngineSession._engine = Engine.load(
                os.environ.get("MODEL", "sam3"), os.environ.get("SAM3_CHECKPOINT")
            )
        self._session = VideoSession(EngineSession._engine, ConceptPrompt(texts=tuple(texts)))

    def step(self, image: RgbImage) -> Row:
        """Follows the concepts to the next frame."""
        from infer_segment_anything_3.engine.export.tracks import to_track_row

        return to_track_row(self._session.step(np.ascontiguousarray(image)))

    def close(self) -> None:
        """Does nothing: the session goes with its last reference."""


class Sam3Video:
    """The model that the block asks for: text prompts on the first frame, then frames."""

    @classmethod
    def from_pretrained(cls, model_name_or_path: str, **options: Any) -> Sam3Video:
        """Makes the model; ``inference`` calls it."""
        return cls()

    def __init__(self) -> None:
        """Chooses where sessions run, by SAM3_SERVER."""
        in_process = os.environ.get("SAM3_SERVER") == "in-process"
        self._make_session = EngineSession if in_process else ServerSession
        self._lock = threading.Lock()

    def prompt(
        self,
        image: RgbImage,
        text: str | list[str],
        state_dict: dict[str, Any] | None = None,
        clear_old_prompts: bool = True,
    ) -> FrameResult:
        """Starts a video with its first frame and the concepts to follow."""
        if state_dict is not None:
            state_dict["session"].close()
        with self._lock:
            session = self._make_session([text] if isinstance(text, str) else list(text))
        return _make_result(session, image)

    def track(self, image: RgbImage, state_dict: dict[str, Any] | None = None) -> FrameResult:
        """Follows the concepts of a video to its next frame."""
        if state_dict is None:
            raise ValueError("state_dict: expected that of the frame before; call prompt() first")
        return _make_result(state_dict["session"], image)


def _make_result(session: ServerSession | EngineSession, image: RgbImage) -> FrameResult:
    shown = session.step(image)["instances"]
    masks = [mask_api.decode(item["segmentation"]).astype(bool) for item in shown]
    boxes = np.array([item["bbox"] for item in shown], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    claimed: dict[str, list[int]] = {}
    for item in shown:
        claimed.setdefault(item["category"], []).append(item["track_id"])
    return FrameResult(
        masks=np.stack(masks) if masks else np.zeros((0, *image.shape[:2]), bool),
        object_ids=np.array([item["track_id"] for item in shown], np.int64),
        scores=np.array([item["score"] for item in shown], np.float32),
        boxes=boxes,
        prompt_to_object_ids=claimed,
        state_dict={"session": session},
    )
