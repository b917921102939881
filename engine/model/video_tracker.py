"""Adapts the package's video tracker to any device and to one frame at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .config import AssociationSettings
from .patched_modules import TensorsStayOnDevice, split_on_cpu
from .sam3_imports import Sam3TrackerBase, Sam3TrackerPredictor

TrackerState = dict[str, Any]
"""What the package keeps of the objects that started on one frame (``init_state``)."""

ENDLESS = 10**9
"""Number of frames that the package is told of: a real one would end the tracking at that frame,
and one that changes would change results."""

MAX_POINTS = 16
"""Points of one prompt that the tracker was trained for: the first and last 8 are used."""

_LEAST_AREA_LEFT = 0.3
"""Share of a mask that must be left where objects overlap (the package's ``shrink_threshold``)."""

_ENCODED_PIXELS, _DECODED_CELLS = 1 << 19, 1 << 17
"""How many pixels of masks are encoded at a time on a CPU, and how many cells are decoded.

At full size 16 masks together took 43 times as long to encode as one, and 33 times as long to
decode.
"""

NO_OBJECT_LOGIT = -1024.0
"""The package's logit of all pixels of an object that is not visible (``NO_OBJ_SCORE``)."""

PRESENT_LOGIT = 1024.0
"""The package's logit of a pixel that a given mask sets."""


class TrackerTensors(TensorsStayOnDevice):
    """Keeps the device of tensors, and the dtype of the memory, while the tracker runs.

    The package stores memory as bfloat16 whatever precision it runs in.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.Tensor.to and torch.bfloat16 in args[1:]:
            return args[0]
        return super().__torch_function__(func, types, args, kwargs)


class VideoTracker(Sam3TrackerPredictor):
    """Tracks as the package's tracker does, without CUDA and with prompts in batches.

    It also serves the package's interactive image predictor: the parameters are the same.
    """

    def __init__(self, association: AssociationSettings, **kwargs: Any) -> None:
        """Creates an untrained tracker.

        Args:
            association: How detections change its tracks.
            kwargs: Arguments of ``Sam3TrackerBase``.
        """
        # Not the constructor of Sam3TrackerPredictor: it enters a CUDA autocast for good.
        Sam3TrackerBase.__init__(self, **kwargs)
        self.association = association
        self.clear_non_cond_mem_around_input = True
        self.clear_non_cond_mem_for_multi_obj = False
        self.fill_hole_area = 0
        self.always_start_from_first_ann_frame = False
        self.max_point_num_in_prompt_enc = MAX_POINTS
        self.non_overlap_masks_for_output = False
        self.iter_use_prev_mask_pred = True
        self.add_all_frames_to_correct_as_cond = True

    def init_state(self, **kwargs: Any) -> TrackerState:
        """Creates the state of objects that start on one frame, stored on the tracker's device."""
        state: TrackerState = super().init_state(**{**kwargs, "offload_state_to_cpu": True})
        state["offload_state_to_cpu"] = False
        state["storage_device"] = self.device
        return state

    def add_masks(
        self, state: TrackerState, frame_index: int, object_ids: Sequence[int], masks: Tensor
    ) -> None:
        """Starts objects at masks, in one decoder call (``add_new_mask`` takes one an object).

        Args:
            state: A new state.
            frame_index: Index of the frame whose features the state holds.
            object_ids: Ids of the N objects.
            masks: (N, S, S) bool, S = ``input_mask_size``.
        """
        out = self._decode_first_frame(state, frame_index, len(masks), mask_inputs=masks[:, None])
        out["pred_masks"] = self._separate_at_video_size(state, masks)
        self._store_first_frame(state, frame_index, object_ids, out, "mask_inputs_per_obj")

    def add_points(
        self,
        state: TrackerState,
        frame_index: int,
        object_ids: Sequence[int],
        points_xy: Tensor,
        labels: Tensor,
        mask_input: Tensor | None = None,
    ) -> None:
        """Starts objects at points, in one decoder call.

        Args:
            state: A new state.
            frame_index: Index of the frame whose features the state holds.
            object_ids: Ids of the N objects.
            points_xy: (N, P, 2) float32, in pixels of the model's input; the corners of a box
                are its first two points.
            labels: (N, P) int32: 1 foreground, 0 background, 2 and 3 the corners of a box.
            mask_input: (N, 1, g, g) logits to refine, or None.
        """
        points_xy, labels = limit_points(points_xy, labels)
        prompts = {"point_coords": points_xy, "point_labels": labels}
        out = self._decode_first_frame(
            state,
            frame_index,
            len(points_xy),
            point_inputs=prompts,
            prev_sam_mask_logits=mask_input,
        )
        self._store_first_frame(state, frame_index, object_ids, out, "point_inputs_per_obj")

    def _decode_first_frame(
        self,
        state: TrackerState,
        frame_index: int,
        count: int,
        point_inputs: dict[str, Tensor] | None = None,
        mask_inputs: Tensor | None = None,
        prev_sam_mask_logits: Tensor | None = None,
    ) -> dict[str, Any]:
        out, _ = self._run_single_frame_inference(
            inference_state=state,
            output_dict={"cond_frame_outputs": {}, "non_cond_frame_outputs": {}},
            frame_idx=frame_index,
            batch_size=count,
            is_init_cond_frame=True,
            point_inputs=point_inputs,
            mask_inputs=mask_inputs,
            reverse=False,
            run_mem_encoder=False,
            prev_sam_mask_logits=prev_sam_mask_logits,
        )
        return out

    def _separate_at_video_size(self, state: TrackerState, masks: Tensor) -> Tensor:
        """Computes the low-resolution logits that ``add_new_mask`` stores, (N, 1, g, g).

        A later mask takes the pixels that it shares with earlier ones, at the video's size.
        """
        size = (state["video_height"], state["video_width"])
        side = (self.low_res_mask_size, self.low_res_mask_size)
        taken = torch.zeros((1, 1, *size), dtype=torch.bool, device=masks.device)
        low_res = []
        for mask in masks.flip(0):
            pixels = mask[None, None].float()
            if pixels.shape[-2:] != size:
                pixels = F.interpolate(
                    pixels, size, mode="bilinear", align_corners=False, antialias=True
                )
            own = pixels > 0.5
            logits = torch.where(own & ~taken, PRESENT_LOGIT, NO_OBJECT_LOGIT)
            taken |= own
            low_res.append(
                F.interpolate(logits, side, mode="bilinear", align_corners=False, antialias=True)
            )
        return torch.cat(low_res[::-1])

    def _store_first_frame(
        self,
        state: TrackerState,
        frame_index: int,
        object_ids: Sequence[int],
        out: dict[str, Any],
        inputs: str,
    ) -> None:
        kept = ("pred_masks", "obj_ptr", "object_score_logits", "iou_score")
        for row, object_id in enumerate(object_ids):
            index = self._obj_id_to_idx(state, object_id)
            own = {name: out[name][row : row + 1] for name in kept}
            own |= {"maskmem_features": None, "maskmem_pos_enc": None}
            state["temp_output_dict_per_obj"][index]["cond_frame_outputs"][frame_index] = own
            # Only that there was an input is read later, not which.
            state[inputs][index][frame_index] = None

    def frame_filter(
        self,
        output_dict: dict[str, Any],
        track_in_reverse: bool,
        frame_idx: int,
        num_frames: int,
        r: int,
    ) -> list[int]:
        """Chooses the frames to remember as the package does, among those that are stored.

        The package tries every index back to 0, which takes ever longer on a stream.
        """
        if frame_idx == 0:
            return []
        known = output_dict["non_cond_frame_outputs"]
        chosen: list[int] = []
        for t in sorted((t for t in known if 0 < t < frame_idx), reverse=True):
            score = known[t].get("eff_iou_score")
            if score is not None and score > self.mf_threshold:
                chosen.insert(0, t)
            if len(chosen) >= self.max_obj_ptrs_in_encoder - 1:
                break
        return chosen if frame_idx - 1 in chosen else [*chosen, frame_idx - 1]

    def _forward_sam_heads(
        self,
        backbone_features: Tensor,
        point_inputs: dict[str, Tensor] | None = None,
        mask_inputs: Tensor | None = None,
        high_res_features: list[Tensor] | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, ...]:
        """Decodes masks as the package does; on a CPU a few followed objects at a time."""
        decode = super()._forward_sam_heads
        parts = [slice(None)]
        if point_inputs is None and mask_inputs is None:
            parts = split_on_cpu(backbone_features, _DECODED_CELLS // self.low_res_mask_size**2)
        outs = [
            decode(
                backbone_features[part],
                point_inputs,
                mask_inputs,
                high_res_features and [level[part] for level in high_res_features],
                **kwargs,
            )
            for part in parts
        ]
        return tuple(torch.cat(column) for column in zip(*outs, strict=True))

    def _encode_new_memory(
        self,
        image: None,
        current_vision_feats: list[Tensor],
        feat_sizes: list[tuple[int, int]],
        pred_masks_high_res: Tensor,
        object_score_logits: Tensor,
        is_mask_from_pts: bool,
        **kwargs: Any,
    ) -> tuple[Tensor, list[Tensor]]:
        """Encodes masks into the memory as the package does; on a CPU a few at a time."""
        encode = super()._encode_new_memory
        outs = [
            encode(
                image,
                [level[:, part] for level in current_vision_feats],
                feat_sizes,
                pred_masks_high_res[part],
                object_score_logits[part],
                is_mask_from_pts,
                **kwargs,
            )
            for part in split_on_cpu(pred_masks_high_res, _ENCODED_PIXELS // self.image_size**2)
        ]
        features = torch.cat([out for out, _ in outs])
        # They are the same for all objects.
        return features, [level[:1].expand(len(features), -1, -1, -1) for level in outs[0][1]]

    def _apply_non_overlapping_constraints(self, pred_masks: Tensor) -> Tensor:
        """Assigns each pixel to the object with the highest logit, of equal ones to the first.

        As the package does, whose ``argmax`` over the objects takes 20 to 100 times as long on
        a CPU: 0.3 s of a frame at full size.
        """
        if pred_masks.is_cuda:
            return super()._apply_non_overlapping_constraints(pred_masks)
        kept = torch.stack(list(_find_own_pixels(pred_masks)))
        return torch.where(kept, pred_masks, pred_masks.clamp(max=-10.0))

    def _suppress_object_pw_area_shrinkage(self, pred_masks: Tensor) -> Tensor:
        """Empties each mask that keeps less than 0.3 of its area once overlaps are resolved.

        As the package does, which makes three copies of all masks and adds up their pixels as
        integers: 0.1 s of a frame with 4 objects at full size.

        Args:
            pred_masks: (N, 1, S, S) float32 logits.

        Returns:
            The same logits, or a copy with those of emptied masks at -10 and below.
        """
        if pred_masks.is_cuda:
            return super()._suppress_object_pw_area_shrinkage(pred_masks)
        areas = _count_pixels(pred_masks > 0)
        own_areas = _count_pixels(
            own.logical_and_(mask > 0)
            for own, mask in zip(_find_own_pixels(pred_masks), pred_masks, strict=True)
        )
        is_shrunk = own_areas / areas.clamp(min=1.0) < _LEAST_AREA_LEFT
        if is_shrunk.any():
            pred_masks = pred_masks.clone()
            pred_masks[is_shrunk] = pred_masks[is_shrunk].clamp(max=-10.0)
        return pred_masks

    def _consolidate_temp_output_across_obj(
        self, *args: Any, consolidate_at_video_res: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        # At the video's size it only makes masks to show, of every object for every prompt.
        if consolidate_at_video_res:
            return {"pred_masks_video_res": None}
        return super()._consolidate_temp_output_across_obj(*args, **kwargs)

    def _get_orig_video_res_output(
        self, inference_state: TrackerState, any_res_masks: Tensor | None
    ) -> tuple[Tensor | None, None]:
        # The engine brings masks to the video's size itself, those it shows, in chunks.
        return any_res_masks, None


def limit_points(points_xy: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Keeps the first and the last points of (N, P, 2) points and their (N, P) labels."""
    half = MAX_POINTS // 2
    if points_xy.shape[1] <= MAX_POINTS:
        return points_xy, labels
    points_xy = torch.cat([points_xy[:, :half], points_xy[:, -half:]], dim=1)
    return points_xy, torch.cat([labels[:, :half], labels[:, -half:]], dim=1)


def _count_pixels(masks: Iterable[Tensor]) -> Tensor:
    """Counts the pixels of each of N bool masks on a CPU, (N,) int64; faster than their sum."""
    return torch.tensor([np.count_nonzero(mask.numpy()) for mask in masks], dtype=torch.int64)


def _find_own_pixels(logits: Tensor) -> Iterator[Tensor]:
    """Finds the pixels at which each object has the highest logit, of equal ones the first object.

    Args:
        logits: (N, ...).

    Yields:
        A bool mask for each object; no two share a pixel.
    """
    highest = logits.amax(dim=0)
    is_free = torch.ones_like(highest, dtype=torch.bool)
    for logit in logits:
        is_own = (logit == highest).logical_and_(is_free)
        is_free &= ~is_own
        yield is_own
