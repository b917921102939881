"""Meta's SAM 3 image model, composed from the ``sam3`` package's own modules.

The package's builder (``sam3.model_builder.build_sam3_image_model``) allocates on
``"cuda"`` while it builds, enters a process-wide autocast and knows one size only.
Composing the same modules from a value avoids all three and gives a small model of
the same architecture.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from . import detector, tracker
from .config import Architecture
from .sam3_imports import Sam3Image, SAM3VLBackbone, TransformerWrapper


def build_model(architecture: Architecture, bpe_path: str) -> Sam3Image:
    """Composes an untrained image model, in eval mode, on the current default device.

    Args:
        architecture: The sizes.
        bpe_path: Path of CLIP's BPE vocabulary (``bpe_simple_vocab_16e6.txt.gz``).

    Returns:
        The model. Some text parameters are left uninitialised by their constructors: load
        a checkpoint or initialise them before use.
    """
    a = architecture
    model = Sam3Image(
        backbone=SAM3VLBackbone(
            visual=detector.image_encoder(a), text=detector.text_encoder(a, bpe_path), scalp=1
        ),
        transformer=TransformerWrapper(
            encoder=detector.fusion_encoder(a), decoder=detector.query_decoder(a), d_model=a.width
        ),
        input_geometry_encoder=detector.geometry_encoder(a),
        segmentation_head=detector.segmentation_head(a),
        num_feature_levels=1,
        o2m_mask_predict=True,
        dot_prod_scoring=detector.scoring(a),
        use_instance_query=False,
        multimask_output=True,
        inst_interactive_predictor=tracker.interactive_predictor(a),
        matcher=None,
    )
    return model.eval()


class _EmptyOnMeta(TorchFunctionMode):
    """Sends ``torch.empty`` to the meta device, for this thread, while it is entered.

    Parameters are made by ``torch.empty`` and then initialised in place; on the meta
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


def build_model_without_weights(architecture: Architecture, bpe_path: str) -> Sam3Image:
    """Composes a model whose parameters take no memory until a checkpoint is assigned.

    After ``model.load_state_dict(state, assign=True)`` call :func:`finish_assigned`.

    Args:
        architecture: The sizes.
        bpe_path: Path of CLIP's BPE vocabulary.

    Returns:
        The model, most of its parameters on the meta device.
    """
    with _EmptyOnMeta():
        return build_model(architecture, bpe_path)


def finish_assigned(model: Sam3Image) -> None:
    """Makes what no checkpoint holds, after weights were assigned.

    Args:
        model: A model from :func:`build_model_without_weights` with its weights assigned.

    Raises:
        RuntimeError: If a parameter or buffer is still without memory.
    """
    text = model.backbone.language_backbone.encoder
    text.attn_mask = text.build_causal_mask()
    tensors = [*model.named_parameters(), *model.named_buffers()]
    unset = [name for name, tensor in tensors if tensor.is_meta]
    if unset:
        raise RuntimeError(f"{len(unset)} tensors were never loaded, first: {unset[0]}")
