"""Segments single objects, given by points and boxes, with ``predict_inst``."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..model.sam3_imports import SAM2Transforms, Sam3Image, SAM3InteractiveImagePredictor
from ..postprocess.masks import fill_holes, move_to_device, upscale_logit_masks
from ..prompts import ObjectPrompt, PromptedObject
from ..results import BoxXyxy, Instance, Mask
from ..runtime.execution import ModelExecution
from ..runtime.isolation import keep_attention_flags, suppress_warnings
from ..runtime.memory import BatchLimits
from .concept_output import check_finite
from .image_encoder import EncodedImage


class _LowResTransforms(SAM2Transforms):
    """The package's transforms, which leave masks at the size the decoder made them.

    Upscaling all masks at once, as the package does, takes gigabytes on a large image.
    """

    def postprocess_masks(self, masks: Tensor, orig_hw: tuple[int, int]) -> Tensor:
        return fill_holes(masks.float(), self.max_hole_area, self.mask_threshold)


class _Predictor(SAM3InteractiveImagePredictor):
    """The package's predictor, which copies its three outputs to the host in one transfer."""

    def predict(
        self,
        point_coords: Tensor | None = None,
        point_labels: Tensor | None = None,
        box: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[npt.NDArray[np.float32], ...]:
        refined, points_xy, labels, boxes = self._prep_prompts(
            point_coords, point_labels, box, mask_input, normalize_coords
        )
        found = self._predict(
            points_xy, labels, boxes, refined, multimask_output, return_logits=return_logits
        )
        sizes = [part.numel() for part in found]
        parts = torch.cat([part.float().flatten() for part in found]).cpu().split(sizes)
        return tuple(
            # A copy: a view would keep all three outputs in memory.
            part.view(own.shape).clone().numpy()
            for part, own in zip(parts, found, strict=True)
        )


@dataclasses.dataclass(frozen=True)
class DecodedObjects:
    """Holds the decoder's output for N objects.

    Attributes:
        logits: (N, C, g, g) float32, holes filled.
        scores: (N, C) float32, predicted IoU.
        low_res_logits: (N, C, g, g) float32 to refine with, clamped to +-32.
    """

    logits: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    low_res_logits: npt.NDArray[np.float32]


class ObjectDecoder:
    """Runs ``Sam3Image.predict_inst`` on an encoded image, several objects a call.

    ``predict_inst`` keeps its features on the predictor while it runs. This one has a
    predictor of its own around the model's tracker, so that a direct call of the model
    elsewhere is not disturbed.
    """

    def __init__(
        self, model: Sam3Image, execution: ModelExecution, weights_name: str = "the weights"
    ) -> None:
        """Wraps a model.

        Args:
            model: A model with an interactive predictor.
            execution: The context of every forward pass.
            weights_name: What errors call the weights.
        """
        self.execution = execution
        self._weights_name = weights_name
        own = model.inst_interactive_predictor
        with suppress_warnings():  # both use TorchScript, which is deprecated
            self._predictor = _Predictor(own.model, mask_threshold=own.mask_threshold)
            self._predictor._transforms = _LowResTransforms(
                resolution=own._transforms.resolution,
                mask_threshold=own.mask_threshold,
                max_hole_area=own._transforms.max_hole_area,
                max_sprinkle_area=own._transforms.max_sprinkle_area,
            )
        self._predictor._bb_feat_sizes = own._bb_feat_sizes
        self.mask_threshold: float = own.mask_threshold
        self.mask_side: int = own._bb_feat_sizes[0][0]
        self._max_hole_area: float = own._transforms.max_hole_area
        self.calls = 0
        """Decoder calls so far."""

    def decode(
        self,
        state: dict[str, Any],
        objects: list[PromptedObject],
        multimask: bool,
        holes_filled: bool = True,
    ) -> DecodedObjects:
        """Decodes objects whose prompts have equal lengths, in one call.

        Args:
            state: The encoded image.
            objects: N objects with equally many points and labels; all or none with a box,
                all or none with a mask to refine.
            multimask: Three candidates for each instead of one mask.
            holes_filled: Off for candidates of which few will be kept: filling takes most of
                the time on a CPU.

        Returns:
            C = 3 candidates with ``multimask``, else C = 1.

        Raises:
            NonFiniteOutputError: If a logit or score is NaN or infinite.
        """
        first = objects[0]
        options = {"multimask_output": multimask, "return_logits": True}
        prompts: dict[str, npt.NDArray[Any]] = {}
        if first.points_xy:
            prompts["point_coords"] = np.array([o.points_xy for o in objects], np.float32)
            prompts["point_labels"] = np.array([get_point_labels(o) for o in objects], np.int32)
        if first.box_xyxy is not None:
            prompts["box"] = np.array([o.box_xyxy for o in objects], np.float32)
        if first.mask_input is not None:
            prompts["mask_input"] = np.stack([o.mask_input for o in objects])  # type: ignore[misc]
        device = self._predictor.device
        sent = {k: move_to_device(torch.from_numpy(v), device) for k, v in prompts.items()}
        holder = SimpleNamespace(inst_interactive_predictor=self._predictor)
        with self.execution.step():
            transforms = self._predictor._transforms
            transforms.max_hole_area = self._max_hole_area if holes_filled else 0.0
            try:
                with keep_attention_flags():
                    found = Sam3Image.predict_inst(holder, state, **sent, **options)
            finally:
                self._predictor.reset_predictor()
            self.calls += 1
        check_finite(map(torch.from_numpy, found), "masks and scores", self._weights_name)
        logits, scores, low_res = found
        # One object comes back without its leading dimension.
        by_object = (len(objects), -1, *logits.shape[-2:])
        return DecodedObjects(
            logits.reshape(by_object), scores.reshape(len(objects), -1), low_res.reshape(by_object)
        )

    def fill_holes(self, logits: Tensor) -> Tensor:
        """Fills the holes that ``holes_filled=False`` left, (N, C, g, g) float32."""
        return fill_holes(logits, self._max_hole_area, self.mask_threshold)


def get_point_labels(prompted: PromptedObject) -> tuple[int, ...]:
    """Returns the labels of an object's points, all 1 where none were given."""
    return prompted.point_labels or (1,) * len(prompted.points_xy)


def segment_objects(
    decoder: ObjectDecoder, encoded: EncodedImage, prompt: ObjectPrompt, limits: BatchLimits
) -> list[Instance]:
    """Segments every object of a prompt.

    Args:
        decoder: The decoder.
        encoded: The encoded image.
        prompt: The objects.
        limits: How many go through the decoder at a time.

    Returns:
        One instance for each object, in prompt order.
    """
    names = prompt.class_names
    groups: dict[tuple[bool, int, bool], list[int]] = defaultdict(list)
    for index, prompted in enumerate(prompt.objects):
        # Padding to one length would change the result, so only equal prompts share a call.
        key = (
            prompted.box_xyxy is not None,
            len(prompted.points_xy),
            prompted.mask_input is not None,
        )
        groups[key].append(index)
    instances: dict[int, Instance] = {}
    for members in groups.values():
        for start in range(0, len(members), limits.objects):
            batch = members[start : start + limits.objects]
            objects = [prompt.objects[i] for i in batch]
            decoded = decoder.decode(encoded.state, objects, prompt.multimask)
            # Outside the model's step, so that other threads get their turn meanwhile.
            with decoder.execution.fix_threads():
                for row, index in enumerate(batch):
                    instances[index] = _make_instance(
                        decoded,
                        row,
                        objects[row],
                        names.index(objects[row].class_name),
                        encoded.image_hw,
                        decoder.mask_threshold,
                        prompt.return_logits,
                    )
    return [instances[i] for i in range(len(prompt.objects))]


def _make_instance(
    decoded: DecodedObjects,
    row: int,
    prompted: PromptedObject,
    class_index: int,
    image_hw: tuple[int, int],
    mask_threshold: float,
    return_logits: bool,
) -> Instance:
    order = np.argsort(-decoded.scores[row], kind="stable")
    masks = upscale_logit_masks(
        torch.from_numpy(decoded.logits[row][order]),
        image_hw,
        mask_threshold,
        of_one_object=len(order) > 1,
    )
    candidates = [
        Instance(
            class_index=class_index,
            score=float(decoded.scores[row][candidate]),
            box_xyxy=make_box(mask, prompted),
            mask=mask,
            low_res_logits=(
                decoded.low_res_logits[row, candidate][None].copy() if return_logits else None
            ),
        )
        for candidate, mask in zip(order, masks, strict=True)
    ]
    return dataclasses.replace(candidates[0], alternatives=tuple(candidates[1:]))


def make_box(mask: Mask, prompted: PromptedObject | None) -> BoxXyxy:
    """Makes the box of a mask's main parts; of an empty mask, the prompt's box or first point."""
    if mask.area or prompted is None:
        left, top, right, bottom = mask.compute_main_box()
        return float(left), float(top), float(right), float(bottom)
    if prompted.box_xyxy is not None:
        return prompted.box_xyxy
    x, y = prompted.points_xy[0]
    return x, y, x, y
