"""Runs Meta's own offline video classes with an engine's weights, also on a CPU.

Their code is used as it is, but for what cannot run without CUDA: pinning and ``cuda`` do
nothing, the detector's features keep their dtype, and no masks have no holes to fill.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from sam3.model import sam3_video_base
from sam3.model.decoder import TransformerEncoderCrossAttention
from sam3.model.model_misc import TransformerWrapper
from sam3.model.sam3_image import Sam3ImageOnVideoMultiGPU
from sam3.model.sam3_tracking_predictor import Sam3TrackerPredictor
from sam3.model.sam3_video_inference import Sam3VideoInferenceWithInstanceInteractivity
from torch.overrides import TorchFunctionMode

from ..engine import Engine
from ..engine.runtime.openmp import fix_thread_teams
from ..engine.video.memory_pruning import copy_containers

ENDLESS = 10**9

Frames = Sequence[npt.NDArray[np.uint8]]


class OnCpu(TorchFunctionMode):
    """Context in which the tensors of this thread stay on the CPU and keep their dtype."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in (torch.Tensor.pin_memory, torch.Tensor.cuda):
            return args[0]
        if func is torch.Tensor.to and torch.bfloat16 in args[1:]:
            return args[0]
        if kwargs and kwargs.get("device") == "cuda":
            kwargs = {**kwargs, "device": "cpu"}
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def prepare_package(engine: Engine) -> Iterator[None]:
    """Sets what the package's calls need: the engine's precision and threads, and CPU tensors."""
    fill = sam3_video_base.fill_holes_in_mask_scores

    def fill_some(mask: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return fill(mask, *args, **kwargs) if len(mask) else mask

    bfloat16 = engine.precision == "bfloat16"
    sam3_video_base.fill_holes_in_mask_scores = fill_some
    try:
        with (
            OnCpu() if engine.device.type == "cpu" else contextlib.nullcontext(),
            torch.inference_mode(),
            torch.autocast(engine.device.type, torch.bfloat16, enabled=bfloat16),
            fix_thread_teams(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        sam3_video_base.fill_holes_in_mask_scores = fill


@contextlib.contextmanager
def remember_encodings(engine: Engine) -> Iterator[None]:
    """Encodes equal images once for the engine and the package; at full size that takes longest."""
    backbone = engine.model.backbone
    encode, known = backbone.forward_image, {}

    def recall(images: torch.Tensor) -> Any:
        pixels = images.float().cpu().numpy().tobytes()
        key = hashlib.sha1(pixels, usedforsecurity=False).digest()
        if key not in known:
            known[key] = encode(images)
        return copy_containers(known[key])

    backbone.forward_image = recall
    try:
        yield
    finally:
        del backbone.forward_image


def build_package_tracker(engine: Engine) -> Sam3TrackerPredictor:
    """Builds the package's tracker as its own builder does, with the engine's parameters."""
    own = engine.model.inst_interactive_predictor.model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tracker = Sam3TrackerPredictor(
            image_size=own.image_size,
            num_maskmem=7,
            backbone=None,
            backbone_stride=14,
            transformer=_copy_memory_attention(own.transformer),
            maskmem_backbone=own.maskmem_backbone,
            multimask_output_in_sam=True,
            forward_backbone_per_frame_for_eval=True,
            trim_past_non_cond_mem_for_eval=False,
            multimask_output_for_tracking=True,
            multimask_min_pt_num=0,
            multimask_max_pt_num=1,
            always_start_from_first_ann_frame=False,
            non_overlap_masks_for_mem_enc=False,
            non_overlap_masks_for_output=False,
            max_cond_frames_in_attn=4,
            offload_output_to_cpu_for_eval=False,
            sam_mask_decoder_extra_args={
                "dynamic_multimask_via_stability": True,
                "dynamic_multimask_stability_delta": 0.05,
                "dynamic_multimask_stability_thresh": 0.98,
            },
            clear_non_cond_mem_around_input=True,
            fill_hole_area=0,
            use_memory_selection=True,
        )
        # Its constructor enters a CUDA autocast for the whole process.
        tracker.bf16_context.__exit__(None, None, None)
    tracker.sam_mask_decoder = own.sam_mask_decoder
    tracker.load_state_dict(own.state_dict())
    # Stored where it is computed, and without an end that a stream does not know.
    init_state = tracker.init_state
    tracker.init_state = lambda **given: init_state(
        **given | {"num_frames": ENDLESS, "offload_state_to_cpu": engine.device.type == "cpu"}
    )
    return tracker.to(engine.device).eval()


def _copy_memory_attention(own: TransformerWrapper) -> TransformerWrapper:
    """Copies memory attention, with its parameters, as the package's own class."""
    # Not by the package's constructor: it gives the parameters new random values.
    copied = copy.deepcopy(own)
    copied.encoder.__class__ = TransformerEncoderCrossAttention
    return copied


class PackageVideo:
    """Runs a whole video offline by the package, and records every frame.

    Attributes:
        outputs: What the package yields for each frame: ids, scores, masks.
        logits: Low-resolution logits by id, for each frame.
        detections: Scores of the detections of each frame.
    """

    def __init__(
        self,
        engine: Engine,
        frames: Frames,
        threshold: float = 0.5,
        birth: float = 0.7,
        max_objects: int = -1,
    ) -> None:
        model = engine.model
        detector = Sam3ImageOnVideoMultiGPU(
            num_feature_levels=1,
            backbone=model.backbone,
            transformer=model.transformer,
            segmentation_head=model.segmentation_head,
            semantic_segmentation_head=None,
            input_geometry_encoder=model.geometry_encoder,
            use_early_fusion=True,
            use_dot_prod_scoring=True,
            dot_prod_scoring=model.dot_prod_scoring,
            supervise_joint_box_scores=True,
        )
        tracker = build_package_tracker(engine)
        self.model = Sam3VideoInferenceWithInstanceInteractivity(
            detector=detector,
            tracker=tracker,
            score_threshold_detection=threshold,
            assoc_iou_thresh=0.1,
            det_nms_thresh=0.1,
            new_det_thresh=birth,
            hotstart_delay=15,
            hotstart_unmatch_thresh=8,
            hotstart_dup_thresh=8,
            suppress_unmatched_only_within_hotstart=True,
            min_trk_keep_alive=-1,
            max_trk_keep_alive=30,
            init_trk_keep_alive=30,
            suppress_overlapping_based_on_recent_occlusion_threshold=0.7,
            suppress_det_close_to_boundary=False,
            # 16 cells of the full-size model's grid of 288.
            fill_hole_area=round(16 * (tracker.low_res_mask_size / 288) ** 2),
            recondition_every_nth_frame=16,
            max_num_objects=max_objects,
            masklet_confirmation_enable=False,
            decrease_trk_keep_alive_for_empty_masklets=False,
            image_size=engine.image_size,
            compile_model=False,
        )
        self.model.to(engine.device).eval()
        self.engine = engine
        self.frames = frames
        images = [engine.processor.transform(torch.from_numpy(f).permute(2, 0, 1)) for f in frames]
        # Frames are read as float16, which a CPU's autocast does not know.
        with prepare_package(engine), torch.autocast(engine.device.type, enabled=False):
            pictures = [PIL.Image.fromarray(frame) for frame in frames]
            self.state = self.model.init_state(pictures, offload_video_to_cpu=True)
            self.state["input_batch"].img_batch = torch.stack(images)
        self.logits: list[dict[int, torch.Tensor]] = []
        self.detections: list[list[float]] = []
        self.object_scores: list[dict[int, float]] = []
        build_outputs = self.model.build_outputs

        def record(**given: Any) -> Any:
            ids = given["tracker_metadata_prev"]["obj_ids_all_gpu"]
            plan = given["tracker_update_plan"]
            masks = given["tracker_low_res_masks_global"]
            logits = {int(i): mask.clone() for i, mask in zip(ids, masks, strict=True)}
            for i, k in zip(plan["new_det_obj_ids"], plan["new_det_fa_inds"], strict=True):
                found = given["det_out"]["mask"][int(k)][None, None]
                filled = sam3_video_base.fill_holes_in_mask_scores(found, self.model.fill_hole_area)
                logits[int(i)] = filled[0, 0].clone()
            self.logits.append(logits)
            self.detections.append(given["det_out"]["scores"].tolist())
            return build_outputs(**given)

        self.model.build_outputs = record

    def run(self, text: str) -> list[dict[str, Any]]:
        """Follows a text through the video, offline."""
        with prepare_package(self.engine):
            self.model.reset_state(self.state)
            self.state["text_prompt"] = text
            self.state["input_batch"].find_text_batch[0] = text
            outputs = self.model.propagate_in_video(self.state, 0, len(self.frames) - 1, False)
            return [out for _, out in outputs]

    def prompt_box(self, box_xywh: Sequence[float]) -> dict[str, Any]:
        """Finds instances like one positive box, normalized, on the first frame."""
        with prepare_package(self.engine):
            out: dict[str, Any] = self.model.add_prompt(
                self.state, 0, text_str="visual", boxes_xywh=[box_xywh], box_labels=[1]
            )[1]
        return out
