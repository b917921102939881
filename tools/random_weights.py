"""Builds models with seeded random weights, to measure and test without Meta's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..engine import ConceptPrompt, Engine
from ..engine.checkpoints.layouts import get_meta_name
from ..engine.model.build import build_model
from ..engine.model.config import SAM3, Architecture
from ..engine.model.sam3_imports import Sam3Image

DECODER_DAMPING = 0.05
"""Factor on what each part of a decoder layer adds to a query."""


def build_random_model(architecture: Architecture, seed: int = 0) -> Sam3Image:
    """Builds a model and initializes what its constructors leave uninitialized.

    Args:
        architecture: Its sizes.
        seed: Seed of the weights; the random state of the caller is left as it was.

    Returns:
        The model, float32, eval mode, on the CPU, without gradients.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(architecture)
        text = model.backbone.language_backbone.encoder
        nn.init.normal_(text.positional_embedding, std=0.02)
        nn.init.normal_(text.text_projection, std=text.width**-0.5)
        _damp_decoder_layers(model)
    return model.requires_grad_(False)


def write_random_weights(path: Path) -> Path:
    """Writes a full-size checkpoint of random weights in Meta's layout; returns its path."""
    state = build_random_model(SAM3).state_dict()
    torch.save({get_meta_name(name): tensor for name, tensor in state.items()}, path)
    return path


def choose_threshold(engine: Engine, image: npt.NDArray[np.uint8], text: str, wanted: int) -> float:
    """Chooses a threshold that about ``wanted`` detections of a text pass on an image.

    Args:
        engine: Any engine.
        image: (H, W, 3) uint8, RGB.
        text: The text.
        wanted: How many.

    Returns:
        The middle between the scores of the last detection that passes and the next one.
    """
    prompt = ConceptPrompt(texts=(text,), confidence_threshold=0, masks=False)
    scores = sorted((i.score for i in engine.segment(image, prompt).instances), reverse=True)
    return sum(scores[wanted - 1 : wanted + 1]) / 2


@torch.no_grad()
def _damp_decoder_layers(model: Sam3Image) -> None:
    """Damps decoder layers so that queries stay different and a threshold finds some of them.

    What random attention and feed-forward layers add is the same for all, and more than the
    queries: without this all scores are alike, and a concept gives every query or none.
    """
    for layer in model.transformer.decoder.layers:
        added = (layer.cross_attn.out_proj, layer.ca_text.out_proj, layer.self_attn.out_proj)
        for linear in (*added, layer.linear2):
            linear.weight.mul_(DECODER_DAMPING)
