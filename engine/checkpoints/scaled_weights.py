"""Restores weights that a file holds in 8-bit floating point, with or without scales.

Image tools write them in two ways. The older one has a tensor ``scaled_fp8`` as a marker and
``layer.scale_weight`` beside ``layer.weight``, the newer one ``layer.weight_scale`` and settings
in ``layer.comfy_quant``. In both the weight is the stored value times the scale, a number or one
for each row. Scales of inputs belong to arithmetic in fp8, which is not done here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from .errors import QuantizedWeightsError
from .reader import MARKERS

_SCALE = re.compile(r"(.*)\.(?:scale_weight|weight_scale)")
_UNUSED = (".scale_input", ".input_scale", ".comfy_quant")
_FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)

_OTHER_QUANTIZATIONS = (
    ((".quant_state.", ".absmax", ".quant_map"), "4-bit or 8-bit (bitsandbytes)"),
    ((".qweight", ".qzeros"), "4-bit (GPTQ or AWQ)"),
    ((".weight_scale_2",), "4-bit floating point (NVFP4)"),
    ((".weight_scale_inv", ".weight_scalar"), "8-bit with a scale for each block"),
)


def restore_scaled_weights(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Returns a file's tensors with scales multiplied in and fp8 converted to float32.

    Args:
        tensors: Tensors by their names in the file.
        path: The file, for messages.

    Returns:
        The tensors without scales and markers. All but fp8 ones are those of the file.

    Raises:
        QuantizedWeightsError: If the weights are quantized in another way.
    """
    refuse_other_quantizations(tensors, path)
    scales = {match[1] + ".weight": t for n, t in tensors.items() if (match := _SCALE.fullmatch(n))}
    restored = {}
    for name, tensor in tensors.items():
        if name in MARKERS or name.endswith(_UNUSED) or _SCALE.fullmatch(name):
            continue
        if name in scales:
            restored[name] = _multiply(name, tensor, scales[name], path)
        else:
            restored[name] = tensor.float() if tensor.dtype in _FP8 else tensor
    return restored


def _multiply(name: str, tensor: Tensor, scale: Tensor, path: Path) -> Tensor:
    rows = scale.numel() in (1, len(tensor)) and scale.dim() <= 2 and scale.is_floating_point()
    if tensor.dtype not in (*_FP8, torch.float16, torch.bfloat16, torch.float32) or not rows:
        kind = f"{str(tensor.dtype).removeprefix('torch.')} with {tuple(scale.shape)} scales"
        raise QuantizedWeightsError(_describe(path, f"{name} is {kind}"))
    return tensor.float() * scale.float().reshape(-1, *[1] * (tensor.dim() - 1))


def refuse_other_quantizations(tensors: Collection[str], path: Path) -> None:
    """Raises a QuantizedWeightsError if names of tensors tell a quantization other than fp8."""
    for parts, kind in _OTHER_QUANTIZATIONS:
        if any(part in name for name in tensors for part in parts):
            raise QuantizedWeightsError(_describe(path, f"its weights are {kind}"))


def _describe(path: Path, what: str) -> str:
    return (
        f"{path} is quantized in a way that cannot be read here: {what}. Use a file in float32, "
        "float16, bfloat16 or fp8 (e4m3, e5m2; without scales or with one for a tensor or a row)."
    )
