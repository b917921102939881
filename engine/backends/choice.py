"""Chooses what the image encoder runs with. Importing this module imports no backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..validation import check_choice

if TYPE_CHECKING:
    import torch

    from ..model.sam3_imports import Sam3Image

BACKENDS = ("torch", "openvino")


def check_backend(backend: str, device: torch.device) -> None:
    """Checks that a backend can run on a device.

    Raises:
        ValueError: If the name is unknown, or it cannot.
        ImportError: If it is not installed; the message says how.
    """
    if check_choice("backend", backend, BACKENDS) == "openvino":
        from .openvino_encoder import check_openvino

        check_openvino(device)


def use_backend(
    model: Sam3Image,
    backend: str,
    image_size: int,
    precision: Literal["float32", "bfloat16"],
    most_threads: int | None,
) -> Sam3Image:
    """Lets a model's image encoder run with a backend.

    Args:
        model: The model with its weights, on its device. It is changed.
        backend: One of :data:`BACKENDS`, checked by :func:`check_backend`.
        image_size: Side of the model's input, in pixels.
        precision: What matrix products are computed in.
        most_threads: Most CPU threads; None for as many as PyTorch has.

    Returns:
        The model.
    """
    if backend == "openvino":
        import torch

        from .openvino_encoder import replace_encoder

        threads = torch.get_num_threads()
        replace_encoder(model, image_size, precision, min(threads, most_threads or threads))
    return model
