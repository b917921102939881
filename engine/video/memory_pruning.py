"""Bounds the memory of a video: drops data that no later frame can read.

The package keeps every frame's outputs of every object, about 1 MB an object and frame at
full size. Tracking forward, a frame reads: of the frames that were not prompted the newest
15 with a visible object and the last one (or, if that was corrected, the newest 15 before
it); of the prompted ones the 4 newest, and those among the last 16 frames. Dropping all
others changes no result, not even in its last bit.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..model.video_tracker import TrackerState, VideoTracker

_OUTPUTS = ("cond_frame_outputs", "non_cond_frame_outputs")
_INPUTS = ("point_inputs_per_obj", "mask_inputs_per_obj")


def prune_tracker_state(tracker: VideoTracker, state: TrackerState, frame_index: int) -> None:
    """Drops data from a state that no frame after ``frame_index`` can read.

    Args:
        tracker: The state's tracker.
        state: Changed in place.
        frame_index: The frame that was tracked last.
    """
    outputs = state["output_dict"]
    prompted = outputs["cond_frame_outputs"]
    # A correction of this frame makes it a prompted one, and the next reads one older instead.
    kept_tracked = {*tracker.frame_filter(outputs, False, frame_index, 0, 1), frame_index}
    newest = sorted(prompted)[-tracker.max_cond_frames_in_attn :]
    recent = [t for t in prompted if t > frame_index - tracker.max_obj_ptrs_in_encoder]
    kept_prompted = {*newest, *recent}
    is_dropping = kept_prompted != set(prompted)
    for holder in (outputs, *state["output_dict_per_obj"].values()):
        _keep_only(holder["non_cond_frame_outputs"], kept_tracked)
        _keep_only(holder["cond_frame_outputs"], kept_prompted)
        if is_dropping:
            _sort_newest_first(holder["cond_frame_outputs"])
        for kind in _OUTPUTS:
            for t, out in holder[kind].items():
                _shrink_mask(out, is_current=t == frame_index)
    state["consolidated_frame_inds"]["cond_frame_outputs"] &= kept_prompted
    for inputs in _INPUTS:
        for given in state[inputs].values():
            _keep_only(given, kept_prompted)
            given.update(dict.fromkeys(given))
    if is_dropping:
        # A correction of one object conditions all objects of its state. Once the frame they
        # started on is gone, removing that one object must not take the others' last such frame.
        for given in state["mask_inputs_per_obj"].values():
            for t in kept_prompted:
                given.setdefault(t, None)
    _keep_only(state["frames_already_tracked"], {frame_index})
    state["first_ann_frame_idx"] = min(prompted, default=None)


def prune_metadata(metadata: dict[str, Any], frame_index: int, hotstart_delay: int) -> None:
    """Drops entries of dead objects and past frames from the package's metadata.

    Args:
        metadata: Of ``Sam3VideoBase``, changed in place.
        frame_index: The frame that was tracked last.
        hotstart_delay: Frames for which an object is young.
    """
    alive = {int(i) for i in metadata["obj_ids_all_gpu"]}
    own = metadata["rank0_metadata"]
    first_frames = own["obj_first_frame_idx"]
    young = {i for i in alive if first_frames.get(i, frame_index) > frame_index - hotstart_delay}
    metadata["obj_id_to_tracker_score_frame_wise"].clear()
    for by_id in (metadata["obj_id_to_score"], metadata["obj_id_to_last_occluded"]):
        _keep_only(by_id, alive)
    _keep_only(first_frames, alive)
    _keep_only(own["trk_keep_alive"], alive)
    # Of an older object only that it was once unmatched is read, when unmatched ones are hidden.
    unmatched = own["unmatched_frame_inds"]
    _keep_only(unmatched, alive)
    unmatched.update({i: [] for i in unmatched if i not in young})
    pairs = own["overlap_pair_to_frame_inds"]
    _keep_only(pairs, {pair for pair in pairs if pair[1] in young})
    own["suppressed_obj_ids"].clear()
    own["removed_obj_ids"] &= alive


def remove_from_metadata(metadata: dict[str, Any], object_ids: Iterable[int]) -> None:
    """Removes objects from the package's list of tracked objects."""
    dropped = list(object_ids)
    kept = metadata["obj_ids_all_gpu"]
    is_kept = ~np.isin(kept, dropped)
    confirmation = metadata["rank0_metadata"].get("masklet_confirmation", {})
    for name, values in confirmation.items():
        confirmation[name] = values[is_kept]
    kept = kept[is_kept]
    metadata["obj_ids_all_gpu"] = kept
    metadata["obj_ids_per_gpu"] = [kept]
    metadata["num_obj_per_gpu"] = np.array([len(kept)])


def remove_from_states(
    tracker: VideoTracker, states: list[TrackerState], object_ids: Iterable[int]
) -> None:
    """Removes objects from whichever states hold them, and states that are empty then."""
    for object_id in object_ids:
        for state in states:
            tracker.remove_object(state, object_id, strict=False, need_output=False)
    states[:] = [state for state in states if state["obj_ids"]]


def copy_containers(value: Any) -> Any:
    """Copies nested dicts, lists and sets but not the tensors and arrays in them.

    The package writes into the containers and never into a tensor that it stored: a copy is
    what to go back to when a frame fails half-way. The features of the current frame, which
    all states of a session share, stay shared.
    """
    if not isinstance(value, dict | list | set):  # most values are tensors
        return value
    if isinstance(value, defaultdict):
        return defaultdict(value.default_factory, {k: copy_containers(v) for k, v in value.items()})
    if isinstance(value, dict):
        copied = (
            (k, v if k == "cached_features" else copy_containers(v)) for k, v in value.items()
        )
        return OrderedDict(copied) if isinstance(value, OrderedDict) else dict(copied)
    if isinstance(value, list):
        return [copy_containers(v) for v in value]
    return set(value)


def _keep_only(by_key: dict[Any, Any], kept: set[Any]) -> None:
    for key in [key for key in by_key if key not in kept]:
        del by_key[key]


def _sort_newest_first(by_frame: dict[int, Any]) -> None:
    """Sorts frames as the package reads them when there are more than it uses.

    ``select_closest_cond_frames`` gives the newest first once there are more than it reads.
    Attention over the same tokens in another order differs in the last bits, and a pixel
    at the threshold of a corrected mask then turns that into a difference one can see.
    """
    newest_first = sorted(by_frame.items(), reverse=True)
    by_frame.clear()
    by_frame.update(newest_first)


def _shrink_mask(out: dict[str, Any], is_current: bool) -> None:
    """Shrinks a past frame's mask logits to one cell; only corrections of it would read them."""
    masks = out["pred_masks"]
    if not is_current and masks is not None and masks.shape[-1] > 1:
        out["pred_masks"] = masks[..., :1, :1].clone()
