"""Composes Meta's SAM 3 image model from the ``sam3`` package's own modules.

The package's builder (``sam3.model_builder.build_sam3_image_model``) allocates on
``"cuda"`` while it builds, enters a process-wide autocast and supports one size only.
Composing the same modules from a value avoids all three and gives a small model of
the same architecture.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from . import detector, tracker
from .config import Architecture
from .multiplex.tracker import MultiplexTracker
from .sam3_imports import Sam3Image, SAM3VLBackbone, TransformerWrapper


def build_model(architecture: Architecture) -> Sam3Image:
    """Builds an image model without trained weights, in eval mode, on the default device.

    Args:
        architecture: The sizes.

    Returns:
        The model. Some text parameters are left uninitialized by their constructors: load
        a checkpoint or initialize them before use.
    """
    a = architecture
    model = Sam3Image(
        backbone=SAM3VLBackbone(
            visual=detector.build_image_encoder(a),
            text=detector.build_text_encoder(a),
            # The fourth feature map is not used.
            scalp=len(a.neck_scales) - 3,
        ),
        transformer=TransformerWrapper(
            encoder=detector.build_fusion_encoder(a),
            decoder=detector.build_query_decoder(a),
            d_model=a.width,
        ),
        input_geometry_encoder=detector.build_geometry_encoder(a),
        segmentation_head=detector.build_segmentation_head(a),
        num_feature_levels=1,
        o2m_mask_predict=True,
        dot_prod_scoring=detector.build_scoring_head(a),
        use_instance_query=False,
        multimask_output=True,
        inst_interactive_predictor=tracker.build_interactive_predictor(a),
        matcher=None,
    )
    model.multiplex = MultiplexTracker(a) if a.has_multiplex else None
    return model.eval()


class _EmptyOnMeta(TorchFunctionMode):
    """Sends ``torch.empty`` to the meta device, for this thread, while it is entered.

    Parameters are made by ``torch.empty`` and then initialized in place; on the meta
    device neither costs memory or time. No random number is drawn: they come from the one
    generator of the process, which its host may have seeded. Everything else (``linspace``
    with ``.item()`` in the ViT, small tables) is computed as ever, which
    ``torch.device("meta")`` breaks.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.randn):
            kwargs["device"] = "meta"
        if func in (torch.Tensor.uniform_, torch.Tensor.normal_):
            return args[0]
        return func(*args, **kwargs)


def build_model_without_weights(architecture: Architecture) -> Sam3Image:
    """Builds a model whose parameters take no memory until a checkpoint is assigned.

    After ``model.load_state_dict(state, assign=True)`` call :func:`finish_assignment`.

    Args:
        architecture: The sizes.

    Returns:
        The model, most of its parameters on the meta device.
    """
    with _EmptyOnMeta():
        return build_model(architecture)


def finish_assignment(model: Sam3Image) -> None:
    """Builds the tensors that no checkpoint holds, after weights were assigned.

    Args:
        model: A model from :func:`build_model_without_weights` with its weights assigned.

    Raises:
        RuntimeError: If a parameter or buffer is still on the meta device.
    """
    if model.backbone.language_backbone is not None:
        text = model.backbone.language_backbone.encoder
        text.attn_mask = text.build_causal_mask()
    tensors = [*model.named_parameters(), *model.named_buffers()]
    unset = [name for name, tensor in tensors if tensor.is_meta]
    if unset:
        raise RuntimeError(f"{len(unset)} tensors have no values, the first is {unset[0]}")
