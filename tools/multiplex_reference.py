"""Runs the port of SAM 3.1's tracker in ``mlx-vlm`` 0.7.10 (MIT), and stores what it gives.

It is not installed with the project: MLX has no wheels for some of its platforms. Once, in a
throwaway environment in which the project's own is visible::

    python -m venv port && port/bin/pip install 'mlx[cpu]==0.32.4'
    port/bin/pip install --no-deps mlx-vlm==0.7.10
    ls -d .venv/lib/python3*/site-packages > port/lib/python3.11/site-packages/project.pth
    PYTHONPATH=.venv/plugins port/bin/python -P -m \
        infer_segment_anything_3.tools.multiplex_reference tests/engine/model/multiplex_mlx.npz

Two things are corrected here, in which the port differs from Meta's package: in dense positions
it takes the corners of cells instead of their centers, and it moves a point by half a patch
instead of half a pixel. Its converter leaves the names of the SAM heads as they are: they are
renamed here.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..engine.model.config import PATCH_PX
from .multiplex_scenario import (
    ARCHITECTURE,
    BIRTH_FRAME,
    CLICKS_XY,
    FRAMES,
    REMOVALS,
    STARTED,
    Scenario,
    make_scenario,
)

ENDLESS = 10**9


def main() -> None:
    """Writes ``logits_<frame>`` and ``scores_<frame>``, and the same of the clicks."""
    from mlx_vlm.models.sam3 import sam_components

    sam_components.PositionalEmbedding.__call__ = _encode_centers
    scenario = make_scenario()
    port = _build_port(scenario)
    found: dict[str, Any] = {
        **_follow_masks(port, scenario),
        **_follow_clicks(port, scenario),
    }
    np.savez_compressed(Path(sys.argv[1]), **found)


def _follow_masks(port: Any, scenario: Scenario) -> dict[str, npt.NDArray[np.float32]]:
    import mlx.core as mx

    state = port.init_state(STARTED, list(range(STARTED)))
    found: dict[str, npt.NDArray[np.float32]] = {}
    for t in range(FRAMES):
        maps = _prepare(port, scenario, t)
        if t == 0:
            port.add_mask_prompt(state, 0, maps, mx.array(scenario.masks.float().numpy()))
            continue
        out = port.propagate(state, t, maps, num_frames=ENDLESS)
        found |= _read(out, f"{t}")
        if t == BIRTH_FRAME:
            ids = [STARTED, STARTED + 1]
            masks = mx.array(scenario.born.float().numpy())
            port.add_mask_prompt(state, t, maps, masks, ids)
        if t in REMOVALS:
            _remove(state, REMOVALS[t])
    return found


def _follow_clicks(port: Any, scenario: Scenario) -> dict[str, npt.NDArray[np.float32]]:
    import mlx.core as mx

    state = port.init_state(len(CLICKS_XY), list(range(len(CLICKS_XY))))
    moved = np.array(CLICKS_XY, np.float32) + 0.5 - PATCH_PX / 2
    points = {
        "point_coords": mx.array(moved[:, None]),
        "point_labels": mx.ones((len(CLICKS_XY), 1), mx.int32),
    }
    found: dict[str, npt.NDArray[np.float32]] = {}
    for t in range(5):
        out = port.track_step(
            state,
            frame_idx=t,
            is_init_cond_frame=t == 0,
            frame_features=_prepare(port, scenario, t),
            point_inputs=points if t == 0 else None,
            num_frames=ENDLESS,
        )
        found |= _read(out, f"clicks_{t}")
    return found


def _read(out: dict[str, Any], name: str) -> dict[str, npt.NDArray[np.float32]]:
    logits, scores = (np.array(out[k]) for k in ("pred_masks", "object_score_logits"))
    return {f"logits_{name}": logits[:, 0], f"scores_{name}": scores[:, 0]}


def _remove(state: Any, ids: tuple[int, ...]) -> None:
    """Removes objects; what is remembered of buckets that are empty then goes with them."""
    import mlx.core as mx

    buckets = state.multiplex_state
    kept = mx.array(buckets.remove_objects([buckets.object_ids.index(i) for i in ids]))
    for outputs in (state.cond_frame_outputs, state.non_cond_frame_outputs):
        for out in outputs.values():
            for name in ("maskmem_features", "obj_ptr"):
                out[name] = out[name][kept]
            if out["maskmem_pos_enc"].shape[0] > 1:
                out["maskmem_pos_enc"] = out["maskmem_pos_enc"][kept]


def _prepare(port: Any, scenario: Scenario, t: int) -> Any:
    import mlx.core as mx

    def to_mlx(maps: list[Tensor]) -> list[Any]:
        return [mx.array(m.permute(0, 2, 3, 1).contiguous().numpy()) for m in maps]

    return port.prepare_frame_features(
        to_mlx(scenario.interactive[t]), to_mlx(scenario.propagation[t])
    )


def _encode_centers(self: Any, hw: tuple[int, int]) -> Any:
    import mlx.core as mx

    y, x = ((mx.arange(n) + 0.5) / n for n in hw)
    y, x = mx.meshgrid(y, x, indexing="ij")
    return self.forward_with_coords(mx.stack([x.reshape(-1), y.reshape(-1)], axis=-1)[None])[0]


def _build_port(scenario: Scenario) -> Any:
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_vlm.models.sam3.config import PromptEncoderConfig
    from mlx_vlm.models.sam3_1.config import TrackerConfig, TrackerMaskDecoderConfig
    from mlx_vlm.models.sam3_1.convert_weights import convert_weights
    from mlx_vlm.models.sam3_1.sam3_1 import Model
    from mlx_vlm.models.sam3_1.tracker import MultiplexTrackerModel

    a = ARCHITECTURE
    n, width = a.patches_per_side, a.width
    port = MultiplexTrackerModel(
        TrackerConfig(
            image_size=a.image_size,
            mask_decoder_config=TrackerMaskDecoderConfig(
                hidden_size=width, multimask_outputs_only=True, mlp_dim=a.mask_decoder_mlp
            ),
            prompt_encoder_config=PromptEncoderConfig(hidden_size=width, image_size=a.image_size),
            memory_attention_feed_forward_hidden_size=a.feedforward_width,
            memory_attention_hidden_size=width,
            memory_attention_num_layers=a.memory_layers,
            memory_attention_rope_feat_sizes=[n, n],
            mask_downsampler_embed_dim=width,
            mask_downsampler_input_size=16 * n,
            memory_encoder_hidden_size=width,
            memory_fuser_embed_dim=width,
            memory_fuser_intermediate_dim=4 * width,
            memory_fuser_num_layers=a.memory_fuser_layers,
        )
    )
    named = {f"tracker.model.{name}": tensor for name, tensor in scenario.weights.items()}
    converted = dict(
        _rename(name.removeprefix("tracker_model."), value)
        for name, value in convert_weights(named).items()
    )
    # This one tells the port that the convolutions have its layout already.
    marker = "x.patch_embeddings.projection.weight"
    weights = {f"tracker_model.{name}": mx.array(value) for name, value in converted.items()}
    weights = Model.sanitize({marker: mx.zeros((1, 14, 14, 3)), **weights})
    del weights[marker]
    taken = {name.removeprefix("tracker_model."): value for name, value in weights.items()}
    needed = {name: value.shape for name, value in tree_flatten(port.parameters())}
    assert {name: value.shape for name, value in taken.items()} == needed
    port.load_weights(list(taken.items()), strict=False)
    mx.eval(port.parameters())
    return port


def _rename(name: str, value: npt.NDArray[np.float32]) -> tuple[str, npt.NDArray[np.float32]]:
    """Renames the tensors of the SAM heads, which the port's converter leaves as they are."""
    if "sam_mask_decoder." in name:
        for old, new in (
            (".out_proj.", ".o_proj."),
            ("mlp.lin1", "mlp.proj_in"),
            ("mlp.lin2", "mlp.proj_out"),
        ):
            name = name.replace(old, new)
        name = re.sub(r"\.norm(\d|_final)", r".layer_norm\1", name)
        for index, new in (
            ("0", "upscale_conv1"), ("1", "upscale_layer_norm"), ("3", "upscale_conv2")
        ):  # fmt: skip
            if f"output_upscaling.{index}." in name:
                if value.ndim == 4:
                    value = value.transpose(3, 1, 2, 0)
                name = name.replace(f"output_upscaling.{index}", new)
        found = re.match(r"(.*(?:mlps\.\d|_head))\.layers\.(\d)\.(.*)", name)
        if found:
            part = ("proj_in", "layers.0", "proj_out")[int(found[2])]
            name = f"{found[1]}.{part}.{found[3]}"
    for index, new in (
        ("0", "conv1"), ("1", "layer_norm1"), ("3", "conv2"), ("4", "layer_norm2"), ("6", "conv3")
    ):  # fmt: skip
        name = name.replace(f"mask_downscaling.{index}.", f"mask_embed.{new}.")
    gaussian = "positional_encoding_gaussian_matrix"
    name = (
        name.replace(f"pe_layer.{gaussian}", "shared_embedding.positional_embedding")
        if ("prompt_encoder" in name)
        else name.replace(gaussian, "positional_embedding")
    )
    return name, value


if __name__ == "__main__":
    main()
