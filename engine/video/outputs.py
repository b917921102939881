"""Makes instances of the image's size from the tracks of one frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from ..inference.interactive import make_box
from ..postprocess.masks import upscale_logit_masks
from ..postprocess.nms import apply_filters
from ..prompts import ConceptPrompt, PromptedObject
from ..results import Instance, Mask, Result
from .frame import Track


@dataclasses.dataclass(frozen=True)
class FrameTracks:
    """Holds all tracks of one frame, with masks of the model's resolution.

    Attributes:
        frame_index: Index of the frame.
        image_hw: Height and width of the frame, in pixels.
        concepts: Tracks of each concept, in the order of the classes.
        objects: Tracks of the objects that were pointed at.
        class_names: Of the concepts, then of the objects.
        class_index: Class of each object's track.
        removed_ids: Tracks that proved false starts on this frame.
        truncated: Concepts that took more than half of the model's queries.
        prompted: The prompt of each object that was prompted on this frame.
        alternatives: Further candidates of those objects, where they were asked for.
    """

    frame_index: int
    image_hw: tuple[int, int]
    concepts: tuple[tuple[Track, ...], ...] = ()
    objects: tuple[Track, ...] = ()
    class_names: tuple[str, ...] = ()
    class_index: dict[int, int] = dataclasses.field(default_factory=dict)
    removed_ids: tuple[int, ...] = ()
    truncated: tuple[str, ...] = ()
    prompted: dict[int, PromptedObject] = dataclasses.field(default_factory=dict)
    alternatives: dict[int, tuple[Instance, ...]] = dataclasses.field(default_factory=dict)

    def confirm(self, ids: Collection[int]) -> FrameTracks:
        """Returns these with some tracks confirmed, which were later detected often enough."""
        concepts = tuple(
            tuple(
                dataclasses.replace(track, is_confirmed=True) if track.track_id in ids else track
                for track in tracks
            )
            for tracks in self.concepts
        )
        return dataclasses.replace(self, concepts=concepts)

    def list_outputs(self) -> list[Tensor]:
        """Lists what the tracker gave: the mask logits of all tracks and their object scores."""
        found = [track for tracks in (*self.concepts, self.objects) for track in tracks]
        if not found:
            return []
        scores = torch.tensor([track.object_score for track in found])
        return [torch.stack([track.logits for track in found]), scores]


def make_result(
    tracks: FrameTracks, prompt: ConceptPrompt | None, hidden: Collection[int], chunk_bytes: int
) -> Result:
    """Makes the result of a frame.

    Args:
        tracks: Of the frame.
        prompt: Whose filters apply to the concepts' instances.
        hidden: Ids not to show.
        chunk_bytes: Bound on the float32 masks in memory at a time.

    Returns:
        The visible tracks, and the objects prompted on this frame whether visible or not.
    """
    hw = tracks.image_hw
    instances: list[Instance] = []
    for class_index, found in enumerate(tracks.concepts):
        shown = [t for t in found if t.is_shown and t.track_id not in hidden]
        masks = share_pixels(_make_masks(shown, hw, chunk_bytes), [t.object_score for t in shown])
        instances += [
            _make_instance(track, mask, class_index)
            for track, mask in zip(shown, masks, strict=True)
            if mask.area
        ]
    if prompt is not None:
        instances = list(apply_filters(Result(hw, (), tuple(instances)), prompt).instances)
    shown = [
        t
        for t in tracks.objects
        if t.track_id not in hidden and (t.is_visible or t.track_id in tracks.prompted)
    ]
    for track, mask in zip(shown, _make_masks(shown, hw, chunk_bytes), strict=True):
        prompted = tracks.prompted.get(track.track_id)
        if mask.area or prompted:
            instance = _make_instance(track, mask, tracks.class_index[track.track_id], prompted)
            instances.append(
                dataclasses.replace(
                    instance,
                    low_res_logits=track.logits[None].cpu().numpy(),
                    alternatives=tracks.alternatives.get(track.track_id, ()),
                )
            )
    return Result(
        hw,
        tracks.class_names,
        tuple(sorted(instances, key=lambda i: (i.class_index, i.track_id or 0))),
        truncated=tracks.truncated,
        frame_index=tracks.frame_index,
        removed_track_ids=tracks.removed_ids,
    )


def share_pixels(masks: Sequence[Mask], scores: Sequence[float]) -> list[Mask]:
    """Assigns each pixel that several masks contain to the one with the highest score.

    As the package does with the tracks of one concept, but only where boxes overlap. Of
    equal scores the first wins.

    Args:
        masks: N masks of one image.
        scores: N scores.

    Returns:
        N masks, some with fewer pixels.
    """
    order = sorted(range(len(masks)), key=lambda k: (scores[k], -k))
    result = list(masks)
    for rank, k in enumerate(order):
        mask = result[k]
        for winner in order[rank + 1 :]:
            mask = _subtract(mask, masks[winner])
        result[k] = mask
    return result


def _subtract(mask: Mask, other: Mask) -> Mask:
    left, top = (max(a, b) for a, b in zip(mask.xyxy[:2], other.xyxy[:2], strict=True))
    right, bottom = (min(a, b) for a, b in zip(mask.xyxy[2:], other.xyxy[2:], strict=True))
    if left >= right or top >= bottom:
        return mask
    (x, y), (other_x, other_y) = mask.origin_xy, other.origin_xy
    shared = other.crop[top - other_y : bottom - other_y, left - other_x : right - other_x]
    own = mask.crop[top - y : bottom - y, left - x : right - x]
    if not (own & shared).any():
        return mask
    full = np.zeros(mask.image_hw, bool)
    full[y : y + mask.crop.shape[0], x : x + mask.crop.shape[1]] = mask.crop
    full[top:bottom, left:right] &= ~shared
    return Mask.from_full(full)


def _make_masks(tracks: Sequence[Track], hw: tuple[int, int], chunk_bytes: int) -> list[Mask]:
    if not tracks:
        return []
    logits = torch.stack([track.logits for track in tracks])
    return list(upscale_logit_masks(logits, hw, chunk_bytes=chunk_bytes))


def _make_instance(
    track: Track, mask: Mask, class_index: int, prompted: PromptedObject | None = None
) -> Instance:
    box = make_box(mask, prompted)
    return Instance(class_index, track.score, box, mask, track_id=track.track_id)
