"""Calls Meta's ``sam3`` package directly, to compare the engine with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from ..engine import Engine
from ..engine.results import BoxXyxy
from ..engine.runtime.openmp import fix_thread_teams

State = dict[str, Any]
"""What the package keeps of an encoded image."""


class Sam3Package:
    """Runs ``Sam3Processor`` and ``predict_inst`` on the model of an engine.

    They run in the engine's precision and with as many threads: the last bits of sums depend
    on the number of threads.
    """

    def __init__(self, engine: Engine) -> None:
        """Wraps the engine's model, which is not changed."""
        from sam3.model.sam3_image_processor import Sam3Processor

        self.model = engine.model
        self.device, self.precision = engine.device, engine.precision
        self.processor = Sam3Processor(
            engine.model, resolution=engine.image_size, device=str(engine.device)
        )

    @contextlib.contextmanager
    def use_precision(self) -> Iterator[None]:
        """Sets precision and threads for the calls inside."""
        bfloat16 = self.precision == "bfloat16"
        with (
            fix_thread_teams(),
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16),
        ):
            yield

    def encode(self, image: npt.NDArray[np.uint8]) -> State:
        """Calls ``set_image`` on an (H, W, 3) uint8 RGB image."""
        with self.use_precision():
            state: State = self.processor.set_image(Image.fromarray(image))
        return state

    def segment_concept(
        self,
        state: State,
        text: str | None,
        threshold: float,
        boxes_xyxy: Sequence[BoxXyxy] = (),
        labels: Sequence[int] = (),
    ) -> State:
        """Calls ``set_text_prompt`` and ``add_geometric_prompt``.

        Args:
            state: Of an encoded image; earlier prompts are removed.
            text: The concept, or None for exemplar boxes alone.
            threshold: Instances at or below this score are left out.
            boxes_xyxy: Exemplars in pixels.
            labels: 1 or 0 for each exemplar.

        Returns:
            The state with ``masks`` (N, 1, H, W) bool on the CPU, ``scores`` and ``boxes``.
        """
        height, width = state["original_height"], state["original_width"]
        self.processor.confidence_threshold = threshold
        with self.use_precision():
            self.processor.reset_all_prompts(state)
            if text is not None:
                state = self.processor.set_text_prompt(text, state)
            for (left, top, right, bottom), label in zip(boxes_xyxy, labels, strict=True):
                cxcywh = [
                    (left + right) / 2 / width,
                    (top + bottom) / 2 / height,
                    (right - left) / width,
                    (bottom - top) / height,
                ]
                state = self.processor.add_geometric_prompt(cxcywh, bool(label), state)
            state["masks"] = state["masks"].cpu()
        return state

    def segment_objects(self, state: State, **prompts: Any) -> list[npt.NDArray[Any]]:
        """Calls ``predict_inst``; returns masks, scores and low-resolution logits."""
        with self.use_precision():
            return list(self.model.predict_inst(state, **prompts))

    def score_queries(self, state: State, text: str) -> list[float]:
        """Returns the score of every query for a text, unsorted."""
        with self.use_precision():
            features = {
                **state["backbone_out"],
                **self.model.backbone.forward_text([text], device=self.device),
            }
            out = self.model.forward_grounding(
                backbone_out=features,
                find_input=self.processor.find_stage,
                geometric_prompt=self.model._get_dummy_prompt(),
                find_target=None,
            )
            presence = out["presence_logit_dec"].sigmoid().unsqueeze(1)
            scores: list[float] = (out["pred_logits"].sigmoid() * presence).flatten().tolist()
        return scores
